"""The loop rules of four coding agents, in our words, on our traces.

Written from how they behave; each function judges the calls so far, after the last of them. All four
are read generously: text between two calls does not count, and a failed call is an error to them.

OpenHands SDK 1.58.2   the same call with the same result 4 times, the same call failing 4 times, or two
                       in turn 3 times; the thought belongs to the call; the last 20 events are read
gemini-cli 0.61.0      1 to 5 calls in turn, 5 times; results are not read; its check by a model after
                       30 turns is left out
Roo Code (3747946)     the fourth same call in a row; results are not read
opencode (dev, 2026)   the third same call in a row; results are not read
"""

import json
from collections.abc import Callable, Sequence

from standpipe.testing.traces import Call

Rule = Callable[[Sequence[Call]], bool]

OPENHANDS_SAME = 4
OPENHANDS_IN_TURN = 6
OPENHANDS_CALLS = 10  # 20 events
GEMINI_PERIOD_MAX = 5
GEMINI_ROUNDS = 5
ROO_SAME = 4
OPENCODE_SAME = 3


def openhands(calls: Sequence[Call]) -> bool:
    last = calls[-OPENHANDS_CALLS:]
    asked = [(call.tool, call.args, call.thought) for call in last]
    told = [(call.ok, call.result) for call in last]
    if _all_equal(asked, OPENHANDS_SAME):
        failed = not any(call.ok for call in last[-OPENHANDS_SAME:])
        if failed or _all_equal(told, OPENHANDS_SAME):
            return True
    pairs = list(zip(asked, told, strict=True))[-OPENHANDS_IN_TURN:]
    return len(pairs) == OPENHANDS_IN_TURN and pairs[:-2] == pairs[2:]


def gemini_cli(calls: Sequence[Call]) -> bool:
    keys = [_as_written(call) for call in calls[-GEMINI_PERIOD_MAX * GEMINI_ROUNDS :]]
    for period in range(1, GEMINI_PERIOD_MAX + 1):
        length = period * GEMINI_ROUNDS
        if len(keys) >= length and keys[-length:-period] == keys[period - length :]:
            return True
    return False


def roo(calls: Sequence[Call]) -> bool:
    return _all_equal([(call.tool, call.args) for call in calls[-ROO_SAME:]], ROO_SAME)


def opencode(calls: Sequence[Call]) -> bool:
    return _all_equal([_as_written(call) for call in calls[-OPENCODE_SAME:]], OPENCODE_SAME)


def _all_equal(things: Sequence[object], number: int) -> bool:
    last = things[-number:]
    return len(last) == number and all(thing == last[0] for thing in last)


def _as_written(call: Call) -> str:
    return json.dumps([call.tool, call.args])  # the order of the keys makes a difference to them


PEERS: dict[str, Rule] = {
    "OpenHands SDK": openhands,
    "gemini-cli": gemini_cli,
    "Roo Code": roo,
    "opencode": opencode,
}

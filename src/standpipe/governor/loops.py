"""Is it going round in circles? Judged by what came back, not only by what was asked.

Rule 1: a cycle is the same calls in the same order with the same results; a result that moves is progress.
Rule 2: who changes the world in a new way works: such a step differs, so it closes no cycle, and
    after it a search may come back empty again.
Rule 3: a polling tool is waiting, and so is what is done meanwhile. It is bounded by its own time.
Rule 4: only the last `TAIL` steps are read, however long the run.

The same site twice, and the same cause at one host twice, are counted over all runs: `governor/sites.py`.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct

from standpipe.ids import digest
from standpipe.outcomes.outcome import Kind

TAIL = 500
ROUNDS: Mapping[int, int] = MappingProxyType({1: 4, 2: 3, 3: 3, 4: 3, 5: 3, 6: 3})
EMPTY_MAX = 6
EMPTY_OF = 10
SAME_FAILURE_MAX = 4

_CYCLE_STEPS_MAX = max(period * rounds for period, rounds in ROUNDS.items())
_HEX_DIGITS = 12


class Step(Struct, frozen=True):
    """One finished call, as far as a loop is concerned.

    `call` is the digest of tool and canonical arguments; `came` that of the result, or the template
    of the failure. `empty`: there was nothing to find, also told as a failure that the tool expects.
    `changed`: files or something outside are not as before; the agent's own notes are neither.
    `at_seconds` is monotonic within the run.
    """

    tool: str
    call: str
    came: str
    ok: bool
    empty: bool = False
    changed: bool = False
    poll_seconds: float | None = None
    at_seconds: float = 0.0


class Finding(Struct, frozen=True):
    """What goes round in circles, in a sentence for the model and for people.

    `signature` is the same when the same is found again. The next occurrence of one of `calls`
    goes on with it; where any arguments would, `calls` is empty and `tools` tells.
    """

    kind: Kind
    rule: str
    message: str
    tools: tuple[str, ...]
    signature: str
    calls: tuple[str, ...] = ()


def look(steps: Sequence[Step]) -> Finding | None:
    """Say whether the run, up to its last step, is stuck.

    Example:
        >>> again = Step(tool="read", call="c1", came="r1", ok=True)
        >>> look([again] * 3)
        >>> look([again] * 4).rule
        'cycle'
    """
    tail = steps[-TAIL:]
    if not tail:
        return None
    if tail[-1].poll_seconds is not None:
        return _waited_in_vain(tail, tail[-1].poll_seconds)
    return _cycle(tail[-_CYCLE_STEPS_MAX:]) or _same_failure(tail) or _nothing_found(tail)


def _waited_in_vain(tail: Sequence[Step], poll_seconds: float) -> Finding | None:
    """Find a poll that has told the same for too long; the rest of the tail does not matter to it."""
    last = tail[-1]
    since = last.at_seconds
    for step in reversed(tail):
        if step.call == last.call:
            if step.came != last.came:
                return None
            since = step.at_seconds
        waited = last.at_seconds - since
        if waited > poll_seconds:
            message = (
                f"`{last.tool}` has told the same for {waited:.0f} s, and it is worth waiting for "
                f"{poll_seconds:g} s: find out what it waits for, or say that it does not move"
            )
            return _finding(Kind.NO_PROGRESS, "poll", message, [last])
    return None


def _cycle(tail: Sequence[Step]) -> Finding | None:
    told = [(step.tool, step.call, step.came) for step in tail]
    for period, rounds in ROUNDS.items():
        length = period * rounds
        if len(told) < length or told[-length:-period] != told[period - length :]:
            continue
        turn = tail[-period:]
        if any(step.poll_seconds is not None for step in turn):
            continue
        return _finding(Kind.LOOP, "cycle", _round_and_round(turn, rounds), turn)
    return None


def _round_and_round(turn: Sequence[Step], rounds: int) -> str:
    names = ", ".join(f"`{step.tool}`" for step in turn)
    called = "was called" if len(turn) == 1 else "were called in this order"
    return (
        f"{names} {called} {rounds} times in a row with the same arguments, and it came to the same each time; "
        "once more will tell nothing new: use what is known, ask something else, or say what is missing"
    )


def _same_failure(tail: Sequence[Step]) -> Finding | None:
    """Find a call whose failure no work in between has changed: a test that stays red.

    Tools that expect to fail (a shell) are not counted by site, so this is where they stop.
    """
    last = tail[-1]
    if last.ok or last.empty:
        return None
    failures = 0
    for step in reversed(tail):
        if step.call != last.call:
            continue
        if step.came != last.came:
            return None
        failures += 1
        if failures == SAME_FAILURE_MAX:
            message = (
                f"`{last.tool}` with the same arguments failed the same way {failures} times, whatever was "
                "done in between: the cause is elsewhere; look at the failure itself before the next change"
            )
            return _finding(Kind.NO_PROGRESS, "same_failure", message, [last])
    return None


def _nothing_found(tail: Sequence[Step]) -> Finding | None:
    """Find a tool that mostly comes back with nothing since the world was last changed."""
    last = tail[-1]
    if not last.empty:
        return None
    asked = empty = 0
    for step in reversed(tail):
        if step.changed or asked == EMPTY_OF:
            return None
        if step.tool != last.tool:
            continue
        asked += 1
        empty += step.empty
        if empty == EMPTY_MAX:
            message = (
                f"`{last.tool}` found nothing in {empty} of its last {asked} calls: what is looked for may not "
                "be there; look elsewhere, check the premise, or say that it was not found"
            )
            return _finding(Kind.NO_PROGRESS, "empty", message, [last], any_arguments=True)
    return None


def _finding(
    kind: Kind, rule: str, message: str, turn: Sequence[Step], *, any_arguments: bool = False
) -> Finding:
    tools = _once(step.tool for step in turn)
    calls = () if any_arguments else _once(step.call for step in turn)
    # Sorted: a cycle is the same wherever it is entered.
    named = "\x1f".join((rule, *sorted(tools), *sorted(calls)))
    return Finding(
        kind=kind,
        rule=rule,
        message=message,
        tools=tools,
        signature=digest(named.encode("utf-8", "replace"))[:_HEX_DIGITS],
        calls=calls,
    )


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))

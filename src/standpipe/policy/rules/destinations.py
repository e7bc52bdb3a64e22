"""Where an effect lands is decided by people, not by what the agent has read.

Rule 1: every leaf of every control argument is on the operator's list (`known`), or somebody is asked.
Rule 2: a value that came from something the agent read is held, and the question says where it came from.
Rule 3: without a list, an allowed tool may act on values nobody foreign suggested.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import cast

import msgspec

from standpipe.actions import Action, Effect, Integrity, Tool
from standpipe.policy.decision import Allow, Ask, Decision
from standpipe.policy.setting import lists, under
from standpipe.policy.situation import Situation, normal

_JOINS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-.@+/")
_SEVERAL = re.compile(r"[\s,;<>\"#\x00-\x1f]")
_SHORT = 3  # shorter values are in every text


def rule(action: Action, situation: Situation) -> Decision | None:
    """Hold an effect whose destination nobody vouched for."""
    tool = action.tool
    if tool.effect is Effect.READ or tool.local or tool.origin in {"agent", "unknown"}:
        return None
    leaves = [
        (name, leaf)
        for name in (action.arguments if tool.control is None else tool.control)
        for leaf in _leaves(action.arguments.get(name))
    ]
    strangers = [
        (name, leaf) for name, leaf in leaves if not _known(leaf, tool.known.get(name, ()))
    ]
    line = _line(action, strangers)
    for _, leaf in strangers:
        if origin := _origin(leaf, situation):
            return Ask("destinations", _came_from(leaf, origin), line)
    if strangers and _needs_list(tool):
        name, leaf = strangers[0]
        return Ask("destinations", f"`{leaf}` is not among the known values of `{name}`", line)
    return Allow("destinations") if leaves and not strangers else None


def _needs_list(tool: Tool) -> bool:
    """An operator's list is a limit; a built-in tool without one may act on nothing."""
    addressed = bool(tool.control) and "url" not in (tool.control or ())
    return bool(tool.known) or (tool.origin == "builtin" and tool.policy is None and addressed)


def _leaves(value: object) -> Iterator[str]:
    match value:
        case dict():
            for name, item in cast("Mapping[str, object]", value).items():
                yield name
                yield from _leaves(item)
        case list() | tuple():
            for item in cast("Sequence[object]", value):
                yield from _leaves(item)
        case None:
            return
        case _:
            yield value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _known(leaf: str, patterns: tuple[str, ...]) -> bool:
    # Under `*@example.com` a second address, a comma or a line break would pass as part of a name.
    one = not _SEVERAL.search(leaf) and leaf.count("@") <= 1
    value = normal(leaf)
    return any(
        value == normal(pattern) or (one and fnmatchcase(value, normal(pattern)))
        for pattern in patterns
    )


def _origin(leaf: str, situation: Situation) -> str:
    """Name the foreign reading a value stands in, unless the operator said it too."""
    value = normal(leaf)
    if len(value) < _SHORT or any(_stands_in(value, text) for text in situation.trusted):
        return ""
    for reading in reversed(situation.readings):
        foreign = reading.label.integrity is not Integrity.TRUSTED
        if foreign and _stands_in(value, reading.text):
            return reading.called
    return ""


def _stands_in(value: str, text: str) -> bool:
    """Return whether `value` is a whole token of `text`: `ann@x` does not stand in `joann@x`."""
    at = text.find(value)
    while at >= 0:
        before, after = text[at - 1 : at], text[at + len(value) :][:2]
        ends = after[:1] not in _JOINS or (after[:1] == "." and after[1:2] not in _JOINS)
        if before not in _JOINS and (not after or ends):
            return True
        at = text.find(value, at + 1)
    return False


def _came_from(leaf: str, origin: str) -> str:
    thing = "this address" if "@" in leaf else f"`{leaf}`"
    done = "Nothing was sent" if "@" in leaf else "Nothing was done"
    return f"{thing} came from {origin}, not from you. {done}."


def _line(action: Action, strangers: Sequence[tuple[str, str]]) -> str:
    """Write the line under which this call needs no question: what is known, and these values."""
    known = lists(action.tool.known, strangers)
    return under(f"tools.{action.tool.name}", f"known = {known}")

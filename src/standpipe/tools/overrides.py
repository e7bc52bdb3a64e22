"""What standpipe.toml says of a tool, laid over what its code says.

Rule: what names something that does not exist, or cannot work, is refused before anything starts, with the
    line where it is said.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct

from standpipe.actions import Effect, Tool
from standpipe.errors import ConfigError, NotFoundError
from standpipe.files import nearest
from standpipe.outcomes.outcome import Kind
from standpipe.outcomes.reading import fields, items
from standpipe.settings import SETTINGS, Settings, ToolSettings

_SLIPS_MAX = 2
_SHORT = 6  # in a name of up to so many characters, two slips make another word
_NAMES = {"timeout": "timeout_seconds", "poll": "poll_seconds"}


def declared(tool: Tool, settings: ToolSettings | None) -> Tool:
    """Return the manifest as the operator wants it."""
    if settings is None:
        return tool
    said = {
        name: value for name, value in msgspec.structs.asdict(settings).items() if value is not None
    }
    if isinstance(settings.returns, Mapping):
        # Fields that count as a record are not told apart yet, so none of them is believed.
        said["returns"] = "untrusted"
    changed = {_NAMES.get(name, name): value for name, value in said.items()}
    if tool.origin == "undeclared":
        changed["origin"] = "declared"
    return msgspec.convert(msgspec.to_builtins(tool) | msgspec.to_builtins(changed), Tool)


def named_in_sentences(tools: Mapping[str, Tool]) -> Callable[[str, Mapping[str, object]], str]:
    """Return a function that names a result: `mail_read {id: 4}` is "mail 4"."""

    def called(name: str, arguments: Mapping[str, object]) -> str:
        tool = tools.get(name)
        try:
            return tool.tells.format(**arguments) if tool and tool.tells else f"`{name}`"
        except (KeyError, IndexError, ValueError):
            return f"`{name}`"

    return called


def all_tools(offered: Iterable[Tool], settings: Settings) -> dict[str, Tool]:
    """Return every tool of a home by name, as the operator wants it.

    Raises:
        ConfigError: a tool takes a name of the agent's own tools; or what is said of a tool names
            something that does not exist: another tool, a parameter, a failure kind.
    """
    offered = tuple(offered)
    _refuse_slips([tool.name for tool in offered], settings.tools)
    own = {tool.name for tool in offered if tool.origin == "agent"}
    for tool in offered:
        if tool.name in own and tool.origin != "agent":
            hint = f"rename it; these names are taken: {', '.join(sorted(own))}"
            raise ConfigError(f"tools.py: `{tool.name}` is the agent's own tool", hint=hint)
    known = {tool.name: declared(tool, settings.tools.get(tool.name)) for tool in offered}
    for tool in offered:
        _refuse_parameters(tool, settings)
    for tool in known.values():
        said = _Said(tool, settings)
        _refuse_names(said, "alternates", tool.alternates, known.keys() - own)
        _refuse_names(said, "expected", tool.expected, [kind.value for kind in Kind])
        _refuse_poll(said)
    for tool in known.values():
        said = _Said(tool, settings)
        _refuse_circle(said, known)
        for name in tool.alternates:
            _refuse_other_arguments(said, known[name])
    return known


def check_scope(names: Sequence[str] | None, tools: Mapping[str, Tool]) -> None:
    """Refuse a scope that names a tool nobody offers.

    Raises:
        NotFoundError: there is no tool of this name.
    """
    for name in names or ():
        if name not in tools:
            close = nearest(name, tools)
            known = f"tools here: {', '.join(sorted(tools))}"
            hint = f"did you mean `{close}`?" if close else known
            raise NotFoundError(f"no tool `{name}`", hint=hint)


def sections(
    settings: Settings, secrets: Mapping[str, str], *, portable: bool = False
) -> Mapping[str, object]:
    """Return the settings the built-in tools need; values of secrets go to their worker only."""
    found: dict[str, object] = {
        name: msgspec.to_builtins(getattr(settings, name)) for name in ("egress", "sql")
    }
    password = secrets.get(settings.mail.password_secret or "", "")
    found["mail"] = {**msgspec.to_builtins(settings.mail), "password": password}
    found["secrets"] = {
        name: {**msgspec.to_builtins(each), "value": secrets[name]}
        for name, each in settings.secrets.items()
        if name in secrets
    }
    found["portable"] = portable
    return found


def for_tools(settings: Settings, secrets: Mapping[str, str]) -> Mapping[str, str]:
    """Return the secrets that the tools of the home may have in process."""
    named = (name for name, each in settings.secrets.items() if each.tools)
    return {name: secrets[name] for name in named if name in secrets}


def _refuse_slips(offered: Sequence[str], named: Iterable[str]) -> None:
    """Refuse a table that was meant for a tool; one for a tool that comes later stays unused."""
    named = tuple(named)
    for name in named:
        if name in offered:
            continue
        # A tool that has a table of its own is not the one that was meant by this one.
        for other in sorted(set(offered) - set(named)):
            if _slips(name, other) <= (1 if len(other) <= _SHORT else _SLIPS_MAX):
                raise ConfigError(
                    f"{SETTINGS}: [tools.{name}] is about no tool of this home",
                    hint=f"did you mean [tools.{other}]?",
                )


def _slips(one: str, other: str) -> int:
    """Count the letters that are wrong, missing, too many or swapped with the next one."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one):
        before, above, row = row, before, [i + 1]
        for j, b in enumerate(other):
            costs = [before[j + 1] + 1, row[j] + 1, before[j] + (a != b)]
            if i and j and (a, one[i - 1]) == (other[j - 1], b):
                costs.append(above[j - 1] + 1)
            row.append(min(costs))
    return row[-1]


class _Said(Struct, frozen=True):
    """A tool, and who said what of it."""

    tool: Tool
    settings: Settings

    def subject(self, option: str) -> str:
        """Name the place where an option is said, and the tool."""
        table = self.settings.tools.get(self.tool.name)
        if table is not None and getattr(table, option, None) is not None:
            place = self.settings.place("tools", self.tool.name, option)
            return f"{place}: [tools.{self.tool.name}]"
        if self.tool.origin != "home":
            return f"tool `{self.tool.name}`"
        place = f"tools.py:{self.tool.line}" if self.tool.line else "tools.py"
        return f"{place}: tool `{self.tool.name}`"


def _refuse_parameters(tool: Tool, settings: Settings) -> None:
    """Refuse parameters in the settings that the tool does not have; its worker checked the code."""
    table = settings.tools.get(tool.name)
    if table is None:
        return
    said = _Said(tool, settings)
    parameters = list(fields(tool.schema.get("properties")))
    # The worker fills the parameter that the code names, and no other.
    filled = [tool.idempotency_key] if tool.idempotency_key else []
    key = table.idempotency_key
    _refuse_names(said, "control", table.control or (), parameters + filled)
    _refuse_names(said, "known", table.known or (), parameters + filled)
    _refuse_names(said, "idempotency_key", () if key is None else (key,), filled)


def _refuse_names(said: _Said, option: str, names: Iterable[str], known: Iterable[str]) -> None:
    known = sorted(known)
    for name in names:
        if name not in known:
            close = nearest(name, known)
            hint = f"did you mean `{close}`?" if close else f"known: {', '.join(known) or 'none'}"
            what = f"`{option}` names `{name}`, which does not exist"
            raise ConfigError(f"{said.subject(option)}: {what}", hint=hint)


def _refuse_poll(said: _Said) -> None:
    if said.tool.poll_seconds is None or said.tool.effect is not Effect.ONCE:
        return
    table = said.settings.tools.get(said.tool.name)
    option = "poll" if table is None or table.poll is not None else "effect"
    raise ConfigError(
        f"{said.subject(option)}: `poll` on a tool that is `once`",
        hint='only a tool with effect = "read" or "idempotent" can be asked again and again',
    )


def _refuse_circle(said: _Said, known: Mapping[str, Tool]) -> None:
    """Refuse alternates that lead back to where they began."""
    found = _way_back(said.tool.name, said.tool.name, known, seen=set())
    if found:
        raise ConfigError(
            f"{said.subject('alternates')}: `alternates` go round in a circle: {' -> '.join(found)}",
            hint=f"take `{found[1]}` out of the alternates of `{found[0]}`",
        )


def _way_back(
    start: str, name: str, known: Mapping[str, Tool], *, seen: set[str]
) -> tuple[str, ...]:
    for other in known[name].alternates:
        if other == start:
            return name, other
        if other not in seen:
            seen.add(other)
            if rest := _way_back(start, other, known, seen=seen):
                return name, *rest
    return ()


def _refuse_other_arguments(said: _Said, alternate: Tool) -> None:
    """Refuse an alternate that cannot be called with the same arguments."""
    ours, theirs = said.tool.schema, alternate.schema
    if "properties" not in ours or "properties" not in theirs:
        return
    given, taken = set(fields(ours["properties"])), set(fields(theirs["properties"]))
    missing = sorted({str(name) for name in items(theirs.get("required"))} - given)
    unknown = sorted(given - taken) if theirs.get("additionalProperties") is False else []
    if not missing and not unknown:
        return
    wants = f"wants `{missing[0]}`" if missing else f"does not take `{unknown[0]}`"
    raise ConfigError(
        f"{said.subject('alternates')}: `alternates` names `{alternate.name}`, which {wants}",
        hint=f"an alternate is called with the same arguments: {', '.join(sorted(given)) or 'none'}",
    )

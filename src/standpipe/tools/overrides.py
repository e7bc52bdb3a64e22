"""What standpipe.toml says of a tool, laid over what its code says."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from standpipe.actions import Tool
from standpipe.config import SETTINGS, Settings, ToolSettings
from standpipe.errors import ConfigError, NotFoundError
from standpipe.files import nearest
from standpipe.outcomes.outcome import Kind
from standpipe.outcomes.reading import fields

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
        _refuse_parameters(tool, settings.tools.get(tool.name))
    for tool in known.values():
        _refuse_names(tool, "alternates", tool.alternates, known)
        _refuse_names(tool, "expected", tool.expected, [kind.value for kind in Kind])
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


def _refuse_parameters(tool: Tool, settings: ToolSettings | None) -> None:
    """Refuse parameters in the settings that the tool does not have; its worker checked the code."""
    if settings is None:
        return
    parameters = list(fields(tool.schema.get("properties")))
    place = f"[tools.{tool.name}]"
    # The worker fills the parameter that the code names, and no other.
    filled = [tool.idempotency_key] if tool.idempotency_key else []
    key = settings.idempotency_key
    _refuse_names(tool, "control", settings.control or (), parameters + filled, place=place)
    _refuse_names(tool, "known", settings.known or (), parameters + filled, place=place)
    _refuse_names(tool, "idempotency_key", () if key is None else (key,), filled, place=place)


def _refuse_names(
    tool: Tool, option: str, names: Iterable[str], known: Iterable[str], *, place: str = ""
) -> None:
    known = sorted(known)
    for name in names:
        if name not in known:
            close = nearest(name, known)
            hint = f"did you mean `{close}`?" if close else f"known: {', '.join(known) or 'none'}"
            subject = f"{SETTINGS}: {place}" if place else f"tool `{tool.name}`:"
            raise ConfigError(
                f"{subject} `{option}` names `{name}`, which does not exist", hint=hint
            )

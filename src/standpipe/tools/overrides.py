"""What standpipe.toml says of a tool, laid over what its code says."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from standpipe.actions import Tool
from standpipe.config import Settings, ToolSettings
from standpipe.errors import ConfigError, NotFoundError
from standpipe.files import nearest

_NAMES = {"timeout": "timeout_seconds", "poll": "poll_seconds"}


def declared(tool: Tool, settings: ToolSettings | None) -> Tool:
    """Return the manifest as the operator wants it."""
    if settings is None:
        return tool
    said = {
        name: value for name, value in msgspec.structs.asdict(settings).items() if value is not None
    }
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
        ConfigError: a tool takes a name of the agent's own tools, or names an alternate that
            does not exist.
    """
    offered = tuple(offered)
    own = {tool.name for tool in offered if tool.origin == "agent"}
    for tool in offered:
        if tool.name in own and tool.origin != "agent":
            hint = f"rename it; these names are taken: {', '.join(sorted(own))}"
            raise ConfigError(f"tools.py: `{tool.name}` is the agent's own tool", hint=hint)
    known = {tool.name: declared(tool, settings.tools.get(tool.name)) for tool in offered}
    for tool in known.values():
        for name in tool.alternates:
            if name not in known:
                raise ConfigError(
                    f"tool `{tool.name}` names the alternate `{name}`, which does not exist",
                    hint=f"tools here: {', '.join(sorted(known))}",
                )
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


def sections(settings: Settings, secrets: Mapping[str, str]) -> Mapping[str, object]:
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
    return found


def for_tools(settings: Settings, secrets: Mapping[str, str]) -> Mapping[str, str]:
    """Return the secrets that the tools of the home may have in process."""
    named = (name for name, each in settings.secrets.items() if each.tools)
    return {name: secrets[name] for name in named if name in secrets}

"""What standpipe.toml says of a tool, laid over what its code says."""

from collections.abc import Callable, Mapping

import msgspec

from standpipe.actions import Tool
from standpipe.config import ToolSettings

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

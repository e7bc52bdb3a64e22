"""What the reference pages take from the code. `make docs` writes it into them, a test compares.

Rule 1: a page says in words what a thing is for; names, types and defaults come from here.
"""  # noqa: INP001 -- not a package: cog puts the folder of a page on the path

import contextlib
import importlib
import io
import os
import typing
from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType

import msgspec
from msgspec import inspect
from msgspec.structs import FieldInfo, fields

from standpipe.actions import Tool
from standpipe.cli.commands.run import EXIT_CODES
from standpipe.cli.parser import COMMANDS, overview, parse
from standpipe.desk.report import Report
from standpipe.execution.manifests import tools_of
from standpipe.governor.recovery import TABLE, Row, Step
from standpipe.governor.sites import HOST_WIDE, MODEL_CAUSED, TRANSIENT
from standpipe.journal.causes import helps
from standpipe.journal.entries import Body
from standpipe.opening import BUILTIN
from standpipe.outcomes.outcome import Kind
from standpipe.policy.rulebook import RULES
from standpipe.settings import Settings
from standpipe.tools.agent import TOOLS

Struct = type[msgspec.Struct]
_KNOWN = (inspect.StrType, inspect.VarTupleType)
_OF_ONE_RUN = (Kind.CUT, Kind.DENIED, Kind.LOOP, Kind.NO_PROGRESS, Kind.GAVE_UP, Kind.CHECKLIST)


def commands() -> str:
    """Return the help of every command."""
    parts = [_block(overview(everything=True))]
    parts += [f"### standpipe {name}\n\n{_block(_help(name))}" for name in COMMANDS]
    return "\n\n".join(parts)


def settings(name: str = "") -> str:
    """Return the keys of one table of standpipe.toml; without a name those that stand at the top."""
    section = typing.cast("Struct", _section(name)) if name else Settings
    rows = [
        (f"`{field.encode_name}`", _words(inspect.type_info(field.type)), _default(field))
        for field in fields(section)
        if name or not _is_table(field)
    ]
    return _table(("key", "value", "default"), rows)


def sections() -> list[str]:
    """Return the names of the tables of standpipe.toml."""
    return [field.name for field in fields(Settings) if _is_table(field)]


def recoveries() -> str:
    """Return the recovery table."""
    rows = [(f"`{kind}`", *_recovery(row)) for kind, row in TABLE.items()]
    return _table(("kind", "first", "another tool", "at the limit"), rows)


def failures() -> str:
    """Return the recovery table as people read it: what is done, who else is kept from it, what helps."""
    rows = [
        (f"`{kind}`", _first_and_then(row), row.then.value, _meanwhile(kind), helps(kind))
        for kind, row in TABLE.items()
    ]
    return _table(("kind", "first", "if it stays", "other runs meanwhile", "what helps"), rows)


def entries() -> str:
    """Return every kind of journal entry with what it says and what it holds."""
    rows = [
        (f"`{body.__struct_config__.tag}`", _first_sentence(body), _names(body))
        for body in typing.get_args(Body)
    ]
    return _table(("kind", "says", "fields"), rows)


def tools(*, agent: bool) -> str:
    """Return the agent's own tools, or those that act on the world."""
    rows = [
        (
            f"`{tool.name}`",
            tool.effect.value,
            ", ".join(f"`{name}`" for name in _arguments(tool)) or "-",
            ", ".join(f"`{name}`" for name in tool.control or ()) or "-",
            _first_line(tool.description),
        )
        for tool in (TOOLS if agent else builtin_tools())
    ]
    return _table(("tool", "effect", "arguments", "control", "what the model reads"), rows)


def builtin_tools() -> list[Tool]:
    """Return the manifests of the built-in tools that run in workers."""
    modules = [importlib.import_module(f"standpipe.tools.{name}") for name in BUILTIN]
    return [
        bound.tool for module in modules for bound in tools_of(module, source=b"", origin="builtin")
    ]


def rules() -> str:
    """Return the policy rules in the order in which they are asked."""
    modules = [importlib.import_module(rule.__module__) for rule in RULES]
    rows = [(f"`{_last(module)}`", _first_line(module.__doc__ or "")) for module in modules]
    return _table(("rule", "says"), rows)


def report() -> str:
    """Return the fields of the report, and of what stands in its lists."""
    return "\n\n".join(_shape("report", Report, seen=set()))


def exit_codes() -> str:
    """Return the exit codes of `run` and `resume` by the status of the run."""
    rows = [(f"`{code}`", f"`{status}`") for status, code in EXIT_CODES.items()]
    return _table(("code", "status of the run"), rows)


def _help(name: str) -> str:
    os.environ["COLUMNS"] = "88"  # noqa: TID251 -- argparse asks it for the width
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        parse([*name.split(), "--help"])
    return text.getvalue().strip()


def _section(name: str) -> object:
    found = next(field.type for field in fields(Settings) if field.name == name)
    inner = typing.get_args(found)
    if not inner:
        return found
    return inner[0] if typing.get_origin(found) is tuple else inner[1]


def _is_table(field: FieldInfo) -> bool:
    kind = inspect.type_info(field.type)
    inner = kind.value_type if isinstance(kind, inspect.DictType) else kind
    inner = kind.item_type if isinstance(kind, inspect.VarTupleType) else inner
    return isinstance(inner, inspect.StructType)


def _default(field: FieldInfo) -> str:
    if field.required:
        return "must be given"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return "-" if value in (None, (), {}) else f"`{msgspec.json.encode(value).decode()}`"


def _words(kind: inspect.Type) -> str:
    match kind:
        case inspect.UnionType(types=types):
            return " or ".join(
                _words(one) for one in types if not isinstance(one, inspect.NoneType)
            )
        case inspect.LiteralType(values=values):
            return ", ".join(f'`"{value}"`' for value in values)
        case inspect.VarTupleType(item_type=item):
            return f"list of {_words(item)}"
        case inspect.DictType(value_type=item):
            return f"table of {_words(item)}" if isinstance(item, _KNOWN) else "table"
        case inspect.IntType() | inspect.FloatType():
            return _number(kind)
        case inspect.BoolType():
            return "`true` or `false`"
        case _:
            return "text"


def _number(kind: inspect.IntType | inspect.FloatType) -> str:
    word = "whole number" if isinstance(kind, inspect.IntType) else "number"
    limits = {"from": kind.ge, "above": kind.gt, "to": kind.le}
    said = [f"{name} {limit:g}" for name, limit in limits.items() if limit is not None]
    return " ".join([word, *said])


def _recovery(row: Row) -> tuple[str, str, str]:
    first = row.first.value
    if row.first in (Step.RETRY, Step.WAIT):
        times = "once" if row.times == 1 else f"up to {row.times} times"
        spread = f", up to {row.cap_seconds:g} s apart" if row.cap_seconds else ""
        first = f"{first} {times}{spread}"
    return first, "yes" if row.alternates else "-", row.then.value


def _first_and_then(row: Row) -> str:
    first, alternates, _ = _recovery(row)
    if alternates != "yes":
        return first
    ends = row.first is Step.ESCALATE
    return "another tool, or else escalate" if ends else f"{first}, then another tool"


def _meanwhile(kind: Kind) -> str:
    """Say what the open site of a kind means for other runs."""
    if kind is Kind.IN_DOUBT:
        return "the same effect is refused"
    if kind in _OF_ONE_RUN:
        return "-"
    if TABLE[kind].first is Step.STOP:
        return "refused until it is changed"
    if kind in MODEL_CAUSED:
        return "only the same call is refused"
    host = (
        "; once another tool meets it there, every tool at this host" if kind in HOST_WIDE else ""
    )
    again = "; one try after a while" if kind in TRANSIENT else ""
    return f"refused{host}{again}"


def _arguments(tool: Tool) -> Iterable[str]:
    return typing.cast("dict[str, object]", tool.schema.get("properties", {}))


def _names(body: Struct) -> str:
    return ", ".join(f"`{field.encode_name}`" for field in fields(body)) or "-"


def _shape(title: str, kind: Struct, *, seen: set[Struct]) -> Iterator[str]:
    """Yield the fields of a struct, then those of the structs in its lists."""
    seen.add(kind)
    said = (kind.__doc__ or "").splitlines()[0]
    rows = [(f"`{field.encode_name}`", _kind(field.type)) for field in fields(kind)]
    yield f"### {title}\n\n{said}\n\n{_table(('field', 'value'), rows)}"
    for field in fields(kind):
        for inner in _structs(field.type):
            if inner not in seen:
                yield from _shape(f"{title}.{field.encode_name}", inner, seen=seen)


def _structs(kind: object) -> Iterator[Struct]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    for part in typing.get_args(kind):
        yield from _structs(part)


def _kind(kind: object) -> str:
    parts = [part for part in typing.get_args(kind) if part is not type(None)]
    if type(None) in typing.get_args(kind):
        return f"{_kind(parts[0])}, or `null`"
    if typing.get_origin(kind) is tuple:
        return f"list of {_kind(parts[0])}"
    if parts:
        return "object"
    names = {str: "text", int: "number", float: "number", bool: "`true` or `false`"}
    return names.get(typing.cast("type", kind), "object")


def _first_sentence(body: Struct) -> str:
    return _first_line(body.__doc__ or "")


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0]


def _last(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


def _block(text: str) -> str:
    return f"```text\n{text}\n```"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines
    )

"""Ask the databases that the home lists, and run the templates it holds.

Rule 1: what SQLite itself says it would touch decides, table by table and column by column; what is not
    granted is refused. How the statement looks decides nothing but its class.
Rule 2: values are bound. A statement of the agent holds no literal, so no text of a mail becomes SQL.
Rule 3: a statement ends: after 5 seconds, after 200 rows.
"""

import re
import sqlite3
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NotRequired

import msgspec
from msgspec import Struct
from typing_extensions import TypedDict

from standpipe.clock import SystemClock
from standpipe.errors import ConfigError
from standpipe.execution.tools import NotAllowedError, surroundings, tool
from standpipe.tools.phases import phases
from standpipe.tools.statement import refuse_agent_written

SECONDS_MAX = 5.0
ROWS_MAX = 200
_CELL_BYTES_MAX = 1024 * 1024
_TEMPLATE_BYTES_MAX = 64 * 1024
_OPERATIONS_BETWEEN_LOOKS = 5000
_TEMPLATE = re.compile(r"[A-Za-z0-9_-]{1,64}")
# What costs no more than what it is given; SQLITE_LIMIT_LENGTH bounds those that make text.
# fmt: off
_FUNCTIONS = frozenset({
    "abs", "avg", "ceil", "ceiling", "coalesce", "count", "cume_dist", "date", "datetime",
    "dense_rank", "first_value", "floor", "glob", "group_concat", "hex", "ifnull", "iif",
    "instr", "json_array_length", "json_extract", "->", "->>", "julianday", "lag", "last_value",
    "lead", "length", "like", "lower", "ltrim", "max", "min", "nth_value", "ntile", "nullif",
    "percent_rank", "quote", "rank", "replace", "round", "row_number", "rtrim", "sign",
    "strftime", "string_agg", "substr", "substring", "sum", "time", "total", "trim", "typeof",
    "unicode", "unixepoch", "upper",
})
# fmt: on

Scalar = str | int | float | bool | None


class Rows(TypedDict):
    """What a statement returned; `note` says what is missing."""

    columns: list[str]
    rows: list[list[object]]
    truncated: bool
    changed: NotRequired[int]
    note: NotRequired[str]


class StatementStopped(TimeoutError):  # noqa: N818 -- says what was done, as its message does
    """The statement took too long; what it had done was taken back."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.phase = "not_sent"  # so that nobody takes it for an effect in doubt


class Grants(Struct, frozen=True):
    """One database: where it is and what may be done there."""

    url: str
    read: Mapping[str, tuple[str, ...]] = {}
    write: Mapping[str, tuple[str, ...]] = {}


@tool(
    effect="read",
    control=["database"],
    local=True,
    tells="rows of {database}",
    expected=["not_found", "bad_input"],  # a wrong column is told, not counted
)
def sql_query(database: str, sql: str, params: list[Scalar] | None = None) -> Rows:
    """Read rows by one SELECT; values go into `params`, one for each `?`.

    Args:
        database: a name from [sql] in standpipe.toml
        sql: one SELECT without literal values
        params: the values of the `?`, in order
    """
    refuse_agent_written(sql)
    with _opened(database, _grants(database), writing=False) as connection:
        return _rows(connection.execute(sql, params or []))


@tool(effect="once", control=["database", "name"], tells="template {name}")
def sql_template(
    database: str, name: str, params: list[Scalar] | dict[str, Scalar] | None = None
) -> Rows:
    """Run the statement that stands in sql/NAME.sql of the home, with bound values.

    Args:
        database: a name from [sql] in standpipe.toml
        name: the file's name without .sql
        params: a list for `?`, an object for `:name`
    """
    with (
        phases() as reached,
        _opened(database, _grants(database), writing=True) as connection,
    ):
        sql = _template(name)
        connection.execute("begin immediate")
        cursor = connection.execute(sql, params or [])
        found = _rows(cursor)
        found["changed"] = max(cursor.rowcount, 0)
        cursor.close()
        connection.set_authorizer(None)
        reached.phase = "sent"  # until here, closing the connection takes everything back
        connection.execute("commit")
    return found


def _grants(database: str) -> Grants:
    listed = msgspec.convert(surroundings().settings.get("sql", {}), dict[str, Grants])
    if database not in listed:
        known = ", ".join(f"`{name}`" for name in listed) or "none"
        raise ValueError(
            f"no database `{database}` under [sql] in standpipe.toml\nhint: known: {known}"
        )
    return listed[database]


def _template(name: str) -> str:
    folder = Path(surroundings().home, "sql")
    path = folder / f"{name}.sql"
    if not _TEMPLATE.fullmatch(name) or not path.is_file():
        known = ", ".join(f"`{one.stem}`" for one in sorted(folder.glob("*.sql"))) or "none"
        raise FileNotFoundError(f"no template `sql/{name}.sql` in the home\nhint: known: {known}")
    if path.stat().st_size > _TEMPLATE_BYTES_MAX:
        raise ConfigError(
            f"sql/{name}.sql: longer than {_TEMPLATE_BYTES_MAX} bytes",
            hint="a template is one statement",
        )
    return path.read_text(encoding="utf-8")


@contextmanager
def _opened(database: str, grants: Grants, *, writing: bool) -> Generator[sqlite3.Connection]:
    """Open the database so that only what is granted can happen; nothing stays done after an error."""
    guard = _Guard(database, grants, writing=writing)
    connection = sqlite3.connect(
        f"{_path(database, grants).as_uri()}?mode={'rw' if writing else 'ro'}",
        uri=True, timeout=SECONDS_MAX, isolation_level=None, cached_statements=0,
    )  # fmt: skip
    try:
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _CELL_BYTES_MAX)
        connection.set_authorizer(guard)
        connection.set_progress_handler(_deadline(SECONDS_MAX), _OPERATIONS_BETWEEN_LOOKS)
        yield connection
    except (sqlite3.Error, sqlite3.Warning, OverflowError) as error:
        raise _plain(error, guard) from None
    finally:
        connection.close()  # rolls back what was not committed


def _path(database: str, grants: Grants) -> Path:
    kind, _, rest = grants.url.partition(":")
    if kind != "sqlite" or not rest:
        raise ConfigError(
            f"standpipe.toml: [sql.{database}] url `{kind}:...` is not one we can open",
            hint='write it as `url = "sqlite:data/shop.db"`',
        )
    path = Path(surroundings().home, rest).absolute()
    if not path.is_file():
        raise ConfigError(
            f"standpipe.toml: [sql.{database}] names `{rest}`, which does not exist",
            hint="paths start at the home",
        )
    return path


class _Guard:
    """Answer SQLite, which asks before it compiles each access; the first refusal is kept for the message."""

    def __init__(self, database: str, grants: Grants, *, writing: bool) -> None:
        self.refused = ""
        self._database = database
        self._read = _folded(grants.read)
        self._write = _folded(grants.write) if writing else {}
        self._rules: Mapping[int, Callable[[str, str], str]] = {
            sqlite3.SQLITE_SELECT: lambda _one, _two: "",
            sqlite3.SQLITE_READ: self._reads,
            sqlite3.SQLITE_FUNCTION: self._calls,
            sqlite3.SQLITE_INSERT: lambda table, _: self._writes(table, "insert"),
            sqlite3.SQLITE_UPDATE: lambda table, _: self._writes(table, "update"),
            sqlite3.SQLITE_DELETE: lambda table, _: self._writes(table, "delete"),
            sqlite3.SQLITE_TRANSACTION: lambda _one, _two: (
                "" if writing else "a transaction is not a query"
            ),
        }

    def __call__(
        self, action: int, one: str | None, two: str | None, _schema: str | None, _by: str | None
    ) -> int:
        rule = self._rules.get(action)
        reason = (
            rule(one or "", two or "")
            if rule
            else f"statements of this class are refused (SQLite action {action})"
        )
        if not reason:
            return sqlite3.SQLITE_OK
        self.refused = self.refused or reason
        return sqlite3.SQLITE_DENY

    def _reads(self, table: str, column: str) -> str:
        granted = self._read.get(table.lower())
        # No column: the rows are only counted.
        if granted is not None and (not column or "*" in granted or column.lower() in granted):
            return ""
        column = column or "*"
        return (
            f"column `{column}` of table `{table}` may not be read in database `{self._database}`\n"
            f"hint: [sql.{self._database}] read in standpipe.toml lists what may be read"
        )

    def _calls(self, _: str, function: str) -> str:
        if function.lower() in _FUNCTIONS:
            return ""
        return f"function `{function}` is not on the list of harmless functions"

    def _writes(self, table: str, verb: str) -> str:
        if verb in self._write.get(table.lower(), ()):
            return ""
        return (
            f"table `{table}` of database `{self._database}` takes no {verb}\n"
            f"hint: [sql.{self._database}] write in standpipe.toml lists what may be changed"
        )


def _folded(grants: Mapping[str, tuple[str, ...]]) -> dict[str, frozenset[str]]:
    """Names compare as SQLite compares them."""
    return {
        table.lower(): frozenset(name.lower() for name in names) for table, names in grants.items()
    }


def _deadline(seconds: float) -> Callable[[], int]:
    clock = SystemClock()
    end = clock.monotonic() + seconds
    return lambda: int(clock.monotonic() > end)


def _rows(cursor: sqlite3.Cursor) -> Rows:
    found = cursor.fetchmany(ROWS_MAX + 1)
    rows: Rows = {
        "columns": [str(column[0]) for column in cursor.description or ()],
        "rows": [[_cell(value) for value in row] for row in found[:ROWS_MAX]],
        "truncated": len(found) > ROWS_MAX,
    }
    if rows["truncated"]:
        rows["note"] = (
            f"only the first {ROWS_MAX} rows; ask for fewer with WHERE, or go on with LIMIT and OFFSET"
        )
    return rows


def _cell(value: object) -> object:
    return f"[{len(value)} bytes]" if isinstance(value, bytes) else value


def _plain(error: Exception, guard: _Guard) -> Exception:
    """Say it in terms of who can mend it; what is left are failures of the database itself."""
    if guard.refused:
        return NotAllowedError(guard.refused)
    match getattr(error, "sqlite_errorcode", None):
        case sqlite3.SQLITE_INTERRUPT:
            return StatementStopped(
                f"the statement was stopped after {SECONDS_MAX:g} s, nothing was changed"
            )
        case (
            sqlite3.SQLITE_ERROR
            | sqlite3.SQLITE_RANGE
            | sqlite3.SQLITE_TOOBIG
            | sqlite3.SQLITE_MISMATCH
        ):
            return ValueError(f"the statement is wrong: {error}")
        case None:  # from the module and not the database: bindings, several statements, integers over 64 bits
            return ValueError(f"the statement is wrong: {error}")
        case _:
            return error

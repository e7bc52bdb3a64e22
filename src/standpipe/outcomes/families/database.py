"""Databases: SQLSTATE first, then the error names of SQLite and MySQL, then their words.

Rule: an error the database names is an answer: the statement was rolled back. A lost connection is none.
"""

import re

from standpipe.actions import Fault
from standpipe.outcomes.finding import Finding
from standpipe.outcomes.outcome import Kind, Phase
from standpipe.outcomes.reading import called, number, word

# Five characters before two: the most specific wins.
SQLSTATES = {
    "42501": Kind.FORBIDDEN,
    "42P01": Kind.NOT_FOUND,
    "42703": Kind.BAD_INPUT,
    "3D000": Kind.NOT_FOUND,
    "3F000": Kind.NOT_FOUND,
    "23505": Kind.CONFLICT,
    "40001": Kind.CONFLICT,
    "40P01": Kind.CONFLICT,
    "53100": Kind.ENVIRONMENT,
    "53200": Kind.ENVIRONMENT,
    "53300": Kind.OVERLOADED,
    "55P03": Kind.CONFLICT,
    "57014": Kind.TIMED_OUT,
    "57P03": Kind.OVERLOADED,
    "08": Kind.SERVER_ERROR,
    "20": Kind.BAD_INPUT,
    "22": Kind.BAD_INPUT,
    "23": Kind.BAD_INPUT,
    "25": Kind.BAD_INPUT,
    "28": Kind.CREDENTIAL,
    "42": Kind.BAD_INPUT,
    "53": Kind.OVERLOADED,
    "57": Kind.SERVER_ERROR,
    "58": Kind.ENVIRONMENT,
    "XX": Kind.SERVER_ERROR,
}
_NEVER_CONNECTED = ("08001", "08004")
_NO_ANSWER = ("08", "57", "58", "XX")
_MYSQL = {
    1040: Kind.OVERLOADED,
    1044: Kind.FORBIDDEN,
    1045: Kind.CREDENTIAL,
    1054: Kind.BAD_INPUT,
    1062: Kind.CONFLICT,
    1064: Kind.BAD_INPUT,
    1142: Kind.FORBIDDEN,
    1146: Kind.NOT_FOUND,
    1205: Kind.CONFLICT,
    1213: Kind.CONFLICT,
    1406: Kind.BAD_INPUT,
    2002: Kind.NOT_SENT,
    2003: Kind.NOT_SENT,
    2005: Kind.NOT_SENT,
    2006: Kind.SERVER_ERROR,
    2013: Kind.SERVER_ERROR,
}
_SQLITE = (
    (re.compile(r"no such table|no such function|no such module"), Kind.NOT_FOUND),
    (re.compile(r"no such column|syntax error|incomplete input|has no column"), Kind.BAD_INPUT),
    (re.compile(r"UNIQUE constraint|PRIMARY KEY must be unique"), Kind.CONFLICT),
    (
        re.compile(r"constraint failed|datatype mismatch|[Bb]inding|too many SQL var"),
        Kind.BAD_INPUT,
    ),
    (
        re.compile(r"(?:table|schema) is locked|database is locked|database is busy"),
        Kind.OVERLOADED,
    ),
    (
        re.compile(
            r"readonly database|disk is full|disk I/O|unable to open|not a database|malformed"
        ),
        Kind.ENVIRONMENT,
    ),
    (re.compile(r"not authorized|access to .{1,80} is prohibited"), Kind.FORBIDDEN),
    (re.compile(r"^interrupted$"), Kind.TIMED_OUT),
    (re.compile(r"You can only execute one statement|already exists"), Kind.BAD_INPUT),
)
_SQLITE_TYPES = {
    "sqlite3.ProgrammingError": Kind.BAD_INPUT,
    "sqlite3.IntegrityError": Kind.BAD_INPUT,
    "sqlite3.DataError": Kind.BAD_INPUT,
    "sqlite3.InterfaceError": Kind.BAD_INPUT,
}
_POSTGRES = (
    (re.compile(r"password authentication failed|no password supplied"), Kind.CREDENTIAL),
    (
        re.compile(
            r"connection failed|could not connect|connection refused|could not translate host"
        ),
        Kind.NOT_SENT,
    ),
    (
        re.compile(r"server closed the connection|connection (?:is )?(?:lost|closed)"),
        Kind.SERVER_ERROR,
    ),
)
_TUPLE = re.compile(r"^\((\d{4}), ")
_DRIVERS = ("psycopg", "psycopg2", "asyncpg", "pymysql", "MySQLdb", "mysql", "sqlalchemy")


def find(fault: Fault) -> Finding | None:
    """Read a fault of a database driver."""
    state = word(fault, "sqlstate", "pgcode")
    if state:
        return _by_state(fault, state)
    names = list(called(fault))
    packages = {name.partition(".")[0] for name in names}
    if "sqlite3" in packages:
        return _by_sqlite(fault, names)
    return _by_driver(fault) if packages & set(_DRIVERS) else None


def _by_state(fault: Fault, state: str) -> Finding:
    kind = SQLSTATES.get(state) or SQLSTATES.get(state[:2], Kind.OTHER)
    if state in _NEVER_CONNECTED:
        return _finding(fault, Kind.NOT_SENT, code=state, phase=Phase.NOT_SENT)
    # 40003: statement completion unknown.
    answered = state[:2] not in _NO_ANSWER and state != "40003" and kind is not Kind.OTHER
    return _finding(fault, kind, code=state, answered=answered)


def _by_sqlite(fault: Fault, names: list[str]) -> Finding:
    said = (kind for pattern, kind in _SQLITE if pattern.search(fault.message))
    by_type = next((_SQLITE_TYPES[name] for name in names if name in _SQLITE_TYPES), Kind.OTHER)
    code = word(fault, "sqlite_errorname") or fault.type
    kind = next(said, by_type)
    return _finding(fault, kind, code=code, answered=kind is not Kind.OTHER)


def _by_driver(fault: Fault) -> Finding | None:
    match = _TUPLE.match(fault.message)
    code = int(match[1]) if match else number(fault, "errno")
    if code in _MYSQL:
        kind = _MYSQL[code]
        sent = kind in (Kind.NOT_SENT, Kind.SERVER_ERROR)
        phase = Phase.NOT_SENT if kind is Kind.NOT_SENT else Phase.UNKNOWN
        return _finding(fault, kind, code=str(code), phase=phase, answered=not sent)
    said = next((kind for pattern, kind in _POSTGRES if pattern.search(fault.message)), None)
    if said is None:
        return None
    before = said in (Kind.NOT_SENT, Kind.CREDENTIAL)
    return _finding(fault, said, phase=Phase.NOT_SENT if before else Phase.UNKNOWN)


def _finding(
    fault: Fault,
    kind: Kind,
    *,
    code: str = "",
    phase: Phase = Phase.UNKNOWN,
    answered: bool = False,
) -> Finding:
    return Finding(
        kind=kind,
        message=f"{fault.type}: {fault.message}",
        code=code or fault.type,
        phase=phase,
        answered=answered,
    )

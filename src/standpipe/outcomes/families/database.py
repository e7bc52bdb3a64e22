"""Databases: SQLSTATE first, then the error names of SQLite and MySQL, then their words.

Rule: an error the database names is an answer: the statement was rolled back. A lost connection is none.
"""

import re

from standpipe.outcomes.finding import Finding
from standpipe.outcomes.outcome import Kind, Phase
from standpipe.outcomes.reading import Link, number, word

# Five characters before two: the most specific wins.
SQLSTATES = {
    "42501": Kind.FORBIDDEN,
    "42P01": Kind.NOT_FOUND,
    "42S02": Kind.NOT_FOUND,
    "HYT00": Kind.TIMED_OUT,
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
_NO_ANSWER = ("08", "57", "58", "HY", "XX")
MYSQL = {
    1040: Kind.OVERLOADED,
    1044: Kind.FORBIDDEN,
    1045: Kind.CREDENTIAL,
    1048: Kind.BAD_INPUT,
    1049: Kind.NOT_FOUND,
    1054: Kind.BAD_INPUT,
    1062: Kind.CONFLICT,
    1064: Kind.BAD_INPUT,
    1142: Kind.FORBIDDEN,
    1146: Kind.NOT_FOUND,
    1203: Kind.OVERLOADED,
    1205: Kind.CONFLICT,
    1213: Kind.CONFLICT,
    1264: Kind.BAD_INPUT,
    1366: Kind.BAD_INPUT,
    1406: Kind.BAD_INPUT,
    1452: Kind.BAD_INPUT,
    1698: Kind.CREDENTIAL,
    2002: Kind.NOT_SENT,
    2003: Kind.NOT_SENT,
    2005: Kind.NOT_SENT,
    2006: Kind.SERVER_ERROR,
    2013: Kind.SERVER_ERROR,
    3024: Kind.TIMED_OUT,
    3819: Kind.BAD_INPUT,
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
SQLITE_TYPES = {
    "sqlite3.ProgrammingError": Kind.BAD_INPUT,
    "sqlite3.IntegrityError": Kind.BAD_INPUT,
    "sqlite3.DataError": Kind.BAD_INPUT,
    "sqlite3.InterfaceError": Kind.BAD_INPUT,
}
_POSTGRES = (
    (
        re.compile(
            r"password authentication failed|no password supplied|no pg_hba.conf entry|role \".{1,80}\" does not exist"
        ),
        Kind.CREDENTIAL,
    ),
    (re.compile(r"database \".{1,80}\" does not exist"), Kind.NOT_FOUND),
    (
        re.compile(
            r"QueuePool limit|pool timeout|couldn't get a connection|pool exhausted",
            re.IGNORECASE,
        ),
        Kind.NOT_SENT,
    ),
    (re.compile(r"too many clients|remaining connection slots"), Kind.OVERLOADED),
    (re.compile(r"the database system is (?:starting up|shutting down)"), Kind.OVERLOADED),
    (
        re.compile(
            r"server closed the connection|connection (?:is |was |has been )?(?:lost|closed)|terminating connection"
            r"|closed in the middle|SSL connection has been closed"
        ),
        Kind.SERVER_ERROR,
    ),
    (
        re.compile(
            r"connection failed|could not connect|connection refused|could not translate host|failed to resolve host"
            r"|could not receive .{0,40}SSL|connection timeout expired"
        ),
        Kind.NOT_SENT,
    ),
)
_STATE = re.compile(r"[0-9A-Z]{5}")
# PyMySQL shows a tuple, mysql.connector `1045 (28000): ...`; SQLAlchemy puts its own words before it.
_TUPLE = re.compile(r"\((\d{4}), |^(\d{4}) \([0-9A-Z]{5}\): ")
# libpq opens every failure to connect with one of these; no statement was sent by then.
_CONNECTING = re.compile(
    r"^(?:\([\w.]{1,60}\) )?(?:connection failed|connection to server|could not connect)"
)
# pyodbc opens with the SQLSTATE; 23000 is any constraint, which the sentence names.
_OPENING_STATE = re.compile(r"\('([0-9A-Z]{5})', ")
_ANY_CONSTRAINT = "23000"
_MYSQLS = frozenset({"pymysql", "MySQLdb", "mysql", "aiomysql", "asyncmy", "sqlalchemy"})
_DRIVERS = frozenset(
    {"psycopg", "psycopg2", "asyncpg", "pymysql", "MySQLdb", "mysql", "aiomysql", "sqlalchemy", "pg8000",
     "psycopg_pool"}
)  # fmt: skip


def find(link: Link) -> Finding | None:
    """Read a fault of a database driver."""
    # MySQL's own numbers say more than the SQLSTATE it sends along, which is often HY000.
    if not _MYSQLS.isdisjoint(link.packages) and (found := _by_mysql(link)):
        return found
    state = word(link.fault, "sqlstate", "pgcode")
    if state and (found := by_state(state, _said(link))):
        return found
    if "sqlite3" in link.packages:
        return _by_sqlite(link)
    if "pyodbc" in link.packages and (match := _OPENING_STATE.match(link.message)):
        return None if match[1] == _ANY_CONSTRAINT else by_state(match[1], _said(link))
    return None if _DRIVERS.isdisjoint(link.packages) else _by_driver(link)


def by_state(state: str, shown: str) -> Finding | None:
    """Say what a SQLSTATE means."""
    if not _STATE.fullmatch(state):
        return None
    kind = SQLSTATES.get(state) or SQLSTATES.get(state[:2], Kind.OTHER)
    if state in _NEVER_CONNECTED:
        return Finding(kind=Kind.NOT_SENT, message=shown, code=state, phase=Phase.NOT_SENT)
    # 40003: statement completion unknown.
    answered = state[:2] not in _NO_ANSWER and state != "40003" and kind is not Kind.OTHER
    return Finding(kind=kind, message=shown, code=state, answered=answered)


def by_number(code: int, shown: str) -> Finding | None:
    """Say what a number of MySQL means."""
    if code not in MYSQL:
        return None
    kind = MYSQL[code]
    sent = kind in (Kind.NOT_SENT, Kind.SERVER_ERROR, Kind.TIMED_OUT)
    phase = Phase.NOT_SENT if kind is Kind.NOT_SENT else Phase.UNKNOWN
    return Finding(kind=kind, message=shown, code=str(code), phase=phase, answered=not sent)


def _by_sqlite(link: Link) -> Finding:
    said = (kind for pattern, kind in _SQLITE if pattern.search(link.message))
    by_type = next((SQLITE_TYPES[name] for name in link.names if name in SQLITE_TYPES), Kind.OTHER)
    code = word(link.fault, "sqlite_errorname") or link.fault.type
    kind = next(said, by_type)
    return Finding(kind=kind, message=_said(link), code=code, answered=kind is not Kind.OTHER)


def _by_mysql(link: Link) -> Finding | None:
    match = _TUPLE.search(link.message)
    code = int(match[1] or match[2]) if match else number(link.fault, "errno")
    return None if code is None else by_number(code, _said(link))


def _by_driver(link: Link) -> Finding | None:
    said = next((kind for pattern, kind in _POSTGRES if pattern.search(link.message)), None)
    if said is None:
        return None
    before = said is Kind.NOT_SENT or _CONNECTING.search(link.message) is not None
    phase = Phase.NOT_SENT if before else Phase.UNKNOWN
    return Finding(kind=said, message=_said(link), code=link.fault.type, phase=phase)


def _said(link: Link) -> str:
    return f"{link.fault.type}: {link.message}"

"""Every row of every family, as it comes out at the end: kind, phase, and whether an effect has surely not happened.

A row that changes, comes or goes changes `family_tables.json`, and somebody reads that change.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from standpipe.actions import Effect, Fault, Raised, Tool
from standpipe.outcomes.classify import classify, judge
from standpipe.outcomes.families import (  # fmt: skip
    bodies,
    code,
    database,
    grpc,
    http,
    mail,
    mcp,
    model,
    names,
    transport,
    words,
)
from standpipe.outcomes.outcome import Failed

GOLDEN = Path(__file__).parents[2] / "golden" / "family_tables.json"
LOOK = Tool(name="look", effect=Effect.READ)
PAY = Tool(name="pay", effect=Effect.ONCE)


def answered(status: str, body: str = "") -> Fault:
    return Fault("E", f"HTTP {status}", "x", {"status_code": int(status)}, body=body)


def named(name: str) -> Fault:
    package, _, kind = name.partition(".")
    return Fault(kind, "x", package)


def coded(word: str) -> Fault:
    return Fault("E", json.dumps({"ok": False, "error": word.removeprefix("=")}), "x")


TABLES: Mapping[str, tuple[Iterable[object], Callable[[str], Fault]]] = {
    "status": ([*http.STATUS, 302, 411, 500, 502, 504, 520], answered),
    "errno": (
        [*words.ERRNOS, *transport.ERRNOS],
        lambda number: Fault("OSError", "x", attributes={"errno": int(number)}),
    ),
    "exit code": (
        [*words.EXITS, 1, -9, -15, 143],
        lambda number: Fault("CalledProcessError", "x", "subprocess", {"returncode": int(number)}),
    ),
    "curl": (words.CURL, lambda number: Fault("E", f"curl: ({number}) x", "x")),
    "python": (words.TYPES, lambda name: Fault(name, "x")),
    "python in a text": (words.TYPES, lambda name: Fault("E", f"{name}: x", "x")),
    "sqlstate": (
        [*database.SQLSTATES, "08001", "08004", "40003", "99999"],
        lambda state: Fault("E", "x", "psycopg", {"sqlstate": f"{state}999"[:5]}),
    ),
    "mysql": (
        database.MYSQL,
        lambda number: Fault("E", f"({number}, 'x')", "pymysql"),
    ),
    "sqlite": (database.SQLITE_TYPES, named),
    "smtp": (
        [*mail.REPLIES, 455, 550, 554],
        lambda number: Fault("SMTPDataError", "x", "smtplib", {"smtp_code": int(number)}),
    ),
    "smtp in a text": (
        ["550 5.7.1", "535 5.7.8", "451 4.7.1", "554 5.0.0"],
        lambda reply: Fault("E", f"the server said {reply} no", "x"),
    ),
    "ftp": (
        mail.FTP_REPLIES,
        lambda number: Fault("error_perm", f"{number} x", "ftplib"),
    ),
    "grpc": (
        grpc.STATUSES,
        lambda word: Fault("_InactiveRpcError", f"StatusCode.{word}", "grpc._channel"),
    ),
    "mcp": (mcp.CODES, lambda number: Fault("McpError", "x", "mcp", {"code": int(number)})),
    "mcp types": (mcp.TYPES, named),
    "model types": (model.TYPES, named),
    "model codes": (bodies.MODEL_CODES, coded),
    "codes": ([part for _, parts in bodies.CODES for part in parts], coded),
    "codes at 400": (
        ["throttl", "card_declined", "server_error", "timeout", "idempotency_error"],
        lambda word: answered("400", json.dumps({"error": {"code": word}})),
    ),
    "clients": (names.TYPES, named),
    "names": (
        [part for row in (*names.FIRST, *names.LAST) for part in row[1]],
        lambda part: Fault(f"My{part.capitalize()}", "x", "somebody"),
    ),
    "network": ([*transport.TYPES, *transport.WRAPPERS], named),
    "own": (code.OWN, named),
}  # fmt: skip


def rows() -> Iterator[tuple[str, Fault]]:
    for table, (keys, make) in TABLES.items():
        for key in keys:
            yield f"{table}: {key}", make(str(key))


def told(fault: Fault) -> str:
    failed = classify(LOOK, fault)
    proven = isinstance(judge(PAY, Raised(fault)), Failed)
    waits = "" if failed.retry_after_seconds is None else f" {failed.retry_after_seconds:g} s"
    return f"{failed.kind} {failed.phase}{waits}{', did not happen' if proven else ''}"


FOUND = {name: told(fault) for name, fault in rows()}


def test_every_row_of_every_family_comes_out_as_agreed() -> None:
    agreed = json.loads(GOLDEN.read_text())
    changed = {name: (agreed.get(name), FOUND.get(name)) for name in agreed.keys() | FOUND.keys()}
    assert {name: pair for name, pair in changed.items() if pair[0] != pair[1]} == {}


@pytest.mark.parametrize("status", [429, 503])
def test_only_a_limit_reads_reset_headers(status: int) -> None:
    headers = {"x-ratelimit-reset": "12"}
    limited = Fault("E", "x", "x", {"status_code": status}, headers)
    assert classify(LOOK, limited).retry_after_seconds == 12
    broken = Fault("E", "x", "x", {"status_code": 500}, headers)
    assert classify(LOOK, broken).retry_after_seconds is None

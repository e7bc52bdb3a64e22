"""Two commits for each action, and nothing else: run_raw.py sqlite FILE | postgres URL."""

import asyncio
import sqlite3
import sys
from itertools import count as counting

from talk import Act, serve

TEXT = "x" * 300  # about what an entry is


def on_sqlite(path: str) -> Act:
    db = sqlite3.connect(path, isolation_level=None)
    for statement in (
        "pragma journal_mode=wal",
        "pragma synchronous=full",
        "create table t (n integer primary key, a text)",
    ):
        db.execute(statement)

    async def act(parallel: int, count: int) -> None:
        del parallel  # one file has one writer; taking turns is the fastest that it can do
        for _ in range(count * 2):
            db.execute("insert into t (a) values (?)", (TEXT,))

    return act


async def on_postgres(url: str) -> Act:
    import psycopg  # noqa: PLC0415 -- only who measures it has it

    connections = [await psycopg.AsyncConnection.connect(url, autocommit=True) for _ in range(20)]
    await connections[0].execute("create table t (n integer primary key, a text)")
    numbers = counting()

    async def one(connection: psycopg.AsyncConnection, count: int) -> None:
        for _ in range(count * 2):
            await connection.execute("insert into t values (%s, %s)", (next(numbers), TEXT))

    async def act(parallel: int, count: int) -> None:
        await asyncio.gather(*(one(each, count // parallel) for each in connections[:parallel]))

    return act


async def main() -> None:
    kind, where = sys.argv[1:]
    await serve(on_sqlite(where) if kind == "sqlite" else await on_postgres(where))


if __name__ == "__main__":
    asyncio.run(main())

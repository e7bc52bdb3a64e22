"""A PostgreSQL server that is measured, locked and stopped."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from durable_lab.storm import descendants

from standpipe.testing.postgres import Server, server


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server whose files lie on a disk, as those of a real one."""

    server: Server

    def ask(self, statement: str) -> object:
        """Run one statement and return its only value."""
        import psycopg  # noqa: PLC0415 -- only who measures it has it

        with psycopg.connect(self.server.url(), autocommit=True) as db:
            row = db.execute(statement.encode()).fetchone()
        return row[0] if row else None

    def processes(self) -> list[int]:
        """Return the server and everything it has started for its clients."""
        first = int((Path(self.server.running.pgdata) / "postmaster.pid").read_text().split()[0])
        return [first, *descendants(first)]

    async def out_for(self, seconds: float) -> None:
        """Crash the server, and start it again after a while."""
        await asyncio.to_thread(self.server.kill)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self.server.start)

    async def lock_for(self, url: str, table: str, seconds: float) -> None:
        """Keep everybody from writing to a table of a database for a while."""
        import psycopg  # noqa: PLC0415 -- only who measures it has it

        async with await psycopg.AsyncConnection.connect(url) as db:
            await db.execute(f"lock table {table} in exclusive mode".encode())
            await asyncio.sleep(seconds)


@asynccontextmanager
async def postgres() -> AsyncGenerator[Postgres]:
    """Start a server for as long as the context lasts."""
    with server(Path(tempfile.gettempdir())) as running:
        yield Postgres(running)

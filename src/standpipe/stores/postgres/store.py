"""The journal in PostgreSQL: many machines, one home."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Final, cast

from standpipe.clock import Clock, stamp
from standpipe.ids import run_id
from standpipe.journal.chain import Stored
from standpipe.journal.entries import Draft, Entry, RunCreated
from standpipe.journal.seals import Seal, covered, fold, seal
from standpipe.journal.store import Seen
from standpipe.stores.postgres.batch import Append, Begin, Create, Number, Post, Write
from standpipe.stores.postgres.commit import Commit
from standpipe.stores.postgres.leases import Leases
from standpipe.stores.postgres.link import PATIENCE_SECONDS, STATEMENT_SECONDS, Link
from standpipe.stores.postgres.schema import check
from standpipe.stores.postgres.statements import COLUMNS, entry, lock, octets, stored, text
from standpipe.stores.writer import GroupWriter

_READ: Final = f"select {COLUMNS} from standpipe.entry e where home = %s and run = %s and seq > %s order by seq"  # noqa: S608 -- a constant
_STREAMS: Final = """
select id from standpipe.run where home = %s and seq > 0
union select distinct run from standpipe.entry where home = %s
"""
_ROWS: Final = "select key, data from standpipe.view where home = %s and name = %s"
_ROW: Final = _ROWS + " and key = %s"
_CALLER: Final = """
select id from standpipe.run where home = %s and caller_id = %s order by caller_id limit 1
"""
_SEALS: Final = "select n, at, heads, prev, hash from standpipe.seal where home = %s order by n"
_NEWEST_SEAL: Final = "select coalesce(max(seal), 0) from standpipe.run where home = %s"
_SEAL_OF: Final = """
select s.n, s.at, s.heads, s.prev, s.hash from standpipe.run r
join standpipe.seal s on s.home = r.home and s.n = r.seal where r.home = %s and r.id = %s
"""
_UNSEALED: Final = "select id, head from standpipe.run where home = %s and unsealed and seq > 0"
_SEALED: Final = "update standpipe.run set seal = %s, unsealed = false where home = %s and unsealed"


class PostgresStore(Leases):
    """Keep the entries of one home in a database; as many processes as like may use it at once.

    Args:
        url: where the database is, as libpq reads it.
        home: what this home is called there: the same on all of its machines, in no other home.
        secret: of the chain; with one, a hash is an HMAC.
        create: make what a new home needs; who only reads says no.
        patience_seconds: how long a server that is gone is waited for.
        statement_seconds: how long one statement may take, waiting for locks included.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        home: str,
        create: bool = True,
        secret: bytes = b"",
        patience_seconds: float = PATIENCE_SECONDS,
        statement_seconds: float = STATEMENT_SECONDS,
    ) -> None:
        link = Link(
            url,
            clock,
            check=partial(check, home=home, create=create),
            patience_seconds=patience_seconds,
            statement_seconds=statement_seconds,
        )
        super().__init__(link, home)
        self._clock = clock
        self._secret = secret
        self._writer = GroupWriter[Write](Commit(link, clock, home, secret).write)

    async def create(self, created: RunCreated) -> str:
        if created.caller_id:
            asked = self._home, octets(created.caller_id)
            for (known,) in await self._link.ask(_CALLER, *asked):
                return str(known)
        run = run_id(await self.number("run"))
        return cast("str", await self._writer.write(Create(run, created)))

    async def start_segment(self, run: str, draft: Draft, *, owner: str = "") -> int:
        return cast("int", await self._writer.write(Begin(run, draft, owner)))

    async def append(
        self, run: str, epoch: int, drafts: Sequence[Draft], *, seen: Seen | None = None
    ) -> Sequence[Entry]:
        write = Append(run, epoch, drafts, seen or {})
        return cast("Sequence[Entry]", await self._writer.write(write))

    async def post(self, run: str, drafts: Sequence[Draft]) -> Sequence[Entry]:
        return cast("Sequence[Entry]", await self._writer.write(Post(run, drafts)))

    async def read(self, run: str, after: int = 0) -> Sequence[Entry]:
        return [entry(row) for row in await self._link.ask(_READ, self._home, run, after)]

    async def stored(self, run: str) -> Sequence[Stored]:
        return [stored(row) for row in await self._link.ask(_READ, self._home, run, 0)]

    async def streams(self) -> Sequence[str]:
        return [str(run) for (run,) in await self._link.ask(_STREAMS, self._home, self._home)]

    async def number(self, series: str) -> int:
        return cast("int", await self._writer.write(Number(series)))

    async def row(self, view: str, key: str) -> bytes | None:
        found = await self._link.ask(_ROW, self._home, view, octets(key))
        return found[0][1] if found else None

    async def rows(self, view: str) -> Mapping[str, bytes]:
        return {text(key): data for key, data in await self._link.ask(_ROWS, self._home, view)}

    async def seal(self) -> None:
        await self._link.patiently(self._seal)

    async def sealed(self, run: str = "") -> Mapping[str, str]:
        if not run:
            newest = [int(n) for (n,) in await self._link.ask(_NEWEST_SEAL, self._home)]
            return fold(await self.seals(), at_least=sum(newest), secret=self._secret)
        heads = [
            covered(Seal(*row), secret=self._secret)
            for row in await self._link.ask(_SEAL_OF, self._home, run)
        ]
        return {run: heads[0][run]} if heads and run in heads[0] else {}

    async def seals(self) -> Sequence[Seal]:
        return [Seal(*row) for row in await self._link.ask(_SEALS, self._home)]

    async def now(self) -> datetime:
        """Return what time it is where everybody asks: in the database."""
        [(now,)] = await self._link.ask("select clock_timestamp()")
        return cast("datetime", now)

    async def close(self) -> None:
        self._link.hurry()
        await self._writer.settle()
        await self._link.close()

    async def _seal(self) -> None:
        async with self._link.connection() as db, db.transaction():
            await lock(db, self._home)
            changed = await db.execute(_UNSEALED, (self._home,))
            heads: dict[str, str] = dict(await changed.fetchall())
            if not heads:
                return
            found = await (await db.execute(_SEALS + " desc limit 1", (self._home,))).fetchone()
            new = seal(
                Seal(*found) if found else None,
                heads,
                at=stamp(self._clock.now()),
                secret=self._secret,
            )
            values = (self._home, new.n, new.at, new.heads, new.prev, new.hash)
            await db.execute("insert into standpipe.seal values (%s, %s, %s, %s, %s, %s)", values)
            await db.execute(_SEALED, (new.n, self._home))

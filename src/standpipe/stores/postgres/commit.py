"""How a batch is written: one statement when nobody else writes, a locked transaction when somebody does.

Rule 1: every writer of a home counts `home.n` up in the transaction of what it writes. Rows that were read
when `n` was 7 are still right while `n` is 7; so the rows of one batch serve the next.
Rule 2: a batch is first sent as one statement that changes nothing unless `n` is as expected and nothing
of it was said before. Only when all of it can be written is its result believed.
Rule 3: otherwise the row of the home is locked, everything is read again, and that result counts.
Rule 4: after a lost connection nobody knows whether a batch was written. It is computed again with the same
keys: what is there is told, not repeated.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from psycopg.errors import (  # noqa: TID253 -- this package loads only when it is configured
    UniqueViolation,
)

from standpipe.clock import Clock, stamp
from standpipe.errors import JournalError, NotFoundError
from standpipe.stores.postgres.batch import LEASE, Batch, Result, Rows, Write
from standpipe.stores.postgres.link import Connection, Link, passes
from standpipe.stores.postgres.schema import SCHEMA_VERSION, must_fit
from standpipe.stores.postgres.statements import Count, Found, fetch, send
from standpipe.stores.writer import Failure

ROWS_MAX = 10_000  # that are kept for the next batch
Results = list[Result | Failure]


@dataclass(slots=True)
class Commit:
    """Write batches of one home, one at a time."""

    link: Link
    clock: Clock
    home: str
    secret: bytes = b""
    _known: Rows = field(default_factory=Rows)
    _n: int = -1  # when what is known was read; -1: nothing is known
    _ours: int = -1  # what our last batch counted up to
    _alone: bool = True  # nobody else wrote between our last batches

    async def write(self, writes: Sequence[Write]) -> Results:
        """Write what can be written of a batch, and return what came of each."""
        sent: Results = []

        async def attempt() -> Results:
            async with self.link.connection() as db:
                try:
                    return await self._attempt(db, writes, sent)
                except BaseException:
                    self._forget()
                    raise

        try:
            return await self.link.patiently(attempt)
        except JournalError as error:
            if len(writes) == 1 or passes(error.__cause__):
                raise
        return [result for write in writes for result in await self._by_itself(write)]

    async def _by_itself(self, write: Write) -> Results:
        """Write one of a batch that the server refused, so that only the bad one fails."""
        try:
            return await self.write([write])
        except JournalError as error:
            return [Failure(error)]

    async def _attempt(self, db: Connection, writes: Sequence[Write], sent: Results) -> Results:
        if self._alone and not sent:
            results = await self._at_once(db, writes, sent)
            if results is not None:
                return results
        return await self._locked(db, writes, sent)

    async def _at_once(
        self, db: Connection, writes: Sequence[Write], sent: Results
    ) -> Results | None:
        """Write as one statement; None, and nothing is written, when the result could not be believed."""
        while (batch := self._computed(writes, sent, all_new=True)).missing:
            found = await fetch(db, self.home, batch.missing)
            count = self._fitting(found)
            if self._n not in (-1, count.n):
                return None
            self._n = count.n
            self._known.update(found.rows)
        if not batch.changed or any(isinstance(result, Failure) for result in batch.results):
            return None
        sent[:] = batch.results
        with suppress(UniqueViolation):
            if await send(db, self.home, Count(self._n, SCHEMA_VERSION), batch.changed):
                return self._written(batch)
        sent.clear()
        return None

    async def _locked(self, db: Connection, writes: Sequence[Write], sent: Results) -> Results:
        """Write in a transaction that nobody else can come between."""
        if not self._alone:
            self._forget()  # somebody has written since: all is fetched in one trip
        found = await fetch(
            db, self.home, self._computed(writes, sent, all_new=False).missing, begin=True
        )
        count = self._fitting(found)
        self._alone = count.n == self._ours
        if count.n != self._n:
            self._forget()
            self._n = count.n
        self._known.update(found.rows)
        while (batch := self._computed(writes, sent, all_new=False)).missing:
            self._known.update((await fetch(db, self.home, batch.missing)).rows)
        if not batch.changed:
            await db.execute("rollback")
            return batch.results
        sent[:] = batch.results
        if not await send(db, self.home, count, batch.changed, commit=True):
            raise JournalError(
                f"the journal of home `{self.home}` was changed under a lock",
                hint="somebody writes into its tables by other means; `standpipe journal verify`",
            )
        return self._written(batch)

    def _computed(self, writes: Sequence[Write], sent: Results, *, all_new: bool) -> Batch:
        batch = Batch(stamp(self.clock.now()), self._known, all_new, self.secret)
        for place, write in enumerate(writes):
            batch.add(write, sent[place] if sent else None)
        return batch

    def _fitting(self, found: Found) -> Count:
        """Return how often the home was written, if this version can write it."""
        if found.count is None:
            hint = "nothing ran in this home yet; `standpipe run TASK`"
            raise NotFoundError(f"no journal of home `{self.home}` in this database", hint=hint)
        must_fit(found.count.version)
        return found.count

    def _written(self, batch: Batch) -> Results:
        """Keep the rows as they are now for the next batch; entries and leases are asked for again."""
        self._known.update(batch.changed)
        self._n += 1
        self._ours = self._n
        self._known.entries.clear()
        self._known.created.clear()
        for name in [name for name in self._known.views if name[0] == LEASE]:
            del self._known.views[name]
        if len(self._known.views) + len(self._known.streams) > ROWS_MAX:
            self._forget()
        return batch.results

    def _forget(self) -> None:
        self._known, self._n = Rows(), -1

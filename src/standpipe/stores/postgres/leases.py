"""Who works on what, by the clock of the database: owners that must say again and again that they live.

Rule 1: no clock of a worker counts here; it may jump as it likes.
Rule 2: leases lie beside the journal, in a table of their own: a beat never waits for an append.
Rule 3: a lease says who may begin a segment. What it does not prevent, the fence of the journal does.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from standpipe.stores.postgres.link import Link
from standpipe.stores.postgres.statements import DEFAULT_QUEUE

_LEASE: Final = """
insert into standpipe.lease as l (home, run, worker, until)
values (%s, %s, %s, clock_timestamp() + %s * interval '1 second')
on conflict (home, run) do update set worker = excluded.worker, until = excluded.until
  where l.worker in ('', excluded.worker) or l.until <= clock_timestamp()
returning run
"""
_BEAT: Final = """
insert into standpipe.worker as w (home, id, host, beat_at, until)
values (%s, %s, %s, clock_timestamp(), clock_timestamp() + %s * interval '1 second')
on conflict (home, id) do update set host = excluded.host, beat_at = excluded.beat_at, until = excluded.until
returning id
"""
# Locked in one order, so that two beats never wait for each other. A lease that ran out while nobody
# took it is made longer, too: it is still this worker's.
_RENEW: Final = """
with own as (
  select run from standpipe.lease where home = %s and worker = %s order by run for update
)
update standpipe.lease l set until = clock_timestamp() + %s * interval '1 second'
from own where l.home = %s and l.run = own.run
returning l.run
"""
_RELEASE: Final = """
update standpipe.lease set worker = '', until = clock_timestamp()
where home = %s and run = %s and worker = %s returning run
"""
_WORKERS: Final = """
select id, host, to_char(beat_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), until > clock_timestamp()
from standpipe.worker where home = %s order by beat_at desc, id
"""
_DUE: Final = """
select r.id from standpipe.run r
left join standpipe.lease l on l.home = r.home and l.run = r.id and l.worker <> '' and l.until > clock_timestamp()
where r.home = %s and r.queue = %s
  and (r.status in ('queued', 'running', 'yielded') or r.status = 'blocked' and r.wake_at is not null)
  and (r.status in ('running', 'yielded') and r.epoch > 0
       or r.status in ('queued', 'blocked', 'running') and r.wake_at <= clock_timestamp())
  and l.run is null
order by r.priority desc, r.wake_at nulls first, length(r.id), r.id
limit %s
"""


class Worker(Struct, frozen=True):
    """A process that works on runs, or did; the database says whether it still beats."""

    id: str
    host: str
    beat_at: str
    alive: bool


class Leases:
    """Keep the leases of one home."""

    def __init__(self, link: Link, home: str) -> None:
        self._link = link
        self._home = home

    async def lease(self, run: str, worker: str, ttl_seconds: float) -> bool:
        """Let `worker` own a run that nobody living owns; False where somebody does."""
        return bool(await self._link.ask(_LEASE, self._home, run, worker, ttl_seconds))

    async def beat(self, worker: str, host: str, ttl_seconds: float) -> frozenset[str]:
        """Say that `worker` lives, make its leases longer, and return the runs it still holds."""
        await self._link.ask(_BEAT, self._home, worker, host, ttl_seconds)
        held = await self._link.ask(_RENEW, self._home, worker, ttl_seconds, self._home)
        return frozenset(str(run) for (run,) in held)

    async def release(self, run: str, worker: str) -> None:
        """Give a run back."""
        await self._link.ask(_RELEASE, self._home, run, worker)

    async def workers(self) -> Sequence[Worker]:
        """Return all workers that were ever heard of here, the last to beat first."""
        return [Worker(*row) for row in await self._link.ask(_WORKERS, self._home)]

    async def due(self, queue: str, limit: int = 100) -> Sequence[str]:
        """Return runs of a queue that may go on now, the most important first."""
        asked = (self._home, queue or DEFAULT_QUEUE, limit)
        return [str(run) for (run,) in await self._link.ask(_DUE, *asked)]

"""A worker process for tests: URL HOME NAME. A run whose task is `stay` is worked on until it is given back."""

import asyncio
import signal
import sys

from standpipe.clock import SystemClock
from standpipe.engines.dbos import DbosEngine
from standpipe.engines.leases import LeaseOwnership
from standpipe.engines.port import Hold
from standpipe.engines.turns import Turns
from standpipe.journal.entries import Draft, RunCreated, RunEnded, SegmentEnded, SegmentStarted
from standpipe.stores.postgres import PostgresStore

URL, HOME, NAME = sys.argv[1:]


async def segment(store: PostgresStore, run: str, hold: Hold) -> None:
    draft = Draft("", SegmentStarted(NAME, 1, "", "0"))
    epoch = await store.start_segment(run, draft, owner=hold.owner)
    created = (await store.read(run))[0].body
    stays = isinstance(created, RunCreated) and created.task == "stay"
    if stays and epoch == 1:
        await hold.wanted.wait()
    status = "yielded" if hold.wanted.is_set() else "done"
    ended = [Draft(str(epoch), SegmentEnded(status))]
    if status == "done":
        ended.append(Draft(run, RunEnded(status, "")))
    await store.append(run, epoch, ended)


async def main() -> None:
    clock, stop = SystemClock(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    store = PostgresStore(URL, clock, home=HOME)
    ownership = LeaseOwnership(store, worker=NAME, host="here", clock=clock)
    turns = Turns(url=URL, home=HOME, worker=NAME)
    engine = DbosEngine(store, ownership, turns=turns, clock=clock, queues={})

    async def work(run: str) -> None:
        async with engine.owning(run) as hold:
            await segment(store, run, hold)

    await engine.run_worker(work, concurrency=4, stop=stop)
    await store.close()


asyncio.run(main())

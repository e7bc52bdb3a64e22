"""What one does with a home: begin a run, go on with it, hand it to workers, be one.

Rule 1: a run is segments (`segment.py`); whoever owns the run takes it through one of them.
Rule 2: heavy parts load where they are used.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Protocol

from msgspec.structs import replace

import standpipe
from standpipe.actions import Tool
from standpipe.clock import Clock, stamp
from standpipe.config import find_home
from standpipe.desk.blockers import blocker_rows, run_rows
from standpipe.desk.fleet import meant
from standpipe.desk.report import Report, report
from standpipe.engines.port import Engine
from standpipe.engines.scheduler import Scheduler
from standpipe.engines.schedules import Schedule, read_schedules
from standpipe.errors import ConfigError, FencedError, GivenBackError, OwnedError, UsageError
from standpipe.ids import caller_id as name_of_caller, digest
from standpipe.journal.entries import Entry, RunCreated
from standpipe.journal.journal import Listener
from standpipe.journal.outgrown import refuse_outgrown
from standpipe.journal.projections import FINAL
from standpipe.journal.store import Store
from standpipe.journal.views import created
from standpipe.memory.brain import Brain
from standpipe.memory.tasks import TaskFile
from standpipe.memory.upkeep import Upkeep, acceptance_of, goal_of
from standpipe.opening import engine_of, entries_of_run, in_step, opened_home, refuse_owned
from standpipe.segment import OpenHome, Segment
from standpipe.tools.agent import TOOLS
from standpipe.tools.overrides import all_tools, check_scope

DEFAULT_QUEUE = "default"
_NOBODY = RunCreated("", "", "", "")


def _must_ask_for(known: str, asked: str, caller_id: str, run: str) -> None:
    if asked != known:
        raise UsageError(
            f"`{caller_id}` is the id of {run}, which has another task",
            hint=f"use another --id, or go on with it: standpipe run {caller_id}",
        )


class Watch(Protocol):
    """Who hears what a worker does."""

    def ready(self, queue: str) -> None: ...  # to work on what is due there
    def heard(self, entry: Entry) -> None: ...  # what a run has written
    def ended(self, report: Report) -> None: ...  # for now
    def gone(self, run: str) -> None: ...  # it is somebody else's, or anybody's
    def trouble(self, error: Exception, run: str = "") -> None: ...  # of one run, or of all


class Runtime:
    """An open home, ready to work."""

    def __init__(self, home: OpenHome, engine: Engine) -> None:
        self.home = home
        self._engine = engine
        self._brain_is_readable = False  # looked at before the first run begins

    @property
    def store(self) -> Store:
        """The journal of this home."""
        return self.home.store

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        home: Path | str,
        *,
        model: str | None = None,
        clock: Clock | None = None,
        tools: bool = True,
    ) -> AsyncGenerator["Runtime"]:
        """Open a home, start its tools unless nothing is to be worked on, and close both at the end.

        Raises:
            UsageError: the home, its settings or its tools cannot be used.
            JournalError: its journal cannot be written.
        """
        opened = opened_home(
            find_home(home),
            model=model,
            clock=clock,
            version=standpipe.__version__,
        )
        try:
            if tools:
                # the client takes longer to load than the workers, which start meanwhile
                loading = asyncio.to_thread(import_module, "standpipe.adapters.pydantic_ai")
                offered, _ = await asyncio.gather(_started(opened), loading)
                opened.tools = all_tools((*offered, *TOOLS), opened.settings)
            async with in_step(opened):
                yield cls(opened, engine_of(opened))
        finally:
            await opened.executor.close()
            await opened.store.close()

    async def run(
        self,
        task: str,
        *,
        caller_id: str = "",
        scope: Sequence[str] | None = None,
        listener: Listener | None = None,
    ) -> Report:
        """Begin a run, or go on with the one that has this `caller_id`, and take it to an end.

        Raises:
            UsageError: that run has another task, or somebody else works on it.
        """
        asked = replace(_NOBODY, caller_id=caller_id)
        run = await self.known(task, caller_id) or await self._begin(task, asked, scope=scope)
        return await self.resume(run, listener=listener)

    async def submit(
        self, task: str, *, queue: str = DEFAULT_QUEUE, caller_id: str = "", model: str = "",
        scope: Sequence[str] | None = None, wake_at: str = "", priority: int = 0,
    ) -> str:  # fmt: skip
        """Hand a task to the workers of a queue; once this returns, it is durably there.

        wake_at: RFC 3339 in UTC; nobody begins before. The same `caller_id` again is the same run.

        Raises:
            UsageError: that run has another task.
        """
        asked = replace(
            _NOBODY, caller_id=caller_id, queue=queue, priority=priority, model=model,
            wake_at=wake_at or stamp(self.home.clock.now()),
        )  # fmt: skip
        run = await self.known(task, caller_id) or await self._begin(task, asked, scope=scope)
        await self._engine.submit(run)
        return run

    async def work(
        self, watch: Watch, *, queue: str = "", concurrency: int = 1, stop: asyncio.Event
    ) -> None:
        """Work on what is due in a queue, and submit what `[[schedule]]` plans, until `stop`.

        Raises:
            ConfigError: a schedule cannot be meant.
        """
        home, self._engine.told = self.home, watch.trouble
        scheduler = Scheduler(
            read_schedules(home.settings), home.store, self._planned,
            clock=home.clock, told=watch.trouble,
        )  # fmt: skip
        watch.ready(queue)
        scheduling = asyncio.create_task(scheduler.run(stop))
        try:
            work = partial(self._watched, watch)
            await self._engine.run_worker(work, queue=queue, concurrency=concurrency, stop=stop)
        finally:
            scheduling.cancel()
            await asyncio.wait({scheduling})

    async def resume(self, run: str, *, listener: Listener | None = None) -> Report:
        """Take a run from where its journal is to an end; a run that has ended is only told.

        Raises:
            UsageError: another process works on it.
            FencedError: another process took it over meanwhile.
        """
        store = self.home.store
        row = meant(await run_rows(store), run)
        if row.status not in FINAL:
            async with self._engine.owning(row.id) as hold:
                row = (await run_rows(store))[row.id]
                if row.status not in FINAL:  # whoever owned it just now may have ended it
                    refuse_owned(store, row)
                    refuse_outgrown(await store.read(row.id), self.home.tools)
                    segment = await Segment.begin(self.home, row.id, listener, hold=hold)
                    await segment.work()
        entries = await entries_of_run(self.home.folder, store, row.id)
        return report(entries, elsewhere=await blocker_rows(store))

    async def _planned(self, schedule: Schedule, name: str, planned: datetime) -> str:
        return await self.submit(
            schedule.task,
            caller_id=name,
            queue=schedule.queue or DEFAULT_QUEUE,
            model=schedule.model or "",
            wake_at=stamp(planned),
        )

    async def _watched(self, watch: Watch, run: str) -> None:
        try:
            report = await self.resume(run, listener=watch.heard)
        except (OwnedError, FencedError, GivenBackError):
            watch.gone(run)
            raise
        except Exception as error:
            watch.trouble(error, run)
            raise
        watch.ended(report)

    async def known(self, typed: str, caller_id: str) -> str:
        """Return the run that has this `caller_id`, if one has.

        Raises:
            UsageError: it has another task.
        """
        if not caller_id:
            return ""
        name = name_of_caller(caller_id)
        rows = (await run_rows(self.home.store)).values()
        known = next((row for row in rows if row.caller_id == name), None)
        if known is None:
            return ""
        if typed.strip().upper() != known.task_id:
            asked = Upkeep(self.home.folder).goal_meant(typed)
            _must_ask_for(known.task, self.home.masker.mask_text(asked), caller_id, known.id)
        return known.id

    async def _begin(self, typed: str, asked: RunCreated, *, scope: Sequence[str] | None) -> str:
        """Begin the run that is `asked` for, once its model, its brain and its scope can be used."""
        home, upkeep = self.home, Upkeep(self.home.folder)
        model = asked.model or ((home.settings.model or "") if home.model is None else home.model)
        if not model:
            hint = 'set `model = "..."` in standpipe.toml, or say --model script:story.yaml'
            raise ConfigError("standpipe.toml: no model is set", hint=hint)
        # A wrong name or key, and a brain that cannot be read, are told before anything starts.
        home.models(model, lambda: 0)
        if not self._brain_is_readable:
            self._brain_is_readable = bool(Brain.open(home.folder).boot())
        self._check_scope(scope)
        file = await self._left_behind(typed, asked.caller_id)
        if file is None:
            number = await home.store.number("task")
            file = upkeep.task(typed, number=number, now=home.clock.now())
        narrowed = tuple(scope) if scope else file.task.tools or None
        self._check_scope(narrowed)
        body = replace(
            asked,
            task=home.masker.mask_text(goal_of(file.task)),
            agent=home.folder.name,
            model=model,
            config=digest((home.folder / "standpipe.toml").read_bytes())[:16],
            task_id=file.task.id,
            acceptance=acceptance_of(file.task),
            scope=narrowed,
        )
        run = await home.store.create(body)
        won = created(await home.store.read(run))
        if won.task_id != body.task_id:  # somebody else was faster with this `caller_id`
            upkeep.withdraw(body.task_id, won.task_id, now=home.clock.now())
            _must_ask_for(won.task, body.task, body.caller_id, run)
        return run

    async def _left_behind(self, typed: str, caller_id: str) -> TaskFile | None:
        """Return the task that a killed process made for this `caller_id`, if one did."""
        if not caller_id:
            return None
        taken = {row.task_id for row in (await run_rows(self.home.store)).values()}
        return Upkeep(self.home.folder).left_behind(typed.strip(), taken)

    def _check_scope(self, scope: Sequence[str] | None) -> None:
        if self.home.tools:  # whoever only submits has started none
            check_scope(scope, self.home.tools)


async def _started(home: OpenHome) -> tuple[Tool, ...]:
    try:
        return await home.executor.start()
    except ConfigError as error:  # it may quote a line of tools.py that holds a secret
        raise ConfigError(home.masker.mask_text(error.message), hint=error.hint) from None

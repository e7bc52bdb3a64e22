"""One segment of a run: from where its journal is to an end, and then nothing of it is left.

Rule 1: whoever works listens: a cancel, or somebody else who owns the run now, is noticed within a second.
Rule 2: what is under way keeps its outcome, unless a person said `now`; nothing new starts meanwhile.
Rule 3: a segment that ends early gives the run back; only the journal says that a run has failed.
"""

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from standpipe.actions import Action, Integrity, Tool
from standpipe.clock import Clock, stamp, steadily
from standpipe.desk.liveness import started
from standpipe.engines.port import LOOK_SECONDS, Hold
from standpipe.errors import FencedError, GivenBackError, NotFoundError, StandpipeError
from standpipe.execution.executor import Executor, Inner
from standpipe.gate import Gate
from standpipe.governor.budget import Limits, over
from standpipe.journal.ending import End, closing
from standpipe.journal.entries import (
    AnswerGiven,
    BootLoaded,
    CancelRequested,
    Draft,
    RunCreated,
    SegmentEnded,
    SegmentStarted,
)
from standpipe.journal.journal import Journal, Listener
from standpipe.journal.outlook import Outlook, spent
from standpipe.journal.projections import RunRow
from standpipe.journal.record import Record
from standpipe.journal.refusals import Refusals
from standpipe.journal.store import Store
from standpipe.journal.verify import must_be_whole
from standpipe.journal.views import (
    cancelled,
    created,
    interrupted_tree,
    open_blockers,
    session_label,
)
from standpipe.memory.brain import Brain
from standpipe.memory.decisions import Decisions
from standpipe.memory.tasks import Task, Tasks
from standpipe.memory.upkeep import Upkeep
from standpipe.security.checklist import Checklist
from standpipe.security.credentials import Credentials
from standpipe.security.secrets import Masker
from standpipe.settings import Settings
from standpipe.tools.agent import AgentTools
from standpipe.tools.overrides import named_in_sentences

if TYPE_CHECKING:
    from pydantic_ai.models import Model

_LOOK_SECONDS = 0.5
_DRAWN_SECONDS = 1.0


@dataclass(slots=True, kw_only=True)
class OpenHome:
    """An open home: tools running, journal open. What every segment works with.

    model: said for this process; otherwise what a run began with, or the settings say. alive: whether
    somebody still works on a run.
    """

    folder: Path
    settings: Settings
    clock: Clock
    store: Store
    executor: Executor
    masker: Masker
    given: Credentials
    credentials: Mapping[str, str]
    model: str | None
    worker: str
    version: str
    alive: Callable[[RunRow], Awaitable[bool]]
    journal_secret: bytes = b""
    tools: Mapping[str, Tool] = field(default_factory=dict[str, Tool])
    agents: dict[str, AgentTools] = field(default_factory=dict[str, AgentTools])
    at_work: set[str] = field(default_factory=set[str])
    drawn_seconds: float = float("-inf")  # when STATE.md was drawn last, by the monotonic clock

    def models(self, name: str, next_turn: Callable[[], int]) -> "Mapping[str, Model]":
        """Build a model and those that stand in for it.

        Raises:
            ConfigError: there is no such model, or no key for it.
        """
        from standpipe.adapters.providers import build_models  # noqa: PLC0415 -- loads the model client

        return build_models(
            name,
            self.settings.failures.fallback_models,
            home=self.folder,
            credentials=self.credentials,
            timeout_seconds=self.settings.failures.model_seconds,
            next_turn=next_turn,
        )

    def inner(self, name: str) -> Inner:
        """Return how one of the agent's own tools is performed, in whichever run it is called."""

        async def perform(action: Action) -> object:
            return await self.agents[action.run].inner()[name](action)

        return perform


@dataclass(slots=True, kw_only=True)
class Segment:
    """Own the run, work, and write down how it ended."""

    home: OpenHome
    journal: Journal
    asked: RunCreated
    hold: Hold

    @classmethod
    async def begin(
        cls, home: OpenHome, run: str, listener: Listener | None, *, hold: Hold
    ) -> "Segment":
        """Raise the epoch of a run whose record is whole.

        Raises:
            BrokenJournalError: its record is not what was written.
        """
        await must_be_whole(home.store, run, secret=home.journal_secret)
        pid = os.getpid()
        start = SegmentStarted(home.worker, pid, started(pid), home.version)
        epoch = await home.store.start_segment(run, Draft("", start), owner=hold.owner)
        journal = Journal(home.store, run, epoch)
        await journal.refresh()
        if listener:
            journal.listeners.append(listener)
        return cls(home=home, journal=journal, asked=created(journal.entries), hold=hold)

    async def work(self) -> None:
        """Take the run from where its journal is to an end.

        Raises:
            FencedError: somebody else works on it now.
            GivenBackError: this process is to end; whoever takes the run goes on with it.
        """
        self.home.at_work.add(self.journal.run)
        try:
            upkeep = Upkeep(self.home.folder)
            await self._close(await self._end(upkeep), upkeep)
        finally:
            self.home.at_work.discard(self.journal.run)

    async def _end(self, upkeep: Upkeep) -> End:
        try:
            with suppress(NotFoundError):  # a task file that a person took away stops nobody
                upkeep.started(self.asked.task_id, now=self.home.clock.now())
            await self._answered_by_going_on()
            await self._learn(upkeep)
            self.home.executor.inherit(interrupted_tree(self.journal.entries))
            if who := cancelled(self.journal.of(CancelRequested)):  # also of a run that was killed
                return End("cancelled", f"{who} cancelled it")
            return await self._watched()
        except BaseException as error:
            await self._gave_way(error)
            raise

    async def _close(self, end: End, upkeep: Upkeep) -> None:
        await self._learn(upkeep)
        believed = session_label(self.journal.entries).integrity is Integrity.TRUSTED
        with suppress(NotFoundError):  # moved before the end is written: a kill moves it again
            upkeep.ended(self.asked.task_id, end, now=self.home.clock.now(), trusted=believed)
        await self.journal.append(*closing(end, run=self.journal.run, epoch=self.journal.epoch))
        await self._draw(upkeep)
        await self.home.store.seal()

    async def _draw(self, upkeep: Upkeep) -> None:
        """Draw STATE.md; of many runs that end at once, now and then and after the last one."""
        home, now = self.home, self.home.clock.monotonic()
        if len(home.at_work) <= 1 or now - home.drawn_seconds > _DRAWN_SECONDS:
            home.drawn_seconds = now
            await upkeep.draw_state(home.store)

    async def _watched(self) -> End:
        """Let the agent work, and stop it where somebody cancelled, or took the run over."""
        working = asyncio.ensure_future(self._loop())
        looks = (self._cancelled(), self._lost(), self._wanted())
        watching = [asyncio.ensure_future(look) for look in looks]
        try:
            await asyncio.wait({working, *watching}, return_when=asyncio.FIRST_COMPLETED)
            for task in watching:
                if not working.done() and task.done():
                    await _stopped(working)
                    return task.result()
            return await working
        finally:
            await asyncio.gather(*map(_stopped, (working, *watching)))

    async def _cancelled(self) -> End:
        """Return once the run is cancelled and nothing is under way that is to keep its outcome."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                await self.journal.refresh()
            except FencedError:
                raise  # somebody else works on it: at once, not at the next entry
            except StandpipeError:
                continue  # the journal is away; whoever writes next will find out
            said = [e.body for e in self.journal.of(CancelRequested)]
            now = any(isinstance(body, CancelRequested) and body.now for body in said)
            if (who := cancelled(self.journal.of(CancelRequested))) and (
                now or not self.journal.under_way()
            ):
                return End("cancelled", f"{who} cancelled it")

    async def _wanted(self) -> End:
        await self.hold.wanted.wait()
        while self.journal.under_way():  # noqa: ASYNC110 -- the journal has no events, and need not
            await asyncio.sleep(LOOK_SECONDS)
        raise GivenBackError("the run is given back", hint="whoever takes it goes on with it")

    async def _lost(self) -> End:
        await self.hold.lost.wait()
        raise FencedError(
            f"`{self.home.worker}` could not say that it still works on run `{self.journal.run}`",
            hint="nothing is lost: whoever takes it over goes on where it stopped",
        )

    async def _loop(self) -> End:
        from standpipe.adapters.instructions import instructions  # noqa: PLC0415 -- loads the model client
        from standpipe.adapters.providers import close, price_of  # noqa: PLC0415 -- as above
        from standpipe.adapters.pydantic_ai import run_segment  # noqa: PLC0415 -- 1.5 s
        from standpipe.adapters.session import Session  # noqa: PLC0415 -- as above

        home = self.home
        home.agents[self.journal.run] = self._agent_tools()
        record = self._record()
        model_name = home.model or self.asked.model
        session = Session(
            gate=Gate(record=record, executor=home.executor, tool=home.tools.__getitem__),
            tools=home.tools,
            model=model_name,
            fallbacks=home.settings.failures.fallback_models,
            mask=home.masker.mask,
            price=price_of,
            model_seconds=home.settings.failures.model_seconds,
            over_budget=lambda: over(
                record.outlook.limits, spent(self.journal, record.outlook.steady())
            ),
        )
        models = home.models(model_name, lambda: session.number)
        told = instructions(await self._boot())
        try:
            return await run_segment(
                session, models[model_name], instructions=told, fallbacks=models
            )
        finally:
            await close(models.values())

    async def _boot(self) -> str:
        """Return what the run was told at its beginning; a resumed run is told the same."""
        for entry in self.journal.of(BootLoaded):
            if isinstance(entry.body, BootLoaded):
                return entry.body.text
        home, journal = self.home, self.journal
        task: Task | None = None
        with suppress(NotFoundError):  # another machine has the file; the run says what is asked
            task = Tasks(home.folder).read(self.asked.task_id).task
        pack = await Upkeep(home.folder).pack(home.store, task=task, but=journal.run)
        text = home.masker.mask_text(pack.text)
        await journal.append(Draft(journal.run, BootLoaded(text, pack.tokens, pack.budget_tokens)))
        return text

    async def _learn(self, upkeep: Upkeep) -> None:
        lessons = list(upkeep.learn(self.journal.entries, now=self.home.clock.now()))
        if lessons:
            await self.journal.append(*lessons)

    async def _answered_by_going_on(self) -> None:
        """A wait whose time has come answers itself; another model answers why the old one failed."""
        now, post = stamp(self.home.clock.now()), self.home.store.post
        other = self.home.model if self.home.model != self.asked.model else None
        models = {self.asked.model, *self.home.settings.failures.fallback_models}
        for blocker, body in open_blockers(self.journal.entries).items():
            if body.kind == "wait" and body.expires_at <= now:
                await post(self.journal.run, [Draft(blocker, AnswerGiven("resume", "clock"))])
            elif other and body.kind == "failure" and body.tool in models:
                said = AnswerGiven(f"go on with {other}", "operator")
                await post(self.journal.run, [Draft(blocker, said)])
        await self.journal.refresh()

    async def _gave_way(self, error: BaseException) -> None:
        """Say why this process stopped, if it can still be written; the run can be resumed."""
        stopped = isinstance(error, asyncio.CancelledError | KeyboardInterrupt)
        given_back = isinstance(error, GivenBackError)
        why = (
            "given back"
            if given_back
            else "interrupted"
            if stopped
            else f"{type(error).__name__}: {error}".splitlines()[0]
        )
        ended = Draft(str(self.journal.epoch), SegmentEnded("yielded", why))
        with suppress(StandpipeError):  # the error that is being raised says why
            await self.journal.append(ended)

    def _record(self) -> Record:
        home, failures = self.home, self.home.settings.failures
        budgets = home.settings.budgets
        outlook = Outlook(
            journal=self.journal,
            clock=home.clock,
            steady=steadily(home.clock),
            limits=Limits(
                model_calls=budgets.model_calls,
                actions=budgets.actions,
                minutes=budgets.minutes,
                cost_usd=budgets.cost_usd,
            ),
            refusals=Refusals(
                store=home.store, clock=home.clock, alive=home.alive, credentials=home.given.given
            ),
            tools=home.tools,
            egress=home.settings.egress.allow,
            wait_seconds_max=failures.visible_seconds,
            trusted=(self.asked.task,),
            called=named_in_sentences(home.tools),
            secrets_in=home.masker.found,
        )
        return Record(
            journal=self.journal,
            outlook=outlook,
            clock=home.clock,
            jitter=_jitter,
            same_way=failures.same_way,
            wait_seconds_max=failures.visible_seconds,
            still_ours=self.hold.ready,
        )

    def _agent_tools(self) -> AgentTools:
        home = self.home
        return AgentTools(
            journal=self.journal,
            brain=Brain.open(home.folder),
            tasks=Tasks(home.folder),
            decisions=Decisions(home.folder),
            checklist=Checklist(home=home.folder, secrets_in=home.masker.found),
            clock=home.clock,
            mask=home.masker.mask,
        )


async def _stopped(task: Awaitable[End]) -> None:
    """End a task and wait until it has; what it raises then is of no interest any more."""
    assert isinstance(task, asyncio.Future)  # noqa: S101 -- `ensure_future` makes them
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()


def _jitter() -> float:
    return secrets.randbelow(1_000_000) / 1_000_000

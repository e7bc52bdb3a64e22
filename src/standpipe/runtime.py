"""Wires the parts together; the only module that names concrete stores, engines and adapters.

Rule 1: heavy parts load where they are used; opening a journal to read it loads none of them.
Rule 2: redaction, provenance and checklist are handed to gate and journal as arguments.
Rule 3: a run is segments. A segment takes it from where its journal is to an end, and then ends.
"""

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

import standpipe
from standpipe.actions import Action, Integrity, Tool
from standpipe.clock import Clock, SystemClock, stamp
from standpipe.config import SECRET_LENGTH_MIN, Settings, environment, find_home, load_settings
from standpipe.desk.blockers import blocker_rows, run_rows
from standpipe.desk.fleet import meant
from standpipe.desk.liveness import alive, started
from standpipe.desk.report import Report, report
from standpipe.engines.inline import InlineEngine
from standpipe.errors import ConfigError, NotFoundError
from standpipe.execution.executor import Executor, Inner
from standpipe.execution.pool import Home, Pool
from standpipe.execution.workspace import Workspace
from standpipe.gate import Gate
from standpipe.governor.budget import Limits, over
from standpipe.ids import caller_id as name_of_caller, digest
from standpipe.journal.ending import FINAL, End, closing
from standpipe.journal.entries import (
    AnswerGiven,
    BootLoaded,
    Draft,
    RunCreated,
    SegmentEnded,
    SegmentStarted,
)
from standpipe.journal.journal import Journal, Listener
from standpipe.journal.outlook import Outlook, spent
from standpipe.journal.record import Record
from standpipe.journal.refusals import Refusals
from standpipe.journal.store import Store
from standpipe.journal.verify import must_be_whole
from standpipe.journal.views import created, interrupted_tree, open_blockers, session_label
from standpipe.memory.brain import Brain
from standpipe.memory.decisions import Decisions
from standpipe.memory.tasks import Tasks
from standpipe.memory.upkeep import Upkeep, acceptance_of, goal_of
from standpipe.security.checklist import Checklist
from standpipe.security.credentials import Credentials
from standpipe.security.key import key_of
from standpipe.security.preflight import refuse_unusable
from standpipe.security.secrets import Masker
from standpipe.stores.sqlite import SqliteStore
from standpipe.tools.agent import TOOLS, AgentTools
from standpipe.tools.overrides import (
    all_tools,
    check_scope,
    for_tools,
    named_in_sentences,
    sections,
)

if TYPE_CHECKING:
    from pydantic_ai.models import Model

STATE_FOLDER = ".standpipe"
BUILTIN = ("files", "http", "mail", "sql")


def open_store(home: Path, *, create: bool = False) -> Store:
    """Open the journal of a home; only a run creates one.

    Raises:
        NotFoundError: nothing ran in this home yet.
    """
    return SqliteStore(home / STATE_FOLDER / "journal.db", SystemClock(), create=create)


@dataclass(slots=True, kw_only=True)
class Runtime:
    """An open home: tools running, journal open, ready to work."""

    home: Path
    settings: Settings
    clock: Clock
    store: Store
    executor: Executor
    tools: Mapping[str, Tool]
    masker: Masker
    given: Credentials
    credentials: Mapping[str, str]
    model: str | None  # said for this run; otherwise what the run began with, or the settings say
    agents: dict[str, AgentTools] = field(default_factory=dict[str, AgentTools])

    @classmethod
    @asynccontextmanager
    async def open(
        cls, home: Path | str, *, model: str | None = None, clock: Clock | None = None
    ) -> AsyncGenerator["Runtime"]:
        """Open a home, start its tools, and close both at the end.

        Raises:
            UsageError: the home, its settings or its tools cannot be used.
            JournalError: its journal cannot be written.
        """
        folder = find_home(home)
        settings = load_settings(folder)
        Upkeep(folder).prepare()
        environment.quieten_libraries()
        known = environment.take_secrets(settings)
        credentials = environment.take_model_credentials()
        refuse_unusable(settings, known)
        store = open_store(folder, create=True)
        key = key_of(folder / STATE_FOLDER)
        runtime = cls(
            home=folder,
            settings=settings,
            clock=clock or SystemClock(),
            store=store,
            executor=Executor(clock=clock or SystemClock()),
            tools={},
            masker=Masker(known, key=key),
            given=Credentials({**credentials, **known}, settings.secrets, key=key),
            credentials=credentials,
            model=model,
        )
        for name, value in runtime.credentials.items():
            if name.endswith("_KEY") and len(value) >= SECRET_LENGTH_MIN:
                runtime.masker.add(name, value)
        runtime.executor = runtime._executor(known)
        try:
            # the client takes longer to load than the workers, which start meanwhile
            loading = asyncio.to_thread(import_module, "standpipe.adapters.pydantic_ai")
            offered, _ = await asyncio.gather(runtime._started(), loading)
            runtime.tools = all_tools((*offered, *TOOLS), settings)
            yield runtime
        finally:
            await runtime.executor.close()
            await runtime.store.close()

    async def _started(self) -> tuple[Tool, ...]:
        try:
            return await self.executor.start()
        except ConfigError as error:  # it may quote a line of tools.py that holds a secret
            raise ConfigError(self.masker.mask_text(error.message), hint=error.hint) from None

    async def run(
        self,
        task: str,
        *,
        caller_id: str = "",
        scope: Sequence[str] | None = None,
        listener: Listener | None = None,
    ) -> Report:
        """Begin a run, or go on with the one that has this `caller_id`, and take it to an end."""
        name = name_of_caller(caller_id) if caller_id else ""
        rows = (await run_rows(self.store)).values()
        known = next((row.id for row in rows if name and row.caller_id == name), "")
        run = known or await self._begin(task, caller_id=caller_id, scope=scope)
        return await self.resume(run, listener=listener)

    async def resume(self, run: str, *, listener: Listener | None = None) -> Report:
        """Take a run from where its journal is to an end; a run that has ended is only told.

        Raises:
            UsageError: another process works on it.
        """
        row = meant(await run_rows(self.store), run)
        if row.status not in FINAL:
            with InlineEngine(self.home / STATE_FOLDER / "locks").owning(row.id):
                await self._segment(row.id, listener)
        return report(await self.store.read(row.id), elsewhere=await blocker_rows(self.store))

    async def _begin(self, typed: str, *, caller_id: str, scope: Sequence[str] | None) -> str:
        model = (self.settings.model or "") if self.model is None else self.model
        if not model:
            hint = 'set `model = "..."` in standpipe.toml, or say --model script:story.yaml'
            raise ConfigError("standpipe.toml: no model is set", hint=hint)
        # A wrong name or key, and a brain that cannot be read, are told before anything starts.
        self._models(model, lambda: 0)
        Brain.open(self.home).boot()
        check_scope(scope, self.tools)
        number = await self.store.number("task")
        file = Upkeep(self.home).task(typed, number=number, now=self.clock.now())
        narrowed = tuple(scope) if scope else file.task.tools or None
        check_scope(narrowed, self.tools)
        body = RunCreated(
            task=self.masker.mask_text(goal_of(file.task)),
            agent=self.home.name,
            model=model,
            config=digest((self.home / "standpipe.toml").read_bytes())[:16],
            task_id=file.task.id,
            caller_id=caller_id,
            acceptance=acceptance_of(file.task),
            scope=narrowed,
        )
        return await self.store.create(body)

    async def _segment(self, run: str, listener: Listener | None) -> None:
        """Own the run, work, and write down how it ended."""
        await must_be_whole(self.store, run)
        epoch = await self.store.start_segment(run, Draft("", self._segment_start()))
        journal = Journal(self.store, run, epoch)
        await journal.refresh()
        if listener:
            journal.listeners.append(listener)
        asked, upkeep = created(journal.entries), Upkeep(self.home)
        try:
            with suppress(NotFoundError):  # a task file that a person took away stops nobody
                upkeep.started(asked.task_id, now=self.clock.now())
            await self._answered_by_going_on(journal, asked)
            await self._learn(journal, upkeep)
            self.executor.inherit(interrupted_tree(journal.entries))
            end = await self._work(journal, asked)
        except BaseException as error:
            await self._gave_way(journal, error)
            raise
        await self._learn(journal, upkeep)
        believed = session_label(journal.entries).integrity is Integrity.TRUSTED
        with suppress(
            NotFoundError
        ):  # moved before the end is written: a kill in between moves it again
            upkeep.ended(asked.task_id, end, now=self.clock.now(), trusted=believed)
        await journal.append(*closing(end, run=run, epoch=epoch))
        await upkeep.draw_state(self.store)
        await self.store.seal()

    async def _work(self, journal: Journal, asked: RunCreated) -> End:
        from standpipe.adapters.instructions import instructions  # noqa: PLC0415 -- loads the model client
        from standpipe.adapters.providers import close, price_of  # noqa: PLC0415 -- as above
        from standpipe.adapters.pydantic_ai import run_segment  # noqa: PLC0415 -- 1.5 s
        from standpipe.adapters.session import Session  # noqa: PLC0415 -- as above

        self.agents[journal.run] = self._agent_tools(journal)
        record = self._record(journal, asked)
        model_name = self.model or asked.model
        session = Session(
            gate=Gate(record=record, executor=self.executor, tool=self.tools.__getitem__),
            tools=self.tools,
            model=model_name,
            fallbacks=self.settings.failures.fallback_models,
            mask=self.masker.mask,
            price=price_of,
            model_seconds=self.settings.failures.model_seconds,
            over_budget=lambda: over(record.outlook.limits, spent(journal, self.clock.now())),
        )
        models = self._models(model_name, lambda: session.number)
        told = instructions(await self._boot(journal, asked))
        try:
            main = models[model_name]
            return await run_segment(session, main, instructions=told, fallbacks=models)
        finally:
            await close(models.values())

    async def _boot(self, journal: Journal, asked: RunCreated) -> str:
        """Return what the run was told at its beginning; a resumed run is told the same."""
        for entry in journal.entries:
            if isinstance(entry.body, BootLoaded):
                return entry.body.text
        task = Tasks(self.home).read(asked.task_id).task
        pack = await Upkeep(self.home).pack(self.store, task=task, but=journal.run)
        text = self.masker.mask_text(pack.text)
        await journal.append(Draft(journal.run, BootLoaded(text, pack.tokens, pack.budget_tokens)))
        return text

    async def _learn(self, journal: Journal, upkeep: Upkeep) -> None:
        lessons = list(upkeep.learn(journal.entries, now=self.clock.now()))
        if lessons:
            await journal.append(*lessons)

    async def _answered_by_going_on(self, journal: Journal, asked: RunCreated) -> None:
        """A wait whose time has come answers itself; another model answers why the old one failed."""
        now = stamp(self.clock.now())
        other = self.model if self.model != asked.model else None
        models = {asked.model, *self.settings.failures.fallback_models}
        for blocker, body in open_blockers(journal.entries).items():
            if body.kind == "wait" and body.expires_at <= now:
                await self.store.post(journal.run, [Draft(blocker, AnswerGiven("resume", "clock"))])
            elif other and body.kind == "failure" and body.tool in models:
                said = AnswerGiven(f"go on with {other}", "operator")
                await self.store.post(journal.run, [Draft(blocker, said)])
        await journal.refresh()

    async def _gave_way(self, journal: Journal, error: BaseException) -> None:
        """Say why this process stopped, if it can still be written; the run can be resumed."""
        stopped = isinstance(error, asyncio.CancelledError | KeyboardInterrupt)
        why = "interrupted" if stopped else f"{type(error).__name__}: {error}".splitlines()[0]
        try:
            await journal.append(Draft(str(journal.epoch), SegmentEnded("yielded", why)))
        except standpipe.StandpipeError:
            return  # a journal that cannot be written is the error that is being raised

    def _record(self, journal: Journal, asked: RunCreated) -> Record:
        budgets, failures = self.settings.budgets, self.settings.failures
        outlook = Outlook(
            journal=journal,
            clock=self.clock,
            limits=Limits(
                model_calls=budgets.model_calls,
                actions=budgets.actions,
                minutes=budgets.minutes,
                cost_usd=budgets.cost_usd,
            ),
            refusals=Refusals(
                store=self.store, clock=self.clock, alive=alive, credentials=self.given.given
            ),
            tools=self.tools,
            egress=self.settings.egress.allow,
            wait_seconds_max=failures.visible_seconds,
            trusted=(asked.task,),
            called=named_in_sentences(self.tools),
            secrets_in=self.masker.found,
        )
        return Record(
            journal=journal,
            outlook=outlook,
            clock=self.clock,
            jitter=_jitter,
            same_way=failures.same_way,
            wait_seconds_max=failures.visible_seconds,
        )

    def _agent_tools(self, journal: Journal) -> AgentTools:
        return AgentTools(
            journal=journal,
            brain=Brain.open(self.home),
            tasks=Tasks(self.home),
            decisions=Decisions(self.home),
            checklist=Checklist(home=self.home, secrets_in=self.masker.found),
            clock=self.clock,
            mask=self.masker.mask,
        )

    def _models(self, name: str, next_turn: Callable[[], int]) -> "Mapping[str, Model]":
        from standpipe.adapters.providers import build_models  # noqa: PLC0415 -- loads the model client

        return build_models(
            name,
            self.settings.failures.fallback_models,
            home=self.home,
            credentials=self.credentials,
            timeout_seconds=self.settings.failures.model_seconds,
            next_turn=next_turn,
        )

    def _executor(self, known: Mapping[str, str]) -> Executor:
        workspace, tools_py = self.home / "workspace", self.home / "tools.py"
        shared = Home(
            home=self.home,
            workspace=workspace,
            environment=environment.for_children(),
            portable=environment.portable(),
        )
        modules = tuple(f"standpipe.tools.{name}" for name in BUILTIN)
        named = {name: known[name] for name in self.settings.secrets if name in known}
        builtin = Pool(
            replace(
                shared,
                settings=sections(self.settings, known, portable=environment.portable()),
                secrets=named,
                modules=modules,
            )
        )
        own = Pool(replace(shared, secrets=for_tools(self.settings, known), tools_py=tools_py))
        return Executor(
            clock=self.clock,
            builtin=builtin,
            home=own if tools_py.exists() else None,
            workspace=Workspace(workspace, self.home / STATE_FOLDER / "blobs"),
            inner={tool.name: self._inner(tool.name) for tool in TOOLS},
            mask=self.masker.mask,
            on_secret=self._renewed,
        )

    def _renewed(self, name: str, value: str) -> None:
        self.masker.add(name, value)
        self.given.renew(name, value)

    def _inner(self, name: str) -> Inner:
        async def perform(action: Action) -> object:
            return await self.agents[action.run].inner()[name](action)

        return perform

    def _segment_start(self) -> SegmentStarted:
        pid = os.getpid()
        return SegmentStarted("inline", pid, started(pid), standpipe.__version__)


def _jitter() -> float:
    return secrets.randbelow(1_000_000) / 1_000_000

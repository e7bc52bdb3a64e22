"""Wires the parts together; the only module that names concrete stores and engines.

Rule 1: heavy parts load where they are used; opening a journal to read it loads none of them.
Rule 2: redaction, provenance and checklist are handed to gate and journal as arguments.
Rule 3: a run is segments (`segment.py`); whoever owns the run takes it through one of them.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path

from msgspec.structs import replace

import standpipe
from standpipe.actions import Tool
from standpipe.clock import Clock, SystemClock, stamp
from standpipe.config import SECRET_LENGTH_MIN, environment, find_home, load_settings
from standpipe.desk.blockers import blocker_rows, run_rows
from standpipe.desk.fleet import meant
from standpipe.desk.liveness import alive
from standpipe.desk.report import Report, report
from standpipe.engines.inline import InlineEngine
from standpipe.engines.port import Hold
from standpipe.errors import ConfigError, UsageError
from standpipe.execution.executor import Executor
from standpipe.execution.pool import Home, Pool
from standpipe.execution.workspace import Workspace
from standpipe.ids import caller_id as name_of_caller, digest
from standpipe.journal.ending import FINAL
from standpipe.journal.entries import RunCreated
from standpipe.journal.journal import Listener
from standpipe.journal.store import Store
from standpipe.journal.views import created
from standpipe.memory.brain import Brain
from standpipe.memory.upkeep import Upkeep, acceptance_of, goal_of
from standpipe.security.credentials import Credentials
from standpipe.security.key import key_of
from standpipe.security.preflight import refuse_unusable
from standpipe.security.secrets import Masker
from standpipe.segment import OpenHome, Segment
from standpipe.stores.sqlite import SqliteStore
from standpipe.tools.agent import TOOLS
from standpipe.tools.overrides import all_tools, check_scope, for_tools, sections

STATE_FOLDER = ".standpipe"
BUILTIN = ("files", "http", "mail", "sql")
_NOBODY = RunCreated("", "", "", "")


def open_store(home: Path, *, create: bool = False) -> Store:
    """Open the journal of a home; only a run creates one.

    Raises:
        NotFoundError: nothing ran in this home yet.
    """
    return SqliteStore(home / STATE_FOLDER / "journal.db", SystemClock(), create=create)


class Runtime:
    """An open home, ready to work."""

    def __init__(self, home: OpenHome) -> None:
        self._home = home

    @property
    def store(self) -> Store:
        """The journal of this home."""
        return self._home.store

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
        opened = _opened(find_home(home), model=model, clock=clock or SystemClock())
        try:
            if tools:
                # the client takes longer to load than the workers, which start meanwhile
                loading = asyncio.to_thread(import_module, "standpipe.adapters.pydantic_ai")
                offered, _ = await asyncio.gather(_started(opened), loading)
                opened.tools = all_tools((*offered, *TOOLS), opened.settings)
            yield cls(opened)
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
        run = await self._known(task, caller_id) or await self._begin(task, asked, scope=scope)
        return await self.resume(run, listener=listener)

    async def submit(
        self, task: str, *, queue: str, caller_id: str = "", scope: Sequence[str] | None = None,
        wake_at: str = "", priority: int = 0,
    ) -> str:  # fmt: skip
        """Hand a task to the workers of a queue; once this returns, it is durably there.

        wake_at: RFC 3339 in UTC; nobody begins before. The same `caller_id` again is the same run.

        Raises:
            UsageError: that run has another task.
        """
        asked = replace(
            _NOBODY, caller_id=caller_id, queue=queue, priority=priority,
            wake_at=wake_at or stamp(self._home.clock.now()),
        )  # fmt: skip
        return await self._known(task, caller_id) or await self._begin(task, asked, scope=scope)

    async def resume(self, run: str, *, listener: Listener | None = None) -> Report:
        """Take a run from where its journal is to an end; a run that has ended is only told.

        Raises:
            UsageError: another process works on it.
            FencedError: another process took it over meanwhile.
        """
        store = self._home.store
        row = meant(await run_rows(store), run)
        if row.status not in FINAL:
            with InlineEngine(self._home.folder / STATE_FOLDER / "locks").owning(row.id):
                segment = await Segment.begin(self._home, row.id, listener, hold=Hold(run=row.id))
                await segment.work()
        return report(await store.read(row.id), elsewhere=await blocker_rows(store))

    async def _known(self, typed: str, caller_id: str) -> str:
        """Return the run that has this `caller_id`, if one has; its task must be this one."""
        if not caller_id:
            return ""
        name = name_of_caller(caller_id)
        rows = (await run_rows(self._home.store)).values()
        known = next((row for row in rows if row.caller_id == name), None)
        if known is None:
            return ""
        asked = Upkeep(self._home.folder).goal_meant(typed)
        if self._home.masker.mask_text(asked) != known.task:
            raise UsageError(
                f"`{caller_id}` is the id of {known.id}, which has another task",
                hint=f"use another --id, or go on with it: standpipe run {caller_id}",
            )
        return known.id

    async def _begin(self, typed: str, asked: RunCreated, *, scope: Sequence[str] | None) -> str:
        """Begin the run that is `asked` for, once its model, its brain and its scope can be used."""
        home, upkeep = self._home, Upkeep(self._home.folder)
        model = (home.settings.model or "") if home.model is None else home.model
        if not model:
            hint = 'set `model = "..."` in standpipe.toml, or say --model script:story.yaml'
            raise ConfigError("standpipe.toml: no model is set", hint=hint)
        # A wrong name or key, and a brain that cannot be read, are told before anything starts.
        home.models(model, lambda: 0)
        Brain.open(home.folder).boot()
        self._check_scope(scope)
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
        return run

    def _check_scope(self, scope: Sequence[str] | None) -> None:
        if self._home.tools:  # whoever only submits has started none
            check_scope(scope, self._home.tools)


def _opened(folder: Path, *, model: str | None, clock: Clock) -> OpenHome:
    """Open the journal of a home and take its secrets from the environment."""
    settings = load_settings(folder)
    Upkeep(folder).prepare()
    environment.quieten_libraries()
    known = environment.take_secrets(settings)
    credentials = environment.take_model_credentials()
    refuse_unusable(settings, known)
    store = open_store(folder, create=True)
    key = key_of(folder / STATE_FOLDER)
    masker = Masker(known, key=key)
    for name, value in credentials.items():
        if name.endswith("_KEY") and len(value) >= SECRET_LENGTH_MIN:
            masker.add(name, value)
    opened = OpenHome(
        folder=folder,
        settings=settings,
        clock=clock,
        store=store,
        executor=Executor(clock=clock),
        masker=masker,
        given=Credentials({**credentials, **known}, settings.secrets, key=key),
        credentials=credentials,
        model=model,
        worker="inline",
        version=standpipe.__version__,
        alive=alive,
    )
    opened.executor = _executor(opened, known)
    return opened


async def _started(home: OpenHome) -> tuple[Tool, ...]:
    try:
        return await home.executor.start()
    except ConfigError as error:  # it may quote a line of tools.py that holds a secret
        raise ConfigError(home.masker.mask_text(error.message), hint=error.hint) from None


def _executor(home: OpenHome, known: Mapping[str, str]) -> Executor:
    workspace, tools_py = home.folder / "workspace", home.folder / "tools.py"
    shared = Home(
        home=home.folder,
        workspace=workspace,
        environment=environment.for_children(),
        portable=environment.portable(),
    )
    modules = tuple(f"standpipe.tools.{name}" for name in BUILTIN)
    named = {name: known[name] for name in home.settings.secrets if name in known}
    builtin = Pool(
        replace(
            shared,
            settings=sections(home.settings, known, portable=environment.portable()),
            secrets=named,
            modules=modules,
        )
    )
    own = Pool(replace(shared, secrets=for_tools(home.settings, known), tools_py=tools_py))

    def renewed(name: str, value: str) -> None:
        home.masker.add(name, value)
        home.given.renew(name, value)

    return Executor(
        clock=home.clock,
        builtin=builtin,
        home=own if tools_py.exists() else None,
        workspace=Workspace(workspace, home.folder / STATE_FOLDER / "blobs"),
        inner={tool.name: home.inner(tool.name) for tool in TOOLS},
        mask=home.masker.mask,
        on_secret=renewed,
    )

"""A gate for tests: real policy, real journal, real judgement; the tools play a script."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from standpipe.actions import Action, Change, Done, Raised, Result, Returned, Tool
from standpipe.clock import Clock
from standpipe.execution.executor import Executor
from standpipe.execution.faults import fault_of
from standpipe.gate import Gate
from standpipe.governor.budget import Limits
from standpipe.journal.entries import Draft, RunCreated, SegmentStarted
from standpipe.journal.journal import Journal
from standpipe.journal.outlook import Outlook
from standpipe.journal.projections import RunRow
from standpipe.journal.record import Record
from standpipe.journal.refusals import Refusals
from standpipe.journal.store import Store
from standpipe.policy.rulebook import RULES, Rule
from standpipe.stores.memory import MemoryStore
from standpipe.testing.fakes import FakeClock

Line = object | BaseException


@dataclass
class ScriptedExecutor(Executor):
    """Tools that play their lines: exceptions are raised, results are returned as they are."""

    lines: dict[str, list[Line]] = field(default_factory=dict[str, list[Line]])
    verdicts: list[Line] = field(default_factory=list[Line])
    calls: list[str] = field(default_factory=list[str])
    refreshed: int = 0
    renewed: Result | BaseException = Returned({"refreshed": []})  # noqa: RUF009 -- frozen
    during: Callable[[], Awaitable[None]] | None = None

    async def prepare(self, action: Action) -> str:
        del action
        return ""

    async def attempt(
        self, action: Action, *, key: str, paused: Mapping[str, float] | None = None
    ) -> Done:
        del key, paused
        self.calls.append(action.tool.name)
        if self.during:
            await self.during()
        return Done(_played(self.lines[action.tool.name]))

    async def verify(
        self, action: Action, *, key: str, paused: Mapping[str, float] | None = None
    ) -> Result:
        del key, paused
        return _played(self.verdicts) if action.tool.verify else Returned(None)

    async def left_over(self) -> tuple[Change, ...]:
        return ()

    async def refresh(self, tool: Tool, *, paused: Mapping[str, float] | None = None) -> Result:
        del tool, paused
        self.refreshed += 1
        if isinstance(self.renewed, BaseException):
            raise self.renewed
        return self.renewed


def _played(lines: list[Line]) -> Result:
    line = lines.pop(0) if len(lines) > 1 else lines[0]
    if isinstance(line, BaseException):
        if not isinstance(line, Exception):
            raise line
        return Raised(fault_of(line))
    return line if isinstance(line, Result) else Returned(line)


def nothing_given(tool: str, hosts: Sequence[str]) -> Mapping[str, str]:
    """Give a tool no secrets."""
    del tool, hosts
    return {}


async def open_gate(  # noqa: PLR0913 -- a test names what it is about
    tools: Mapping[str, Tool],
    lines: Mapping[str, Sequence[Line]],
    *,
    store: Store | None = None,
    clock: Clock | None = None,
    rules: Sequence[Rule] = RULES,
    task: str = "answer the mail",
    run: str | None = None,
    verdicts: Sequence[Line] = (),
    egress: Sequence[str] = (),
    limits: Limits | None = None,
) -> tuple[Gate, ScriptedExecutor]:
    """Return a gate over `tools`, in a new run or the next segment of `run`, and its executor."""
    time = clock or FakeClock()
    kept = store or MemoryStore(time)
    name = run or await kept.create(RunCreated(task=task, agent="tests", model="script", config=""))
    epoch = await kept.start_segment(name, Draft("", SegmentStarted("tests", 1, "boot-1", "0")))
    journal = Journal(kept, name, epoch)
    await journal.refresh()
    outlook = Outlook(
        journal=journal,
        clock=time,
        steady=time.now,
        limits=limits or Limits(),
        refusals=Refusals(store=kept, clock=time, alive=_somebody, credentials=nothing_given),
        tools=tools,
        egress=egress,
        wait_seconds_max=30.0,
        trusted=(),
        called=lambda tool, arguments: f"{tool} {arguments}",
        secrets_in=lambda _: (),
    )
    record = Record(journal=journal, outlook=outlook, clock=time, jitter=lambda: 0.5)
    executor = ScriptedExecutor(
        {name: list(played) for name, played in lines.items()}, list(verdicts)
    )
    gate = Gate(record=record, executor=executor, tool=tools.__getitem__, rules=rules)
    return gate, executor


async def _somebody(row: RunRow) -> bool:
    del row
    return True

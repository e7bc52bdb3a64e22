"""No schedule of faults, kills and answers repeats what must not be repeated, or asks too early."""

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count, pairwise

import msgspec
from hypothesis import HealthCheck, example, given, settings, strategies as st

from standpipe.actions import (
    Action,
    Died,
    Done,
    Effect,
    Expired,
    Fault,
    Raised,
    Result,
    Returned,
    Tool,
)
from standpipe.desk.answers import give
from standpipe.gate import Gate
from standpipe.governor.budget import Limits
from standpipe.governor.recovery import TABLE, Refresh, Retry, Step, Wait, row_of
from standpipe.ids import run_of
from standpipe.journal.drafts import twin_digest
from standpipe.journal.entries import Entry, Intended, Reconciled, RunCreated, Settled, Verdict
from standpipe.journal.projections import BLOCKERS, BlockerRow, RunRow, read_row
from standpipe.journal.states import State, state_after
from standpipe.outcomes.outcome import Failed, Phase
from standpipe.stores.memory import MemoryStore
from standpipe.testing.fakes import Crash, DyingStore, FakeClock
from standpipe.testing.gates import ScriptedExecutor, open_gate

NO_LIMITS = Limits(model_calls=None, actions=None, minutes=None, cost_usd=None)
URL = "http://api.shop.example/orders"
thorough = settings(
    max_examples=60, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


def http(status: int, headers: Mapping[str, str] | None = None) -> Raised:
    return Raised(
        Fault(
            type="HttpFailure", message=f"HTTP {status}", attributes={"status_code": status},
            headers=dict(headers or {}),
        )
    )  # fmt: skip


REFUSED = Raised(Fault(type="ConnectionRefusedError", message="[Errno 111] Connection refused"))
RESET = Raised(Fault(type="ConnectionResetError", message="[Errno 104] Connection reset by peer"))
LIMITED = http(429, {"retry-after": "1"})
ANY_FAULT = st.sampled_from(
    [
        *(http(status) for status in (400, 401, 403, 404, 408, 409, 422, 429, 500, 502, 503, 529)),
        REFUSED, RESET, LIMITED, Expired(30.0), Died(-9), Died(127), Returned("Error: no such order"),
        Returned("<html><title>Sign in</title><input type='password'></html>"),
        Raised(Fault(type="KeyError", message="'id'", own_code=True)),
        Raised(Fault(type="IncompleteRead", message="12 more expected", module="http.client")),
    ]
)  # fmt: skip


@thorough
@given(
    script=st.lists(ANY_FAULT, min_size=1, max_size=8),
    effect=st.sampled_from(Effect),
    refresh=st.sampled_from(["", "renew"]),
    answered=st.booleans(),
)
@example(script=[LIMITED], effect=Effect.READ, refresh="", answered=True)
async def test_no_script_of_failures_exceeds_the_attempts_of_the_table(
    script: Sequence[Result], effect: Effect, refresh: str, answered: bool
) -> None:
    tool = Tool(
        name="ask", effect=effect, origin="home", policy="allow", control=("n",), refresh=refresh
    )
    clock = FakeClock()
    store = MemoryStore(clock)
    for _ in range(3):
        gate, _ = await open_gate(
            {"ask": tool}, {"ask": script}, store=store, clock=clock, limits=NO_LIMITS
        )
        run = gate.record.journal.run
        for number in range(3):
            action = Action(id=f"{run}.{number}.1", tool=tool, arguments={"n": number}, why="x")
            await gate.perform(action)
            assert_within_the_table(gate.record.journal.story(action.id))
        if answered:
            await answer_all(store, "it is mended")


def assert_within_the_table(story: Sequence[Entry]) -> None:
    """Each repeat is one the row of what had failed allows, at that attempt."""
    met = [entry.body for entry in story if isinstance(entry.body, Settled)]
    for before, after in pairwise(met):
        assert isinstance(before.outcome, Failed)
        assert isinstance(before.recovery, Retry | Wait | Refresh)
        row = row_of(before.outcome)
        assert row.first in (Step.RETRY, Step.WAIT, Step.REFRESH)
        assert before.attempt <= row.times
        assert after.attempt == before.attempt + 1
    most = max((row.times for row in TABLE.values()), default=0)
    assert sum(isinstance(entry.body, Intended) for entry in story) <= most + 1


async def answer_all(store: MemoryStore, said: str) -> None:
    for text in (await store.rows(BLOCKERS)).values():
        row = read_row(BlockerRow, text)
        if row and row.answer is None:
            await give(store, row.id, said if row.kind == "failure" else "no", "ann")


@dataclass(frozen=True)
class Mishap:
    """What becomes of one attempt: whether it landed outside, and what we hear of it."""

    landed: bool
    heard: Result | None  # None: the process is killed in the middle


MISHAPS = st.sampled_from(
    [
        Mishap(True, Returned("receipt")),
        *(Mishap(landed, None) for landed in (True, False) for _ in range(5)),  # the worst of all
        *(
            Mishap(landed, heard)
            for landed in (True, False)
            for heard in (Expired(30.0), Died(-9), RESET, http(500), http(502), http(408))
        ),
        *(Mishap(False, heard) for heard in (REFUSED, LIMITED, http(401), http(403), http(422))),
    ]
)
PLAIN = Tool(name="plain", origin="home", policy="allow", control=("to",), refresh="renew")
SENDS = {
    "plain": PLAIN,
    "asked": msgspec.structs.replace(PLAIN, name="asked", verify=True),
    "keyed": msgspec.structs.replace(PLAIN, name="keyed", idempotency_key="key"),
}


@dataclass
class Outside(ScriptedExecutor):
    """A world with a ledger: it tells the truth to `verify`, and takes a declared key once."""

    mishaps: list[Mishap] = field(default_factory=list[Mishap])
    ledger: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])  # action, key
    tried: list[str] = field(default_factory=list[str])
    before: Callable[[Action], Awaitable[None]] | None = None
    unsure: bool = False

    async def attempt(
        self, action: Action, *, key: str, paused: Mapping[str, float] | None = None
    ) -> Done:
        if self.before:
            await self.before(action)
        self.tried.append(action.id)
        mishap = self.mishaps.pop(0) if self.mishaps else Mishap(True, Returned("receipt"))
        given = (action.id, key)
        if mishap.landed and not (action.tool.idempotency_key and given in self.ledger):
            self.ledger.append(given)
        if mishap.heard is None:
            raise Crash
        return Done(mishap.heard)

    async def verify(
        self, action: Action, *, key: str, paused: Mapping[str, float] | None = None
    ) -> Result:
        if not action.tool.verify or self.unsure:
            return Returned(None)
        return Returned("receipt" if (action.id, key) in self.ledger else False)


@dataclass(kw_only=True)
class Plan:
    """One process: which call it takes up, after how many writes it is killed, what people said before."""

    call: int
    writes: int
    after_commit: bool
    answers: str
    seconds: int


LIVES = 99  # more writes than a call takes
PLANS = st.lists(
    st.builds(
        Plan, call=st.sampled_from([0, 0, 0, 1, 2, 3]),
        writes=st.sampled_from([LIVES, LIVES, LIVES, *range(8)]), after_commit=st.booleans(),
        answers=st.sampled_from(["", "truth", "give-up"]), seconds=st.sampled_from([0, 1, 60, 700]),
    ),
    min_size=3, max_size=10,
)  # fmt: skip


async def gone(run: RunRow) -> bool:
    del run
    return False


class Schedule:
    """Two runs of one home with two calls each, all to the same place; their processes die and begin anew."""

    def __init__(self, tool: Tool, mishaps: Sequence[Mishap], *, unsure: bool) -> None:
        self.tool, self.clock = tool, FakeClock()
        self.store = MemoryStore(self.clock)
        self.outside = Outside(mishaps=list(mishaps), before=self.check, unsure=unsure)
        self.runs: list[str] = []

    async def begin(self) -> None:
        for _ in range(2):
            created = RunCreated(task="pay", agent="tests", model="script", config="")
            self.runs.append(await self.store.create(created))

    async def take(self, plan: Plan) -> None:
        """Let one process do one call, as far as it lives."""
        self.clock.advance(plan.seconds)
        if plan.answers:
            await self.answer(plan.answers)
        try:
            gate = await self.gate(self.runs[plan.call % 2], plan)
            await gate.perform(self.action(plan.call))
        except Crash:
            pass

    def action(self, call: int) -> Action:
        run = self.runs[call % 2]
        return Action(
            id=f"{run}.{1 + call // 2}.1", tool=self.tool, arguments={"to": "ann"}, why="x"
        )

    async def gate(self, run: str, plan: Plan) -> Gate:
        store = DyingStore(self.store, plan.writes, plan.after_commit)
        gate, _ = await open_gate(
            {self.tool.name: self.tool},
            {},
            store=store,
            clock=self.clock,
            run=run,
            limits=NO_LIMITS,
        )
        # One call at a time: whoever is in the air has lost its process.
        refusals = replace(gate.record.outlook.refusals, alive=gone)
        outlook = replace(gate.record.outlook, refusals=refusals)
        return replace(gate, record=replace(gate.record, outlook=outlook), executor=self.outside)

    async def answer(self, how: str) -> None:
        """Let a person say what is true, or that nobody can tell."""
        for text in (await self.store.rows(BLOCKERS)).values():
            row = read_row(BlockerRow, text)
            if row is None or row.answer is not None:
                continue
            landed = any(action == row.action for action, _ in self.outside.ledger)
            truth = "yes" if landed else "no"
            said = (
                {"truth": truth, "give-up": "give-up"}[how] if row.kind == "in_doubt" else "mended"
            )
            await give(self.store, row.id, said, "ann")

    async def story(self, action: str) -> list[Entry]:
        return [e for e in await self.store.read(run_of(action)) if e.action == action]

    async def check(self, action: Action) -> None:
        """Before each attempt: nothing is done twice, and no twin of it is in doubt."""
        *before, intended = await self.story(action.id)
        assert isinstance(intended.body, Intended)
        if action.id in self.outside.tried and not self.tool.idempotency_key:
            tries = [n for n, entry in enumerate(before) if isinstance(entry.body, Intended)]
            assert any(map(_proves_that_it_did_not_happen, before[tries[-1] :])), before
        for other in map(self.action, range(4)):
            if other.id != action.id:
                assert twin_digest(other) == twin_digest(action)
                state = state_after([entry.body for entry in await self.story(other.id)])
                assert state not in (State.INTENDED, State.UNKNOWN, State.IN_DOUBT), other.id


def _proves_that_it_did_not_happen(entry: Entry) -> bool:
    match entry.body:
        case Settled(outcome=Failed(phase=phase)):
            return phase in (Phase.NOT_SENT, Phase.PARSED)
        case Reconciled(verdict=verdict):
            return verdict is Verdict.ABSENT
        case _:
            return False


@settings(thorough, max_examples=200)
@given(
    name=st.sampled_from(sorted(SENDS)),
    mishaps=st.lists(MISHAPS, min_size=1, max_size=8),
    plans=PLANS,
    unsure=st.booleans(),
)
async def test_no_once_call_happens_twice_in_any_schedule_of_faults_kills_and_answers(
    name: str, mishaps: Sequence[Mishap], plans: Sequence[Plan], unsure: bool
) -> None:
    schedule = Schedule(SENDS[name], mishaps, unsure=unsure)
    await schedule.begin()
    for plan in plans:
        await schedule.take(plan)
    happened = [action for action, _ in schedule.outside.ledger]
    assert len(happened) == len(set(happened))


class SharedClock(FakeClock):
    """Time for many at once: it moves only when everybody sleeps, to whoever wakes first."""

    ROUNDS = 50  # more turns of the loop than any call takes between two sleeps

    def __init__(self) -> None:
        super().__init__(datetime(2026, 11, 22, 7, 0, tzinfo=UTC))
        self.places = count()
        self.sleepers: list[tuple[datetime, int, asyncio.Event]] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        woken = asyncio.Event()
        until = self.now().timestamp() + seconds
        at = datetime.fromtimestamp(until, UTC)
        heapq.heappush(self.sleepers, (at, next(self.places), woken))
        await woken.wait()

    async def drive(self, work: Awaitable[object]) -> None:
        """Do the work, and let time pass whenever nothing else can happen."""
        task = asyncio.ensure_future(work)
        while not task.done():
            for _ in range(self.ROUNDS):
                await asyncio.sleep(0)
            if self.sleepers and not task.done():
                at, _, woken = heapq.heappop(self.sleepers)
                self.advance(max(0.0, (at - self.now()).total_seconds()))
                woken.set()
        await task


@dataclass(frozen=True)
class Answer:
    """What a host says: how long it takes for it, and what."""

    seconds: float
    status: int
    retry_after: int = 0


ANSWERS = st.lists(
    st.builds(
        Answer, seconds=st.sampled_from([0.0, 0.5, 2.0, 5.0]), status=st.sampled_from([200, 200, 429, 503]),
        retry_after=st.sampled_from([0, 1, 3, 10, 29, 90]),
    ),
    min_size=1, max_size=12,
)  # fmt: skip


@dataclass
class Hosts(ScriptedExecutor):
    """Two hosts that say when they may be asked again, and remember who came before that."""

    clock: SharedClock = field(default_factory=SharedClock)
    answers: dict[str, list[Answer]] = field(default_factory=dict[str, list[Answer]])
    closed: dict[str, list[tuple[datetime, float]]] = field(
        default_factory=dict[str, list[tuple[datetime, float]]]
    )
    asked: int = 0
    early: list[str] = field(default_factory=list[str])

    async def attempt(
        self, action: Action, *, key: str, paused: Mapping[str, float] | None = None
    ) -> Done:
        host = str(action.arguments["host"])
        if left := (paused or {}).get(host, 0.0):  # as the worker does it
            return Done(Raised(_paused(host, left)))
        now = self.clock.now()
        for since, seconds in self.closed.get(host, ()):
            if since < now and (now - since).total_seconds() < seconds:
                self.early.append(f"{action.id} at {host}")
        self.asked += 1
        answer = self.answers[host].pop(0) if self.answers[host] else Answer(0.5, 200)
        await self.clock.sleep(answer.seconds)
        if answer.status == 200:
            return Done(Returned("data"), hosts=(host,))
        headers = {"retry-after": str(answer.retry_after)} if answer.retry_after else {}
        if answer.retry_after:
            self.closed.setdefault(host, []).append((self.clock.now(), answer.retry_after))
        result = http(answer.status, headers)
        fault = Fault(
            type=result.fault.type, message=result.fault.message, headers=headers, url=f"http://{host}/x",
            attributes=result.fault.attributes,
        )  # fmt: skip
        return Done(Raised(fault), hosts=(host,))


def _paused(host: str, seconds: float) -> Fault:
    return Fault(
        type="HostPausedError", module="standpipe.execution.hosts", message=f"{host} is paused",
        attributes={"host": host, "retry_after_seconds": seconds, "phase": "not_sent"},
    )  # fmt: skip


@dataclass(frozen=True)
class Asking:
    """One call: by which run, of which tool, to which host, and when it begins."""

    run: int
    tool: str
    host: str
    after: float


ASKING = st.lists(
    st.builds(
        Asking, run=st.integers(0, 2), tool=st.sampled_from(["fetch", "get_page"]),
        host=st.sampled_from(["a.example", "b.example"]), after=st.sampled_from([0.0, 0.5, 1.0, 4.0, 12.0]),
    ),
    min_size=2, max_size=10,
)  # fmt: skip
READS = {
    name: Tool(name=name, effect=Effect.READ, origin="home", same_way=9)
    for name in ("fetch", "get_page")
}


@thorough
@given(asking=ASKING, first=ANSWERS, second=ANSWERS)
@example(
    asking=[Asking(0, "fetch", "a.example", 0.0), Asking(1, "get_page", "a.example", 1.0)],
    first=[Answer(0.5, 429, 10)],
    second=[],
)
async def test_no_call_of_any_run_reaches_a_host_before_the_time_it_named(
    asking: Sequence[Asking], first: Sequence[Answer], second: Sequence[Answer]
) -> None:
    clock = SharedClock()
    store = MemoryStore(clock)
    hosts = Hosts(clock=clock, answers={"a.example": list(first), "b.example": list(second)})
    opened = [
        await open_gate(READS, {}, store=store, clock=clock, limits=NO_LIMITS) for _ in range(3)
    ]
    gates = [replace(gate, executor=hosts) for gate, _ in opened]

    async def ask(number: int, one: Asking) -> None:
        await clock.sleep(one.after)
        gate = gates[one.run]
        where = {"url": f"http://{one.host}/x"} if one.tool == "get_page" else {}
        arguments: dict[str, object] = {"n": number, "host": one.host, **where}
        run = gate.record.journal.run
        await gate.perform(
            Action(id=f"{run}.{number}.1", tool=READS[one.tool], arguments=arguments)
        )

    await clock.drive(asyncio.gather(*(ask(n, one) for n, one in enumerate(asking, 1))))
    assert hosts.early == []
    assert hosts.asked > 0

"""A model of sites (closed, open, half-open) beside the real gate, journal and rows, over any history.

No interleaving of runs makes an attempt on an open site; no restart resets a count; no success of
another tool does.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from standpipe.actions import Action, Effect, Tool
from standpipe.desk.answers import give
from standpipe.gate import Gate
from standpipe.governor.budget import Limits
from standpipe.journal.projections import BLOCKERS, BlockerRow, read_row
from standpipe.outcomes.outcome import Failed, Outcome, Refused, Succeeded
from standpipe.stores.memory import MemoryStore
from standpipe.testing.fakes import FakeClock
from standpipe.testing.gates import Line, ScriptedExecutor, open_gate

TOOLS = {name: Tool(name=name, effect=Effect.READ, origin="home") for name in ("fetch", "look_up")}
NO_LIMITS = Limits(model_calls=None, actions=None, minutes=None, cost_usd=None)
NAMES = st.sampled_from(sorted(TOOLS))


class HttpError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status_code = status


COOLS = {503: 30.0}  # status -> first cool-down; the others stay open for a week
AT_ONCE = {403, 503}  # the first failure opens
STATUSES = st.sampled_from((403, 503, 409, 404))


@dataclass
class Known:
    """What the model knows of one way of failing of one tool."""

    count: int = 0
    until: datetime | None = None  # open until then; afterwards one attempt is allowed
    cooldown: float = 0.0
    probation: bool = False


class Sites(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.store = MemoryStore(self.clock)
        self.runs: list[tuple[Gate, ScriptedExecutor]] = []
        self.known: dict[tuple[str, int], Known] = {}
        self.turn = 0

    def teardown(self) -> None:
        self.loop.close()

    @rule()
    def a_run_begins(self) -> None:
        self.runs.append(self._open(None))

    @precondition(lambda self: bool(self.runs))
    @rule(pick=st.integers(0, 9))
    def a_run_is_killed_and_goes_on(self, pick: int) -> None:
        index = pick % len(self.runs)
        run = self.runs[index][0].record.journal.run
        self.runs[index] = self._open(run)

    @rule(seconds=st.sampled_from((1, 29, 31, 61, 700, 8 * 86_400)))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @precondition(lambda self: bool(self.runs))
    @rule(pick=st.integers(0, 9), tool=NAMES)
    def a_call_would_work(self, pick: int, tool: str) -> None:
        self.turn += 1
        outcome = self._call(pick, tool, f"page {self.turn}")
        if isinstance(outcome, Succeeded):
            for (name, _), known in self.known.items():
                if name == tool:
                    known.count, known.until, known.cooldown = 0, None, 0.0
                    known.probation = False

    @precondition(lambda self: bool(self.runs))
    @rule(pick=st.integers(0, 9), tool=NAMES, status=STATUSES)
    def a_call_would_fail(self, pick: int, tool: str, status: int) -> None:
        outcome = self._call(pick, tool, HttpError(status))
        if isinstance(outcome, Failed) and status != 404:  # what the model causes opens nothing
            self._failed(self.known.setdefault((tool, status), Known()), status)

    @rule()
    def a_person_answers_everything(self) -> None:
        rows = self.loop.run_until_complete(self.store.rows(BLOCKERS))
        for text in rows.values():
            row = read_row(BlockerRow, text)
            if row and row.answer is None:
                self.loop.run_until_complete(give(self.store, row.id, "it is mended", "ann"))
        for known in self.known.values():
            if known.until is not None:
                known.count, known.until, known.cooldown = 0, None, 0.0
                known.probation = True

    def _failed(self, known: Known, status: int) -> None:
        known.count += 1
        if status in AT_ONCE or known.count > 1 or known.probation:
            known.probation = False
            cools = COOLS.get(status)
            known.cooldown = min(max(cools, 2 * known.cooldown), 600.0) if cools else 0.0
            wait = timedelta(seconds=known.cooldown) if cools else timedelta(days=7)
            known.until = self.clock.now() + wait

    def _call(self, pick: int, tool: str, line: Line) -> Outcome:
        gate, executor = self.runs[pick % len(self.runs)]
        executor.lines[tool] = [line]
        self.turn += 1
        run = gate.record.journal.run
        action = Action(id=f"{run}.{self.turn}.1", tool=TOOLS[tool], arguments={"n": self.turn})
        now, before = self.clock.now(), len(executor.calls)
        is_open = any(
            known.until is not None and now < known.until
            for (name, _), known in self.known.items()
            if name == tool
        )
        outcome = self.loop.run_until_complete(gate.perform(action))
        assert (len(executor.calls) == before) == is_open, outcome
        assert isinstance(outcome, Refused) == is_open
        return outcome

    def _open(self, run: str | None) -> tuple[Gate, ScriptedExecutor]:
        opened = open_gate(
            TOOLS, {name: [None] for name in TOOLS}, store=self.store, clock=self.clock, run=run,
            limits=NO_LIMITS,
        )  # fmt: skip
        return self.loop.run_until_complete(opened)


TestSites = Sites.TestCase
TestSites.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)

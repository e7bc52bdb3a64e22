"""Actions with intent and outcome: run_standpipe.py gate|store|overlap sqlite FILE | postgres URL.

gate      `Gate.perform`: schema, all rules, redaction, judgement, projections; the tool does nothing
store     the two appends alone, both awaited
overlap   the two appends, where an outcome is awaited together with the next intent
"""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count as counting
from pathlib import Path

from talk import RESULT, Act, serve

from standpipe.actions import Action, Done, Effect, Returned, Tool
from standpipe.clock import SystemClock
from standpipe.governor.budget import Limits
from standpipe.governor.recovery import Return
from standpipe.journal.entries import (
    Decided,
    Draft,
    Intended,
    Proposed,
    RunCreated,
    SegmentStarted,
    Settled,
)
from standpipe.journal.store import Store
from standpipe.outcomes.outcome import Succeeded
from standpipe.policy.decision import Allow
from standpipe.security.secrets import Masker
from standpipe.testing.gates import ScriptedExecutor, open_gate

NO_LIMITS = Limits(model_calls=None, actions=None, minutes=None, cost_usd=None)
SECRETS = {f"SECRET_{n}": f"correct-horse-{n}-battery-staple" for n in range(5)}
ARGUMENTS = {"to": "dana@example.com", "text": "twelve words about an order " * 4}
SCHEMA = {
    "type": "object",
    "properties": {"to": {"type": "string"}, "text": {"type": "string"}},
    "required": ["to", "text"],
    "additionalProperties": False,
}
TOOL = Tool(name="send_note", policy="allow", control=(), origin="home", schema=SCHEMA)
BLOCK = 50  # actions of one run, so that its journal stays as long as a real one
_names = counting(1)


@dataclass
class Nothing(ScriptedExecutor):
    """A tool that does nothing, and a result that is masked as any other."""

    masker: Masker = field(default_factory=lambda: Masker(SECRETS, key=b"benchmark"))

    async def attempt(
        self, action: Action, *, key: str, paused: Mapping[str, float] | None = None
    ) -> Done:
        del action, key, paused
        return Done(Returned(self.masker.mask(RESULT)))


async def open_store(kind: str, where: str) -> Store:
    if kind == "sqlite":
        from standpipe.stores.sqlite import SqliteStore  # noqa: PLC0415 -- only who measures it has it

        return SqliteStore(Path(where), SystemClock())
    from standpipe.stores.postgres import PostgresStore, migrate  # noqa: PLC0415 -- only who measures it has it

    await migrate(where)
    return PostgresStore(where, SystemClock(), home="bench")


def through_the_gate(store: Store) -> Act:
    masker = Masker(SECRETS, key=b"benchmark")

    async def block(count: int) -> None:
        gate, executor = await open_gate(
            {TOOL.name: TOOL}, {}, store=store, clock=SystemClock(), limits=NO_LIMITS
        )
        object.__setattr__(gate, "executor", Nothing(executor.lines, masker=masker))
        run = gate.record.journal.run
        for number in range(1, count + 1):
            said = masker.mask({**ARGUMENTS, "to": f"{number}@example.com"})
            assert isinstance(said, dict)
            action = Action(id=f"{run}.{number}.1", tool=TOOL, arguments=said, why="asked")
            done = await gate.perform(action)
            assert isinstance(done, Succeeded), done

    return _in_blocks(block)


def through_the_store(store: Store, *, overlap: bool) -> Act:
    async def block(count: int) -> None:
        run = await store.create(RunCreated(task="t", agent="a", model="m", config=""))
        epoch = await store.start_segment(run, Draft("", SegmentStarted("bench", 1, "", "0")))
        settled: list[Draft] = []
        for number in range(1, count + 1):
            action = f"{run}.{number}.1"
            intent = store.append(run, epoch, _intent(action))
            if overlap and settled:
                await asyncio.gather(store.append(run, epoch, settled), intent)
            else:
                await intent
            settled = [_outcome(action)]
            if not overlap:
                await store.append(run, epoch, settled)
        if overlap:
            await store.append(run, epoch, settled)

    return _in_blocks(block)


def _in_blocks(block: Act) -> Act:
    async def one(count: int) -> None:
        for start in range(0, count, BLOCK):
            await block(min(BLOCK, count - start))

    async def act(parallel: int, count: int) -> None:
        await asyncio.gather(*(one(count // parallel) for _ in range(parallel)))

    return act


def _intent(action: str) -> list[Draft]:
    return [
        Draft(action, Proposed(TOOL.name, ARGUMENTS, Effect.ONCE, "manifest", why="asked")),
        Draft(f"{action}#1", Decided(Allow("allowed"), "digest")),
        Draft(f"{action}#1", Intended(1, "key", 30.0, twin="", tool=TOOL.name)),
    ]


def _outcome(action: str) -> Draft:
    return Draft(f"{action}#1", Settled(TOOL.name, 1, Succeeded(RESULT), Return("it worked")))


async def main() -> None:
    how, kind, where = sys.argv[1:]
    store = await open_store(kind, where)
    gate = how == "gate"
    await serve(
        through_the_gate(store) if gate else through_the_store(store, overlap=how == "overlap")
    )
    await store.close()


if __name__ == "__main__":
    asyncio.run(main())

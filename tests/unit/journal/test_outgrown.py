"""A run whose open calls no tool of today can take up is not gone on with; whatever needs no tool is let be."""

import pytest

from standpipe.actions import Effect, Tool
from standpipe.errors import UsageError
from standpipe.governor.recovery import Retry, Return
from standpipe.journal.entries import (
    AnswerGiven,
    Body,
    CancelRequested,
    Decided,
    Draft,
    Entry,
    InDoubt,
    Intended,
    Proposed,
    RunCreated,
    Settled,
)
from standpipe.journal.outgrown import refuse_outgrown
from standpipe.outcomes.outcome import Failed, Kind, Succeeded
from standpipe.policy.decision import Allow, Ask, Deny
from standpipe.stores.memory import MemoryStore
from standpipe.testing.fakes import FakeClock

SCHEMA = {"properties": {"to": {"type": "string"}}, "required": ["to"]}
SEND = Tool(name="send", effect=Effect.ONCE, origin="home", schema=SCHEMA)
CALL = Proposed("send", {"to": "ann"}, Effect.ONCE, "m", "she asked", origin="home")
HELD = Decided(Ask("declared", "may I?"), digest="d", blocker="b1")
ALLOWED = Decided(Allow("declared"), digest="d")
INTENDED = Intended(1, "k", 30.0)
IN_DOUBT = InDoubt(1, "it may have happened", "b1")
TIMED_OUT = Failed(Kind.OTHER, "too slow")


async def said(*bodies: Body, answer: str = "", cancelled: bool = False) -> list[Entry]:
    """Write the story of one call, and what a person said."""
    store = MemoryStore(FakeClock())
    run = await store.create(RunCreated("Write to Ann", "mailer", "m", "c"))
    drafts = [Draft("r1.1.1" if n == 0 else "r1.1.1#1", body) for n, body in enumerate(bodies)]
    if answer:
        drafts.append(Draft("b1", AnswerGiven(answer, "ann")))
    if cancelled:
        drafts.append(Draft("cancel", CancelRequested("ann")))
    await store.post(run, drafts)
    return list(await store.read(run))


@pytest.mark.parametrize(
    ("bodies", "answer"),
    [
        ([CALL], ""),
        ([CALL, HELD], "yes"),
        ([CALL, ALLOWED], ""),
        ([CALL, ALLOWED, INTENDED], ""),
        ([CALL, ALLOWED, INTENDED, IN_DOUBT], "no"),
        ([CALL, ALLOWED, INTENDED, Settled("send", 1, TIMED_OUT, Retry("again", 1.0))], ""),
    ],
    ids=["proposed", "approved", "allowed", "in flight", "did not happen", "tried again"],
)
async def test_a_call_that_still_needs_its_tool_is_not_taken_up_without_it(
    bodies: list[Body], answer: str
) -> None:
    entries = await said(*bodies, answer=answer)
    refuse_outgrown(entries, {"send": SEND})
    with pytest.raises(UsageError, match=r"`send`, which r1\.1\.1 calls, is no tool of this home"):
        refuse_outgrown(entries, {})


@pytest.mark.parametrize(
    ("bodies", "answer"),
    [
        ([CALL, HELD], ""),
        ([CALL, HELD], "no"),
        ([CALL, Decided(Deny("scope", "not here"), digest="d")], ""),
        ([CALL, ALLOWED, INTENDED, Settled("send", 1, Succeeded("sent"), Return("ok"))], ""),
        ([CALL, ALLOWED, INTENDED, Settled("send", 1, TIMED_OUT, Return("told"))], ""),
        ([CALL, ALLOWED, INTENDED, IN_DOUBT], ""),
        ([CALL, ALLOWED, INTENDED, IN_DOUBT], "yes"),
        ([CALL, ALLOWED, INTENDED, IN_DOUBT], "give-up"),
    ],
    ids=["held", "forbidden", "denied", "done", "failed", "in doubt", "happened", "given up"],
)
async def test_a_call_that_needs_its_tool_no_more_stops_nobody(
    bodies: list[Body], answer: str
) -> None:
    refuse_outgrown(await said(*bodies, answer=answer), {})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            Tool(name="send", origin="home", schema={**SCHEMA, "required": ["cc"]}),
            "`cc` is missing",
        ),
        (
            Tool(name="send", origin="home", schema=SCHEMA, effect=Effect.READ),
            "it was `once` and is `read`",
        ),
    ],
    ids=["parameter", "effect"],
)
async def test_a_tool_that_takes_something_else_now_is_named_with_what_is_wrong(
    changed: Tool, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        refuse_outgrown(await said(CALL, ALLOWED, INTENDED), {"send": changed})
    assert refused.value.hint.endswith("standpipe cancel r1")


async def test_a_cancelled_run_needs_no_tool() -> None:
    refuse_outgrown(await said(CALL, ALLOWED, INTENDED, cancelled=True), {})


async def test_a_name_the_model_made_up_is_no_tool_that_is_missing() -> None:
    refuse_outgrown(await said(Proposed("sned", {}, Effect.ONCE, "m", origin="unknown")), {})

"""What a run failed at, what was done about it, and what is still open; every journal written by the real gate."""

from collections.abc import Sequence

from standpipe.actions import Action, Effect, Fault, Raised, Tool
from standpipe.desk.answers import give
from standpipe.gate import Gate
from standpipe.governor.recovery import Escalate, Skip
from standpipe.journal.entries import (
    AnswerGiven,
    BlockedRaised,
    Decided,
    Draft,
    Intended,
    Proposed,
    Reconciled,
    Settled,
    Verdict,
)
from standpipe.journal.failures import Failure, failures, unresolved
from standpipe.outcomes.outcome import Unknown
from standpipe.policy.decision import Allow, Deny
from standpipe.testing.gates import Line, open_gate

LOOK = Tool(name="look", effect=Effect.READ, origin="home")
ORDERS = Tool(name="orders", effect=Effect.READ, origin="home", alternates=("mirror",))
MIRROR = Tool(name="mirror", effect=Effect.READ, origin="home")
SEND = Tool(name="send", effect=Effect.ONCE, origin="home", policy="allow", control=())
LABELS = Tool(name="labels", effect=Effect.READ, origin="home", refresh="renew")
TOOLS = {tool.name: tool for tool in (LOOK, ORDERS, MIRROR, SEND, LABELS)}


class Busy(Exception):  # noqa: N818 -- what a client of some service raises
    """An answer with a status."""

    status_code = 503


class Rejected(Exception):  # noqa: N818 -- as above
    """A credential that is not taken."""

    status_code = 401


async def world(**lines: Sequence[Line]) -> Gate:
    gate, _ = await open_gate(TOOLS, lines)
    return gate


async def call(gate: Gate, name: str, number: int = 1, **arguments: object) -> None:
    await gate.perform(
        Action(id=f"r1.{number}.1", tool=TOOLS[name], arguments=arguments, why="asked")
    )


async def answer(gate: Gate, text: str) -> None:
    await give(gate.record.journal.store, "b1", text, "operator")
    await gate.record.journal.refresh()


def met(gate: Gate) -> list[Failure]:
    return failures(gate.record.journal.entries)


def still_open(gate: Gate) -> list[str]:
    return [failure.tool for failure in unresolved(gate.record.journal.entries)]


async def test_what_a_repeat_overcame_is_told_with_what_was_done_about_it() -> None:
    gate = await world(look=[Busy("no room"), Busy("no room"), "a page"])
    await call(gate, "look")
    [failure] = met(gate)
    assert (failure.kind, failure.count, failure.attempts) == ("overloaded", 1, 2)
    assert failure.tried == ("retried twice", "waited 3.0 s")
    assert failure.overcome_by == "a later attempt"


async def test_a_repeat_that_never_began_is_not_claimed() -> None:
    gate = await world(look=[Busy("no room"), "a page"])
    await call(gate, "look")
    entries = gate.record.journal.entries
    killed = entries[: next(at for at, e in enumerate(entries) if e.kind == "action.outcome") + 1]
    [failure] = failures(killed)
    assert (failure.tried, failure.open) == ((), True)


async def test_a_credential_that_could_not_be_renewed_is_told_and_not_said_to_be_renewed() -> None:
    gate, executor = await open_gate(TOOLS, {"labels": [Rejected("no")]})
    executor.renewed = Raised(Fault(type="ConnectionError", message="no network"))
    await call(gate, "labels")
    [told] = met(gate)[0].tried
    assert told.startswith("could not refresh the credential (")
    assert "no network" in told


async def test_a_credential_that_was_renewed_in_vain_is_told() -> None:
    gate = await world(labels=[Rejected("no")])
    await call(gate, "labels")
    assert met(gate)[0].tried == ("refreshed the credential",)


async def test_an_alternate_that_worked_overcomes_and_is_named() -> None:
    gate = await world(orders=[Busy("no room")], mirror=["orders"])
    await call(gate, "orders")
    [failure] = met(gate)
    assert failure.tried[-1] == "tried `mirror`"
    assert failure.overcome_by == "`mirror` worked instead"


async def test_an_alternate_that_failed_too_leaves_both_open() -> None:
    gate = await world(orders=[Busy("no room")], mirror=[Rejected("no")])
    await call(gate, "orders")
    assert still_open(gate) == ["orders", "mirror"]


async def test_a_call_counts_once_however_often_it_was_tried() -> None:
    gate = await world(look=[Busy("x"), "one", Busy("x"), "two"])
    await call(gate, "look", 1)
    await call(gate, "look", 2)
    [failure] = met(gate)
    assert (failure.count, failure.attempts, failure.open) == (2, 2, False)


async def test_a_site_is_open_while_one_of_its_calls_is() -> None:
    gate = await world()
    for action in ("r1.1.1", "r1.2.1"):
        lost = Settled("send", 1, Unknown("lost"), Escalate("it may have happened"), site="s")
        await gate.record.journal.append(
            Draft(action, Proposed("send", {}, Effect.ONCE, "m", origin="home")),
            Draft(f"{action}#1", Decided(Allow("declared"), digest="d")),
            Draft(f"{action}#1", Intended(1, "k", 30.0)),
            Draft(f"{action}#1", lost),
        )
    assert met(gate)[0].count == 2
    for action, left in (("r1.2.1", ["r1.1.1"]), ("r1.1.1", [])):
        happened = Reconciled("send", 1, Verdict.HAPPENED, "verify")
        await gate.record.journal.append(Draft(f"{action}#1", happened))
        assert [one.action for one in unresolved(gate.record.journal.entries)] == left


async def test_an_answer_about_a_site_is_about_every_call_that_failed_there() -> None:
    gate = await world(look=[FileNotFoundError(2, "no such file", "a")])
    await call(gate, "look", 1, path="a")
    await call(gate, "look", 2, path="a")
    assert still_open(gate) == ["look"]
    await answer(gate, "it lies elsewhere")
    assert still_open(gate) == []
    assert met(gate)[0].overcome_by == "operator answered b1"


async def test_an_answer_about_one_call_is_about_that_call_alone() -> None:
    gate = await world(look=[Rejected("no")], mirror=[Rejected("no")])
    await call(gate, "look", 1)
    await call(gate, "mirror", 2)
    asked = BlockedRaised("failure", "what now?", "", action="r1.2.1")
    await gate.record.journal.append(Draft("b9", asked), Draft("b9", AnswerGiven("ok", "dana")))
    assert still_open(gate) == ["look"]


async def test_a_wait_that_is_over_resolves_nothing_until_the_call_works() -> None:
    gate = await world(look=[Rejected("no")])
    await call(gate, "look")
    later = BlockedRaised("wait", "later", "a pause", action="r1.1.1", default="resume")
    over = AnswerGiven("resume", "clock")
    await gate.record.journal.append(Draft("b9", later), Draft("b9", over))
    assert still_open(gate) == ["look"]


async def test_a_person_who_skips_a_failure_is_named_and_it_keeps_no_run_from_done() -> None:
    gate = await world(look=[Rejected("no")])
    await call(gate, "look")
    assert still_open(gate) == ["look"]
    await answer(gate, "Skip")
    assert still_open(gate) == []
    assert met(gate)[0].overcome_by == "operator skipped it in answering b1"


async def test_a_skip_that_the_gate_wrote_down_overcomes_too() -> None:
    gate = await world(look=[Rejected("no")])
    await call(gate, "look")
    said = Decided(Deny("person", "not needed"), "d", by="dana", recovery=Skip("dana said so"))
    await gate.record.journal.append(Draft("r1.1.1#2", said))
    assert met(gate)[0].overcome_by == "dana skipped it"

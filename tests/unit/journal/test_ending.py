"""How a run ends: only `done` is done, and every other end says what it was, what was tried and what helps."""

from collections.abc import Sequence

import pytest

from standpipe.actions import Action, Effect, Tool
from standpipe.gate import Gate
from standpipe.governor.recovery import Escalate, Stop, Wait
from standpipe.journal.ending import End, closing, must_end
from standpipe.journal.entries import (
    AnswerGiven,
    BlockedRaised,
    Decided,
    Draft,
    Intended,
    ModelFailed,
    ModelRefused,
    Proposed,
    RunEnded,
    SegmentEnded,
    Settled,
)
from standpipe.outcomes.outcome import Failed, Kind
from standpipe.policy.decision import Allow, Deny
from standpipe.testing.gates import Line, open_gate
from standpipe.tools.agent import TOOLS as OWN, UnfinishedError

LOOK = Tool(name="look", effect=Effect.READ, origin="home")
FIND = Tool(name="find", effect=Effect.READ, origin="home")
SEND = Tool(name="send", origin="home", policy="allow", control=())
TOOLS = {tool.name: tool for tool in (LOOK, FIND, SEND, *OWN)}
CAP = "the budget of 50 model calls is used up (50 made)"


class Rejected(Exception):  # noqa: N818 -- what a client of some service raises
    """A credential that is not taken."""

    status_code = 401


class Busy(Exception):  # noqa: N818 -- as above
    """A service without room."""

    status_code = 503


class Wrong(Exception):  # noqa: N818 -- as above
    """Arguments that are not taken."""

    status_code = 400


class NotThere(Exception):  # noqa: N818 -- as above
    """Something that is missing."""

    status_code = 404


async def world(**lines: Sequence[Line]) -> Gate:
    gate, _ = await open_gate(TOOLS, lines)
    return gate


async def call(gate: Gate, name: str, number: int = 1, **arguments: object) -> None:
    tool = TOOLS.get(name) or Tool(name=name, origin="unknown")
    why = "asked" if tool.why else ""
    await gate.perform(Action(id=f"r1.{number}.1", tool=tool, arguments=arguments, why=why))


async def claim(gate: Gate, number: int, summary: str = "All done.") -> None:
    await call(gate, "done", number, summary=summary, evidence=["it is there"])


def end_of(gate: Gate, *, over_budget: str | None = None) -> End:
    end = must_end(gate.record.journal.entries, over_budget=over_budget)
    assert end
    return end


def goes_on(gate: Gate) -> bool:
    return must_end(gate.record.journal.entries) is None


def still(*words: str) -> UnfinishedError:
    return UnfinishedError(f"not done yet: {' '.join(words)}", kind="gave_up")


async def test_a_run_in_which_nothing_happened_goes_on() -> None:
    assert goes_on(await world())


async def test_a_question_about_a_failure_says_everything_about_it_and_what_to_type() -> None:
    gate = await world(look=[Rejected("token_expired")])
    await call(gate, "look")
    end = end_of(gate)
    assert (end.status, end.kind) == ("blocked", "credential")
    assert end.site in end.why
    assert "`look` failed (credential, site " in end.why
    assert "HTTP 401: token_expired" in end.why
    assert (
        "what helps: renew the credential it is called with, then `standpipe answer b1" in end.why
    )


async def test_a_stop_says_kind_site_cause_and_what_helps() -> None:
    gate = await world()
    failed = Failed(Kind.CUT, "the answer ends inside a call", code="length", host="api.x")
    body = ModelFailed(1, 1, failed, Stop("cut"), "some:model", "f00d")
    await gate.record.journal.append(Draft("1#1", body))
    assert end_of(gate) == End(
        "failed",
        "`some:model` failed (cut, site f00d): the answer ends inside a call (length) from api.x; "
        "what helps: raise the model's output limit, or ask for smaller parts",
        kind="cut",
        site="f00d",
    )


async def test_a_tool_that_does_not_exist_ends_a_run_with_its_kind() -> None:
    gate = await world()
    await call(gate, "lock", 1)
    await call(gate, "lock", 2)
    end = end_of(gate)
    assert (end.status, end.kind) == ("failed", "unknown_tool")
    assert end.why.startswith("`lock` was refused twice (unknown_tool): no tool is called `lock`")


async def test_done_over_an_open_failure_goes_back_once_and_the_second_time_the_run_has_failed() -> (
    None
):
    gate = await world(find=[NotThere("no page")], done=[still("find"), still("in other words")])
    await call(gate, "find")
    await claim(gate, 2)
    assert goes_on(gate)
    await claim(gate, 3, summary="Really, all is done.")
    end = end_of(gate)
    assert (end.status, end.kind) == ("failed", "gave_up")
    assert "the agent gave up (gave_up): `done` was called again" in end.why
    assert "`find` failed (not_found, site " in end.why


async def test_done_over_another_failure_goes_back_with_that_one() -> None:
    gate = await world(
        find=[NotThere("no page")], look=[NotThere("nothing"), "a page"], done=[still("a"), still("b")]
    )  # fmt: skip
    await call(gate, "look", 1, page="1")
    await claim(gate, 2)
    await call(gate, "look", 3, page="2")  # mends it
    await call(gate, "find", 4)
    await claim(gate, 5)
    assert goes_on(gate)
    await claim(gate, 6)
    assert end_of(gate).kind == "gave_up"


async def test_done_over_fewer_of_the_same_failures_is_the_second_time() -> None:
    gate = await world(
        find=[Wrong("no page")], look=[Wrong("nothing"), "a page"], done=[still("a"), still("b")]
    )
    await call(gate, "look", 1)
    await call(gate, "find", 2)
    await claim(gate, 3)
    await call(gate, "look", 4, page="2")  # mends one of the two
    assert goes_on(gate)
    await claim(gate, 5)
    end = end_of(gate)
    assert end.kind == "gave_up"
    assert "`find` failed" in end.why
    assert "`look`" not in end.why


async def test_done_again_after_a_person_answered_for_what_was_open_is_no_giving_up() -> None:
    gate = await world(find=[Wrong("no page")], done=[still("a"), still("b")])
    await call(gate, "find", 1)
    await claim(gate, 2)
    await claim(gate, 3)
    site = end_of(gate).site
    asked = BlockedRaised("failure", "what now?", "", action="r1.1.1", site=site)
    await gate.record.journal.append(Draft("b9", asked), Draft("b9", AnswerGiven("skip", "dana")))
    assert goes_on(gate)


async def test_giving_up_waits_for_the_answer_while_a_question_is_open() -> None:
    gate = await world(find=[NotThere("no page")], done=[still("a"), still("b")])
    await call(gate, "find")
    await claim(gate, 2)
    await claim(gate, 3)
    asked = BlockedRaised("question", "which page?", "")
    await gate.record.journal.append(Draft("b9", asked))
    assert (end_of(gate).status, end_of(gate).why) == ("blocked", "which page?")


async def test_text_instead_of_an_end_names_what_was_open() -> None:
    gate = await world(find=[NotThere("no page")])
    await call(gate, "find")
    failed = Failed(Kind.GAVE_UP, "the model answered in text twice")
    body = ModelFailed(2, 1, failed, Stop("gave_up"), "script:s", "f00")
    await gate.record.journal.append(Draft("2#1", body))
    end = end_of(gate)
    assert (end.status, end.kind) == ("failed", "gave_up")
    assert "the model answered in text twice: `find` failed (not_found" in end.why
    assert "open too" not in end.why


async def test_a_cap_names_itself_and_the_failures_that_spent_it() -> None:
    gate = await world(
        look=[Busy("no room"), Busy("no room"), "a page"], find=[NotThere("no page"), "found"], send=["ok"]
    )  # fmt: skip
    await call(gate, "look", 1)
    await call(gate, "find", 2)
    await call(gate, "find", 3)
    end = end_of(gate, over_budget=CAP)
    assert (end.status, end.kind) == ("failed", "budget")
    assert end.why == (
        f"{CAP} (budget); it went into `look` overloaded, twice (HTTP 503: no room), "
        "`find` not_found, once (HTTP 404: no page), `find` called twice; "
        "what helps: raise the cap in `[budgets]` of standpipe.toml, or make the task smaller"
    )


async def test_a_cap_without_failures_names_the_tools_called_most() -> None:
    gate = await world(look=["a page"], find=["found"])
    for number in range(1, 4):
        await call(gate, "look", number)
    await call(gate, "find", 4)
    assert (
        "it went into `look` called 3 times, `find` called once;"
        in end_of(gate, over_budget=CAP).why
    )


async def test_a_cap_over_nothing_blames_nothing() -> None:
    assert "it went into" not in end_of(await world(), over_budget=CAP).why


@pytest.mark.parametrize("status", ["failed", "blocked", "done", "cancelled"])
def test_only_what_is_over_ends_the_run_and_it_says_why(status: str) -> None:
    said = [draft.body for draft in closing(End(status, "because"), run="r1", epoch=2)]
    assert said[0] == SegmentEnded(status, "because")
    over = [body for body in said if isinstance(body, RunEnded)]
    assert len(over) == (status != "blocked")
    assert all((body.summary, body.why) == ("because", "because") for body in over)


async def test_a_call_that_only_repeats_itself_ends_a_run_with_the_kind_of_its_rule() -> None:
    gate = await world()
    for rule in ("loop", "no_progress"):
        said = Decided(Deny(rule, "`look` brought the same 4 times"), "d", recovery=Stop("again"))
        action = f"r1.{len(gate.record.journal.entries)}.1"
        await gate.record.journal.append(
            Draft(action, Proposed("look", {}, Effect.READ, "m", origin="home")),
            Draft(f"{action}#1", said),
        )
        end = must_end(gate.record.journal.entries[-2:])
        assert end
        assert (end.status, end.kind) == ("failed", rule)
        assert f"({rule}): `look` brought the same 4 times; what helps: give the agent" in end.why


async def test_a_call_beyond_the_budget_ends_a_run_and_names_what_spent_it() -> None:
    gate = await world(look=["a page"])
    await call(gate, "look")
    said = Decided(Deny("budget", CAP), "d", recovery=Stop(CAP))
    await gate.record.journal.append(
        Draft("r1.2.1", Proposed("look", {}, Effect.READ, "m", origin="home")),
        Draft("r1.2.1#1", said),
    )
    assert end_of(gate).kind == "budget"
    assert end_of(gate).why.startswith(f"{CAP} (budget); it went into `look` called twice;")


async def test_waiting_for_the_answer_to_another_runs_question_says_what_failed_there() -> None:
    gate = await world()
    refused = Decided(
        Deny("open_site", "`look` failed twice"),
        "d",
        recovery=Escalate("`look` failed 2 times the same way (credential: HTTP 401)"),
        blocker="b7",
    )
    await gate.record.journal.append(
        Draft("r1.1.1", Proposed("look", {}, Effect.READ, "m", origin="home")),
        Draft("r1.1.1#1", refused),
    )
    end = end_of(gate)
    assert end.status == "blocked"
    assert end.why == (
        "waits for the answer to b7: `look` failed 2 times the same way (credential: HTTP 401)"
    )


async def test_a_failure_whose_question_is_open_already_says_everything_about_it_too() -> None:
    gate = await world()
    rejected = Failed(Kind.CREDENTIAL, "HTTP 401 from api.x", code="401", host="api.x")
    outcome = Settled("look", 1, rejected, Escalate("a person"), site="f00d", blocker="b7")
    await gate.record.journal.append(
        Draft("r1.1.1", Proposed("look", {}, Effect.READ, "m", origin="home")),
        Draft("r1.1.1#1", Decided(Allow("declared"), digest="d")),
        Draft("r1.1.1#1", Intended(1, "k", 30.0)),
        Draft("r1.1.1#1", outcome),
    )
    end = end_of(gate)
    assert (end.status, end.kind, end.site) == ("blocked", "credential", "f00d")
    assert end.why.startswith("waits for the answer to b7: `look` failed (credential, site f00d):")


async def test_a_model_that_is_not_asked_says_why_and_for_which_answer_it_waits() -> None:
    gate = await world()
    body = ModelRefused(1, "some:model", "f00d", "HTTP 401 from api.x", blocker="b7")
    await gate.record.journal.append(Draft("1", body))
    assert end_of(gate).why == "waits for the answer to b7: HTTP 401 from api.x"


async def test_a_wait_names_the_time_and_what_was_waited_for() -> None:
    gate = await world()
    busy = Failed(Kind.RATE_LIMITED, "HTTP 429 from api.x", code="429", host="api.x")
    later = BlockedRaised("wait", "later", "a pause", action="r1.1.1", tool="look", default="resume",
                          expires_at="2026-11-22T08:00:00.000Z")  # fmt: skip
    await gate.record.journal.append(
        Draft("r1.1.1", Proposed("look", {}, Effect.READ, "m", origin="home")),
        Draft("r1.1.1#1", Decided(Allow("declared"), digest="d")),
        Draft("r1.1.1#1", Intended(1, "k", 30.0)),
        Draft("r1.1.1#1", Settled("look", 1, busy, Wait("a pause", 3600.0), site="f00d")),
        Draft("b1", later),
    )
    end = end_of(gate)
    assert (end.status, end.kind) == ("blocked", "rate_limited")
    assert end.why.startswith(
        "waits until 2026-11-22T08:00:00.000Z, then `standpipe run` goes on: "
        "`look` failed (rate_limited, site f00d): HTTP 429 from api.x; what helps: wait"
    )

from typing import Any

import msgspec
import pytest

from standpipe.actions import Change, Effect
from standpipe.desk.failing import HELPS
from standpipe.desk.report import report
from standpipe.governor.recovery import Alternate, Escalate, Retry, Return, Wait
from standpipe.journal.entries import (
    AnswerGiven,
    Check,
    Checked,
    InDoubt,
    LessonRecorded,
    ModelResponded,
    Noted,
    RunEnded,
    RunLost,
    SegmentEnded,
)
from standpipe.outcomes.outcome import Failed, Kind, Succeeded, Unknown
from standpipe.policy.decision import Ask, Deny

MAIL = {"to": ["dana@example.com"], "subject": "Offer", "body": "..."}
FIELDS = {
    "report": "run agent task status summary started_at ended_at blocked_on failures effects files decisions "
    "checklist lessons usage",
    "blocked_on": "id kind ask why action default expires_at",
    "failures": "id tool kind fingerprint count message first_at last_at recovery why",
    "effects": "action tool summary why reversible outcome at",
    "files": "path change added removed why action",
    "decisions": "at by what why alternatives",
    "checklist": "name passed evidence",
    "lessons": "id statement count rung",
    "usage": "model_calls tool_calls attempts input_tokens output_tokens cost_usd wall_seconds",
}
WRITTEN = Change("notes.md", "created", after="aa", added=3, mode_after=0o100644)


async def test_a_report_has_exactly_the_fields_of_the_contract(told: Any) -> None:
    await told.propose("r1.1.1", "send_email", MAIL)
    await told.settle("r1.1.1", "send_email", changes=[WRITTEN])
    await told.say("c", Checked((Check("no secret", passed=True, evidence="0 found"),)))
    await told.say("L-1", LessonRecorded("L-1", "look first", 2, "lesson"))
    await told.propose("r1.2.1", "http_get", {"url": "u"}, effect=Effect.READ)
    failed = Failed(Kind.SERVER_ERROR, "500 from the shop")
    await told.settle("r1.2.1", "http_get", failed, site="s1", recovery=Escalate("twice"))
    await told.ask("b1", "failure", action="r1.2.1", site="s1")
    made = msgspec.to_builtins(report(await told.entries()))
    assert set(made) == set(FIELDS["report"].split())
    for name in set(FIELDS) - {"report"}:
        found = made[name] if name == "usage" else made[name][0]
        assert set(found) == set(FIELDS[name].split()), name


async def test_a_sent_mail_is_told_with_its_receipt_and_cannot_be_taken_back(told: Any) -> None:
    await told.propose("r1.1.1", "send_email", MAIL)
    await told.settle("r1.1.1", "send_email", Succeeded({"message_id": "<m1>", "accepted": []}))
    (effect,) = report(await told.entries()).effects
    assert effect.summary == "sent mail to dana@example.com: Offer (receipt <m1>)"
    assert (effect.outcome, effect.reversible, effect.why) == (
        "Succeeded",
        False,
        "the task asks for it",
    )


async def test_what_nobody_saw_the_end_of_stands_among_the_effects_as_unknown(told: Any) -> None:
    await told.propose("r1.1.1", "send_email", MAIL)
    await told.settle("r1.1.1", "send_email", Unknown("timed out"), recovery=Return("nobody knows"))
    assert report(await told.entries()).effects[0].outcome == "Unknown"
    await told.say("r1.1.1#1", InDoubt(1, "it may have happened", "b1"))
    assert report(await told.entries()).effects[0].outcome == "Unknown"


async def test_reads_files_of_the_home_and_the_agents_own_tools_are_no_outside_effects(
    told: Any,
) -> None:
    await told.propose("r1.1.1", "mail_read", {"id": "4"}, effect=Effect.READ)
    await told.settle("r1.1.1", "mail_read")
    write = {"path": "notes.md", "content": "x"}
    await told.propose("r1.1.2", "write_file", write, effect=Effect.IDEMPOTENT, reversible=True)
    await told.settle("r1.1.2", "write_file", changes=[WRITTEN])
    await told.propose("r1.1.3", "memory_note", {"title": "t"}, origin="agent")
    await told.settle("r1.1.3", "memory_note")
    made = report(await told.entries())
    assert made.effects == ()
    assert [file.path for file in made.files] == ["notes.md"]


async def test_a_held_call_is_no_effect_and_blocks_the_run(told: Any) -> None:
    await told.propose(
        "r1.1.1", "send_email", MAIL, decision=Ask("destinations", "came from mail 4"), blocker="b1"
    )
    await told.ask("b1", action="r1.1.1")
    await told.say("1", SegmentEnded("blocked", "may I?"))
    made = report(await told.entries())
    assert (made.status, made.effects, made.ended_at) == ("blocked", (), None)
    assert made.blocked_on[0].action is not None
    assert made.blocked_on[0].action.arguments == {"to": ["dana@example.com"]}
    assert made.decisions[0].what.startswith("held send_email(")


async def test_an_answered_run_that_nobody_went_on_with_says_how(told: Any) -> None:
    await told.ask("b1")
    await told.say("1", SegmentEnded("blocked", "may I?"))
    await told.say("b1", AnswerGiven("yes", "operator"))
    made = report(await told.entries())
    assert (made.status, made.blocked_on) == ("blocked", ())
    assert "standpipe resume r1" in made.summary
    assert made.decisions[-1].by == "human"


@pytest.mark.parametrize(
    ("alive", "status"), [(None, "running"), (True, "running"), (False, "lost")]
)
async def test_a_run_without_its_process_is_lost(told: Any, alive: Any, status: Any) -> None:
    assert report(await told.entries(), alive=alive).status == status


async def test_a_lost_run_ends_when_it_was_noticed(told: Any) -> None:
    await told.say("1", RunLost("killed", "status"))
    made = report(await told.entries())
    assert (made.status, made.ended_at) == ("lost", (await told.entries())[-1].at)


async def test_an_ended_run_stays_ended_and_asks_nothing(told: Any) -> None:
    await told.ask("b1")
    await told.say("r1", RunEnded("cancelled", "", why="operator cancelled it"))
    made = report(await told.entries(), alive=False)
    assert (made.status, made.summary, made.blocked_on) == (
        "cancelled",
        "operator cancelled it",
        (),
    )


async def test_an_overcome_failure_is_told_after_the_open_ones(told: Any) -> None:
    late = Failed(Kind.RATE_LIMITED, "429", code="429", host="shop")
    await told.propose("r1.1.1", "http_get", {"url": "u"}, effect=Effect.READ)
    await told.settle("r1.1.1", "http_get", late, recovery=Retry("again"), site="s1")
    await told.settle("r1.1.1", "http_get", attempt=2)
    await told.propose("r1.2.1", "refund", {"order": 7}, origin="home")
    broken = Failed(Kind.TOOL_BUG, "KeyError")
    await told.settle("r1.2.1", "refund", broken, recovery=Escalate("twice"), site="s2")
    first, second = report(await told.entries()).failures
    assert (first.tool, first.overcome, first.recovery) == ("refund", False, "Escalate")
    assert (second.fingerprint, second.overcome) == ("s1", True)
    assert second.why == "again; done about it: retried once; overcome: a later attempt"
    assert (second.count, second.recovery) == (1, "Retry")
    assert first.why == "twice; what helps: correct the tool's code; changed code is tried again"


async def test_no_message_can_say_that_its_failure_was_overcome(told: Any) -> None:
    lies = Failed(Kind.SERVER_ERROR, "broken; overcome: all is well")
    await told.propose("r1.1.1", "http_get", {"url": "u"}, effect=Effect.READ)
    why = Escalate(
        "a person has to decide; server_error: broken; overcome: all is well; what helps: nothing"
    )
    await told.settle("r1.1.1", "http_get", lies, recovery=why, site="s1")
    [failure] = report(await told.entries()).failures
    assert not failure.overcome
    assert failure.marked(HELPS).startswith("tell whoever runs the other side")


async def test_a_run_that_waits_before_it_tries_again_says_so(told: Any) -> None:
    busy = Failed(Kind.OVERLOADED, "no room", code="503", host="api.x")
    await told.propose("r1.1.1", "http_get", {"url": "u"}, effect=Effect.READ)
    await told.settle(
        "r1.1.1", "http_get", busy, recovery=Wait("busy", 12.0), site="s1", host="api.x"
    )
    made = report(await told.entries())
    assert made.summary == "http_get: 503 from api.x, waits 12.0 s"
    assert [failure.tool for failure in made.failures] == ["http_get"]


async def test_decisions_name_who_what_and_why(told: Any) -> None:
    await told.propose("r1.1.1", "http_get", {"url": "u"}, decision=Deny("egress", "not listed"))
    await told.say("r1.1.2", Noted("agent", "use the cache", "the server is down", ("wait",)))
    await told.propose("r1.2.1", "http_get", {"url": "v"}, effect=Effect.READ)
    page = Failed(Kind.LOGIN_PAGE, "a sign-in page")
    await told.settle(
        "r1.2.1", "http_get", page, recovery=Alternate("it wants a login", "orders_mirror")
    )
    made = report(await told.entries()).decisions
    assert [(d.by, d.why) for d in made] == [
        ("runtime", "not listed"), ("agent", "the server is down"), ("runtime", "it wants a login"),
    ]  # fmt: skip
    assert made[1].alternatives == ("wait",)
    assert made[2].what == "tried `orders_mirror` instead of `http_get`"


async def test_a_denied_call_is_no_failure(told: Any) -> None:
    await told.propose("r1.1.1", "http_get", {"url": "u"}, decision=Deny("egress", "not listed"))
    assert report(await told.entries()).failures == ()


async def test_only_the_last_checklist_counts_and_claims_are_marked(told: Any) -> None:
    await told.say("c1", Checked((Check("nothing held", passed=False),)))
    await told.say(
        "c2", Checked((Check("answered", passed=True, evidence="r 12", verified=False),))
    )
    (line,) = report(await told.entries()).checklist
    assert (line.passed, line.evidence) == (True, "unverified, the agent says: r 12")


@pytest.mark.parametrize(
    ("costs", "total"), [((0.1, 0.2), 0.3), ((0.1, None), None), ((), None), ((0.0,), 0.0)]
)
async def test_an_unknown_price_is_null_and_never_zero(told: Any, costs: Any, total: Any) -> None:
    for number, cost in enumerate(costs, 1):
        body = ModelResponded(number, {}, "m", input_tokens=10, output_tokens=5, cost_usd=cost)
        await told.say(str(number), body)
    usage = report(await told.entries()).usage
    assert usage.cost_usd == total
    assert (usage.model_calls, usage.input_tokens) == (len(costs), 10 * len(costs))


async def test_attempts_are_intents_and_alternates_are_no_calls_of_the_agent(told: Any) -> None:
    for action in ("r1.1.1", "r1.1.1a"):
        await told.propose(action, "http_get", {"url": "u"}, effect=Effect.READ)
        await told.settle(action, "http_get", Failed(Kind.SERVER_ERROR, "500"), recovery=Retry("x"))
        await told.settle(action, "http_get", attempt=2)
    usage = report(await told.entries()).usage
    assert (usage.tool_calls, usage.attempts) == (1, 4)

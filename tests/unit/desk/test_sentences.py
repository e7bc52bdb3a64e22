from typing import Any

import pytest

from standpipe.actions import Effect
from standpipe.desk.phrases import doing
from standpipe.desk.report import report
from standpipe.desk.sentences import sentence, sentences
from standpipe.desk.why import stories, why
from standpipe.errors import NotFoundError
from standpipe.governor.recovery import Alternate, Escalate, Refresh, Retry, Return, Stop, Wait
from standpipe.journal.entries import (
    AnswerGiven,
    BlockedRaised,
    Check,
    Checked,
    LessonRecorded,
    ModelFailed,
    Reconciled,
    RunEnded,
    Verdict,
)
from standpipe.outcomes.outcome import Failed, Kind, Succeeded, Unknown
from standpipe.policy.decision import Allow, Ask, Deny

MAIL = {"to": ["dana@example.com"], "subject": "Offer", "body": "..."}


async def lines(told: Any) -> list[str]:
    return [line.text for _, line in sentences(await told.entries())]


async def test_a_read_is_told_once_when_it_starts(told: Any) -> None:
    await told.propose("r1.1.1", "mail_read", {"id": "4"}, effect=Effect.READ)
    await told.settle("r1.1.1", "mail_read")
    assert await lines(told) == ["r1 begins: Answer the mail", "reads mail 4"]


async def test_an_effect_is_told_by_its_result_with_its_receipt(told: Any) -> None:
    await told.propose("r1.1.1", "send_email", MAIL)
    await told.settle("r1.1.1", "send_email", Succeeded({"message_id": "<m1>"}))
    assert (await lines(told))[1:] == ["sent mail to dana@example.com: Offer (receipt <m1>)"]


async def test_a_held_call_says_where_the_value_came_from(told: Any) -> None:
    reason = "this address came from mail 4, not from you. Nothing was sent."
    await told.propose(
        "r1.1.1", "send_email", MAIL, decision=Ask("destinations", reason), blocker="b1"
    )
    assert (await lines(told))[1:] == [f"b1 held: {reason}"]


@pytest.mark.parametrize(
    ("outcome", "recovery", "line"),
    [
        (Failed(Kind.RATE_LIMITED, "slow down", code="429"), Wait("the other side asked: 1.2 s", 1.2),
         "http_get: 429 from 127.0.0.1:8080, waits 1.2 s as asked"),
        (Failed(Kind.CREDENTIAL, "expired"), Refresh("rejected"),
         "http_get: credential from 127.0.0.1:8080, renews the credential, once"),
        (Failed(Kind.LOGIN_PAGE, "sign in"), Alternate("no data", "mirror"),
         "http_get: login page from 127.0.0.1:8080, tries mirror instead"),
        (Failed(Kind.SERVER_ERROR, "oh no", code="500"), Escalate("twice the same way"),
         "http_get: oh no"),
        (Failed(Kind.TIMED_OUT, "no result within 1 s", code="deadline"), Retry("safe", 0.5),
         "http_get: timed out from 127.0.0.1:8080, tries again in 0.5 s"),
        (Failed(Kind.NOT_FOUND, "no such page\nhint: look again", code="404"), Return("told"),
         "http_get: no such page; the agent is told"),
        (Failed(Kind.TIMED_OUT, "no answer", code="deadline"), Alternate("no data", "mirror"),
         "http_get: timed out from 127.0.0.1:8080, tries mirror instead"),
        (Unknown("timed out"), Return("ask"), "http_get: nobody knows whether it happened (timed out)"),
    ],
)  # fmt: skip
async def test_a_failure_says_what_is_done_about_it(
    told: Any, outcome: Any, recovery: Any, line: str
) -> None:
    await told.propose("r1.1.1", "http_get", {"url": "u"}, effect=Effect.READ)
    await told.settle("r1.1.1", "http_get", outcome, recovery=recovery, host="127.0.0.1:8080")
    assert (await lines(told))[-1] == line


async def test_an_answer_names_the_question_and_who_gave_it(told: Any) -> None:
    await told.ask("b3")
    await told.say("b3", AnswerGiven("yes", "operator"))
    assert (await lines(told))[-1] == "answers b3: yes (operator)"


async def test_a_receipt_found_after_a_crash_is_not_repeated(told: Any) -> None:
    await told.propose("r1.1.1", "send_email", MAIL)
    body = Reconciled("send_email", 1, Verdict.HAPPENED, "verify", {"message_id": "<m1>"})
    await told.say("r1.1.1#1", body)
    assert (
        (await lines(told))[-1]
        == "sent mail to dana@example.com: Offer: had happened, says verify (receipt <m1>); not repeated"
    )


async def test_a_model_that_cannot_be_reached_is_told_once_and_asks(told: Any) -> None:
    gone = Failed(Kind.NOT_SENT, "cannot connect to 127.0.0.1:11434")
    await told.say("1#2", ModelFailed(1, 2, gone, Escalate(f"decide; {gone.message}"), "ollama:foo", "s"))  # fmt: skip
    ask = f"`ollama:foo` failed: {gone.message}. What now?"
    await told.say("b5", BlockedRaised("failure", ask, gone.message, tool="ollama:foo", site="s"))
    assert (await lines(told))[1:] == [
        "ollama:foo: cannot connect to 127.0.0.1:11434 (2 attempts)",
        "b5 asks you: what now with `ollama:foo`?",
    ]


async def test_a_run_that_stops_does_not_repeat_what_failed(told: Any) -> None:
    why_stopped = "nothing in this run can mend it; tool_bug: KeyError: 'x'"
    await told.propose("r1.1.1", "broken", {}, effect=Effect.READ)
    bug = Failed(Kind.TOOL_BUG, "KeyError: 'x'", code="KeyError")
    await told.settle("r1.1.1", "broken", bug, recovery=Stop(why_stopped))
    await told.say("r1", RunEnded("failed", "", why=why_stopped))
    assert (await lines(told))[2:] == [
        "broken: KeyError: 'x'; the run stops",
        "failed: nothing in this run can mend it",
    ]
    assert report(await told.entries()).summary == "nothing in this run can mend it: KeyError: 'x'"


async def test_a_red_checklist_is_told_once(told: Any) -> None:
    await told.propose("r1.1.1", "done", {"summary": "s"}, effect=Effect.READ, origin="agent")
    await told.say("1", Checked((Check("no secret", passed=False, evidence="one\nhint: x"),)))
    sent_back = Failed(Kind.CHECKLIST, "not done yet: no secret: one")
    await told.settle("r1.1.1", "done", sent_back, recovery=Return("told"))
    assert (await lines(told))[1:] == ["not done yet: no secret (one)"]


@pytest.mark.parametrize(
    ("statement", "count", "line"),
    [
        ("`http_get` failed with forbidden (401), once on 2026-11-22", 1, "`http_get` got 401 (once)"),
        ("`prices` failed with timed_out (deadline), 3 times", 3, "`prices` got timed out (3 times)"),
        ("look first", 1, "look first"),
    ],
)  # fmt: skip
async def test_a_lesson_is_told_in_plain_words(
    told: Any, statement: str, count: int, line: str
) -> None:
    await told.say("L-1#1", LessonRecorded("L-1", statement, count, "lesson"))
    assert (await lines(told))[1:] == [f"remembers: {line}"]


async def test_the_actions_of_a_run_are_listed_with_what_became_of_them(told: Any) -> None:
    await told.propose("r1.1.1", "http_get", {"url": "u"}, effect=Effect.READ)
    await told.settle("r1.1.1", "http_get")
    await told.propose("r1.1.2", "send_email", MAIL, decision=Deny("egress", "not listed"))
    found = [(one.action, one.outcome) for one in stories(await told.entries())]
    assert found == [("r1.1.1", "Succeeded"), ("r1.1.2", "Refused")]


async def test_every_entry_can_be_told_alone(told: Any) -> None:
    await told.propose("r1.1.1", "send_email", MAIL)
    await told.settle("r1.1.1", "send_email")
    told_alone = [sentence(entry) for entry in await told.entries()]
    assert [one.text for one in told_alone if one][-1] == "send_email succeeded (receipt ok)"


def test_a_phrase_never_guesses_what_is_missing() -> None:
    assert doing("mail_read", {}) == "mail_read()"
    assert (
        doing("send_email", {"to": "{subject}", "subject": "{0}"}) == "sends mail to {subject}: {0}"
    )


async def test_the_story_of_an_action_names_rule_attempts_and_outcome(told: Any) -> None:
    await told.propose(
        "r1.1.1", "http_get", {"url": "u"}, effect=Effect.READ, decision=Allow("egress")
    )
    slow = Failed(Kind.RATE_LIMITED, "429", code="429")
    await told.settle(
        "r1.1.1", "http_get", slow, recovery=Wait("the other side asked: 1.2 s to wait", 1.2)
    )
    await told.settle("r1.1.1", "http_get", Succeeded("data"), attempt=2)
    story = why(await told.entries(), "R1.1.1")
    assert story.sentences == (
        "the agent proposed http_get(url=u), because: the task asks for it",
        "allowed by the rule `egress`",
        "tried 2 times",
        "http_get: 429, waits 1.2 s as asked",
        "because the other side asked: 1.2 s to wait",
        "it succeeded: data",
    )


async def test_the_story_of_a_held_action_tells_question_and_answer(told: Any) -> None:
    await told.propose(
        "r1.1.1", "send_email", MAIL, decision=Ask("destinations", "unknown"), blocker="b1"
    )
    await told.ask("b1", action="r1.1.1")
    assert why(await told.entries(), "r1.1.1").sentences[-1] == "nothing was done; it waits for b1"
    await told.say("b1", AnswerGiven("no", "operator"))
    told_now = why(await told.entries(), "r1.1.1").sentences
    assert any(line.startswith("operator answered at ") for line in told_now)


async def test_the_story_of_a_denied_action_ends_with_nothing_done(told: Any) -> None:
    await told.propose("r1.1.1", "http_get", {"url": "u"}, decision=Deny("egress", "not listed"))
    story = why(await told.entries(), "r1.1.1")
    assert story.sentences[-2:] == ("denied by the rule `egress`: not listed", "nothing was done")


async def test_an_unknown_action_is_named(told: Any) -> None:
    with pytest.raises(NotFoundError, match=r"no action `r1\.9\.9`"):
        why(await told.entries(), "r1.9.9")

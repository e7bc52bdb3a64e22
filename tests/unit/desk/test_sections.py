from typing import Any

from standpipe.actions import Effect
from standpipe.desk.report import report
from standpipe.desk.sections import Page, page
from standpipe.governor.recovery import Alternate, Escalate, Return, Wait
from standpipe.journal.entries import (
    AnswerGiven,
    BlockedRaised,
    Check,
    Checked,
    RunEnded,
    SegmentEnded,
)
from standpipe.outcomes.outcome import Failed, Kind, Succeeded


def part(laid: Page, title: str) -> list[tuple[str, tuple[str, ...]]]:
    """Return the rows of one part, without what one types."""
    found = [section.rows for section in laid.sections if section.title == title]
    return [(row.text, row.details) for rows in found for row in rows]


async def test_what_a_person_forbade_stands_right_after_the_headline(told: Any) -> None:
    ask = BlockedRaised("approval", "may I send_letter(to=Miller)?", "once", action="r1.1.1")
    await told.say("b1", ask)
    await told.say("b1", AnswerGiven("no: wrong person", "operator"))
    await told.say("r1", RunEnded("done", "Wrote to Ann.", ("a letter", "a receipt")))
    laid = page(report(await told.entries()))
    assert laid.head.text == "r1 done: Wrote to Ann."
    assert laid.head.details[0] == "unverified evidence: the agent says: a letter; a receipt"
    assert laid.sections[0].title == "Did not happen"
    assert part(laid, "Did not happen") == [
        ("send_letter(to=Miller): you said no: wrong person", ())
    ]
    assert part(laid, "Checklist") == []


async def test_a_yes_and_a_no_to_something_else_forbid_nothing(told: Any) -> None:
    await told.ask("b1")
    await told.say("b1", AnswerGiven("yes", "operator"))
    await told.say("b2", BlockedRaised("question", "Is it Monday?", "", action="r1.1.1"))
    await told.say("b2", AnswerGiven("no", "operator"))
    await told.say("r1", RunEnded("done", "Done."))
    assert part(page(report(await told.entries())), "Did not happen") == []


async def test_a_failure_is_told_in_words_and_once(told: Any) -> None:
    failed = Failed(Kind.LOGIN_PAGE, "a login page came back\nhint: log in")
    instead = Alternate("no data; login_page: a login page came back", "mirror")
    await told.propose("r1.1.1", "http_get", {"url": "u"}, effect=Effect.READ)
    await told.settle("r1.1.1", "http_get", failed, recovery=instead, site="s1")
    await told.propose("r1.1.1a", "mirror", {"url": "u"}, effect=Effect.READ)
    await told.settle("r1.1.1a", "mirror", Succeeded("data"))
    laid = page(report(await told.entries()))
    assert part(laid, "Failures") == [
        ("http_get failed (login page): a login page came back", ("tried `mirror`; that worked",))
    ]
    assert part(laid, "Decisions") == [("runtime tried `mirror` instead of `http_get`", ())]


async def test_a_question_about_a_failure_repeats_nothing_and_stays_open(told: Any) -> None:
    failed = Failed(Kind.SERVER_ERROR, "oh no")
    await told.propose("r1.1.1", "http_get", {"url": "u"}, effect=Effect.READ)
    await told.settle("r1.1.1", "http_get", failed, recovery=Escalate("a person; oh no"), site="s")
    await told.say("b1", BlockedRaised("failure", "`http_get` failed: oh no. What now?", "a person; oh no",
                                       site="s", expires_at="2026-11-23T07:00:00.000Z"))  # fmt: skip
    await told.say("1", SegmentEnded("blocked", ""))
    laid = page(report(await told.entries()))
    ways_on = (
        "any answer lets it be tried once more, so say what has changed; `skip` goes on without it"
    )
    open_still = (ways_on, "stays open; nothing is decided by silence")
    assert part(laid, "Needs you") == [
        ("b1 failure: `http_get` failed: oh no. What now?", open_still)
    ]
    assert part(laid, "Failures") == [
        (
            "http_get failed (server error): oh no",
            (
                "you were asked",
                "what helps: tell whoever runs the other side, or wait until it works again",
            ),
        )
    ]
    [needs, *_] = laid.sections
    assert needs.rows[0].commands == ("standpipe answer b1 TEXT|skip",)


async def test_what_waits_for_a_time_says_how_long_is_left_and_how_it_goes_on(told: Any) -> None:
    body = BlockedRaised("wait", "`http_get` may be tried again later", "it asked for a pause",
                         default="resume", expires_at="2026-11-22T08:00:00.000Z")  # fmt: skip
    await told.say("b1", body)
    await told.say("1", SegmentEnded("blocked", ""))
    made = report(await told.entries())
    for now, left in (
        ("", "goes on at 2026-11-22T08:00:00.000Z"),
        ("2026-11-22T07:15:00.000Z", "goes on at 2026-11-22T08:00:00.000Z, in 45 min"),
        ("2026-11-22T08:00:00.000Z", "may go on now"),
    ):
        [row] = page(made, now=now).sections[0].rows
        assert row.details == ("why: it asked for a pause", left)
        assert row.commands == ("standpipe run r1",)


async def test_what_was_done_below_the_model_is_told_once(told: Any) -> None:
    busy = Failed(Kind.OVERLOADED, "HTTP 503 from api.x", code="503", host="api.x")
    await told.propose("r1.1.1", "http_get", {"url": "u"}, effect=Effect.READ)
    await told.settle("r1.1.1", "http_get", busy, recovery=Wait("busy", 3.2), site="s1")
    await told.settle("r1.1.1", "http_get", attempt=2)
    assert part(page(report(await told.entries())), "Failures") == [
        (
            "http_get failed (overloaded): HTTP 503 from api.x",
            ("retried once, waited 3.2 s; then it worked",),
        )
    ]


async def test_what_only_the_agent_says_has_not_passed(told: Any) -> None:
    checks = (
        Check("acceptance: it reads well", passed=True, evidence="I read it", verified=False),
        Check("acceptance: it is short", passed=False, evidence="no evidence", verified=False),
    )
    await told.say("1", Checked(checks))
    assert [text for text, _ in part(page(report(await told.entries())), "Checklist")] == [
        "unverified acceptance: it reads well: the agent says: I read it",
        "FAILED acceptance: it is short: unverified, the agent says: no evidence",
    ]


async def test_a_red_checklist_is_no_failure_beside_itself(told: Any) -> None:
    await told.propose("r1.1.1", "done", {"summary": "s"}, effect=Effect.READ, origin="agent")
    await told.say("1", Checked((Check("no secret", passed=False, evidence="one"),)))
    sent_back = Failed(Kind.CHECKLIST, "not done yet: no secret: one")
    await told.settle("r1.1.1", "done", sent_back, recovery=Return("told"))
    laid = page(report(await told.entries()))
    assert part(laid, "Failures") == []
    assert part(laid, "Checklist") == [("FAILED no secret: one", ())]

from typing import Any

import pytest

from standpipe.desk.answers import give
from standpipe.desk.blockers import inbox
from standpipe.errors import NotFoundError, UsageError
from standpipe.ids import HOME
from standpipe.journal.entries import AnswerGiven, RunEnded, SiteClosed

NOW = "2026-11-22T08:00:00.000Z"


async def test_the_first_answer_wins_and_the_same_again_changes_nothing(told: Any) -> None:
    await told.ask("b1")
    first = await give(told.store, "B1", "Yes", "dana")
    again = await give(told.store, "b1", "approve", "lee")
    assert (first.fresh, again.fresh, again.row.by) == (True, False, "dana")
    assert sum(isinstance(entry.body, AnswerGiven) for entry in await told.entries()) == 1


async def test_another_answer_is_refused_and_says_who_what_and_when(told: Any) -> None:
    await told.ask("b1")
    given = await give(told.store, "b1", "yes", "dana")
    with pytest.raises(UsageError, match=f"`yes`, by dana at {given.row.answered_at}"):
        await give(told.store, "b1", "no", "lee")


class Faster:
    """A store in which somebody else answers just before us."""

    def __init__(self, inner: Any, answer: str) -> None:
        self.inner, self.answer = inner, answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def post(self, run: str, drafts: Any) -> Any:
        await give(self.inner, "b1", self.answer, "dana")
        return await self.inner.post(run, drafts)


def faster(store: Any, answer: str) -> Any:
    return Faster(store, answer)


async def test_who_is_slower_by_a_moment_learns_that_it_was_answered(told: Any) -> None:
    await told.ask("b1")
    with pytest.raises(UsageError, match="by dana"):
        await give(faster(told.store, "yes"), "b1", "no", "lee")


async def test_who_says_the_same_a_moment_later_changes_nothing(told: Any) -> None:
    await told.ask("b1")
    given = await give(faster(told.store, "yes"), "b1", "yes", "lee")
    assert (given.fresh, given.row.by) == (False, "dana")


async def test_an_answer_to_a_failure_closes_its_site_in_the_home(told: Any) -> None:
    await told.ask("b1", "failure", site="s1")
    await give(told.store, "b1", "the token is renewed", "dana")
    (closed,) = await told.store.read(HOME)
    assert closed.body == SiteClosed("s1", "dana", "the token is renewed")
    assert closed.key == "s1#b1"


@pytest.mark.parametrize(
    ("kind", "text", "recorded"),
    [
        ("approval", "Y", "yes"),
        ("approval", "deny", "no"),
        ("approval", "No: wrong customer", "no: wrong customer"),
        ("in_doubt", "yes", "yes"),
        ("in_doubt", "give up", "give-up"),
        ("question", "no", "no"),
        ("question", " 40 EUR ", "40 EUR"),
        ("failure", "try again", "try again"),
        ("failure", "Skip", "skip: go on without it"),
        ("failure", "skip: nobody reads it", "skip: nobody reads it"),
        ("failure", "skip the header line", "skip the header line"),
        ("question", "skip", "skip"),
        ("wait", "now", "now"),
    ],
)
async def test_an_answer_is_recorded_in_the_words_of_its_kind(
    told: Any, kind: str, text: str, recorded: str
) -> None:
    await told.ask("b1", kind)
    assert (await give(told.store, "b1", text, "dana")).row.answer == recorded


@pytest.mark.parametrize(
    ("kind", "text"),
    [("approval", "maybe"), ("approval", "yes please"), ("in_doubt", "no: x"), ("question", "  "),
     ("question", "x" * 20_001)],
)  # fmt: skip
async def test_what_is_no_answer_is_not_written(told: Any, kind: str, text: str) -> None:
    await told.ask("b1", kind)
    with pytest.raises(UsageError):
        await give(told.store, "b1", text, "dana")
    assert not [entry for entry in await told.entries() if isinstance(entry.body, AnswerGiven)]


async def test_an_unknown_question_is_named(told: Any) -> None:
    await told.ask("b1")
    with pytest.raises(NotFoundError, match="no question `b7`"):
        await give(told.store, "b7", "yes", "dana")


async def test_a_question_of_an_ended_run_is_withdrawn(told: Any) -> None:
    await told.ask("b1")
    await told.say("r1", RunEnded("cancelled", ""))
    assert await inbox(told.store, now=NOW) == []
    with pytest.raises(UsageError, match="b1 is withdrawn: r1 is cancelled"):
        await give(told.store, "b1", "yes", "dana")


async def test_what_keeps_failing_can_be_answered_after_its_run_has_ended(told: Any) -> None:
    await told.ask("b1", "failure", site="s1")
    await told.say("r1", RunEnded("failed", ""))
    assert [one.id for one in await inbox(told.store, now=NOW)] == ["b1"]
    assert (await give(told.store, "b1", "mended", "dana")).fresh


async def test_the_inbox_shows_the_dearest_question_first_with_the_exact_call(told: Any) -> None:
    await told.propose("r1.1.1", "send_email", {"to": ["dana@example.com"]})
    for name, kind in (
        ("b1", "question"),
        ("b2", "approval"),
        ("b3", "in_doubt"),
        ("b10", "approval"),
    ):
        await told.ask(name, kind, action="r1.1.1")
    found = await inbox(told.store, now=NOW)
    assert [one.id for one in found] == ["b3", "b2", "b10", "b1"]
    assert found[0].action is not None
    assert found[0].action.arguments == {"to": ["dana@example.com"]}


async def test_a_question_that_expired_is_parked_and_can_still_be_answered(told: Any) -> None:
    await told.ask("b1")
    (one,) = await inbox(told.store, now="2026-11-24T00:00:00.000Z")
    assert one.state == "parked"
    assert (await give(told.store, "b1", "yes", "dana")).fresh

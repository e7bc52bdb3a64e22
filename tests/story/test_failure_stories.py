"""Each kind of failure once, from the call to what a person reads; three of them as the whole journal.

Real agent loop, gate, journal and report; the model and the tools play a script.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from inline_snapshot import snapshot
from msgspec.structs import replace as changed
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from standpipe.actions import Action, Expired, Fault, Raised, Returned
from standpipe.adapters.script import Call
from standpipe.desk.failing import Failure
from standpipe.desk.report import Report, report
from standpipe.governor.budget import Limits
from standpipe.governor.recovery import TABLE
from standpipe.journal.ending import End, closing, must_end
from standpipe.journal.entries import BlockedRaised, Entry, Intended, Settled
from standpipe.outcomes.outcome import Kind
from standpipe.testing.gates import Line, open_gate
from standpipe.testing.loops import DONE, OWN, READ, Loop, loop, read, send
from standpipe.tools.agent import UnfinishedError


def http(status: int, message: str, **headers: str) -> Raised:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    attributes = {"status_code": status}
    return Raised(Fault(type="HttpError", message=message, attributes=attributes, headers=named))


def raised(type_: str, message: str, module: str = "builtins", **attributes: object) -> Raised:
    return Raised(Fault(type=type_, message=message, module=module, attributes=attributes))


def page(title: str, body: str = "") -> Returned:
    return Returned(f"<!doctype html><html><title>{title}</title><body>{body}</body></html>")


async def told(story: Loop) -> Report:
    """Take a run to the end of a segment, and read what a person reads."""
    return await reported(story, await story.segment())


async def reported(story: Loop, end: End) -> Report:
    journal = story.session.gate.record.journal
    await journal.append(*closing(end, run=journal.run, epoch=journal.epoch))
    return report(await story.entries())


def only(told: Report) -> Failure:
    [failure] = told.failures
    return failure


@dataclass(frozen=True)
class Once:
    """A tool that keeps failing like this: how often it is tried in how many calls, and how it ends."""

    line: Line
    status: str
    attempts: int
    requests: int = 1  # to the model
    says: str = ""  # in the end's sentence


STORIES = {
    Kind.CREDENTIAL: Once(http(401, "token_expired"), "blocked", 1, says="HTTP 401: token_expired"),
    Kind.FORBIDDEN: Once(http(403, "Forbidden: orders.read"), "blocked", 1, says="orders.read"),
    Kind.LOGIN_PAGE: Once(
        page("Sign in to Shop", "<form><input type='password'></form>"), "blocked", 1,
        says="Sign in to Shop",
    ),
    Kind.BOT_CHECK: Once(page("Just a moment..."), "blocked", 1, says="Just a moment"),
    Kind.RATE_LIMITED: Once(http(429, "slow down", retry_after="2"), "blocked", 5, says="slow down"),
    Kind.QUOTA: Once(http(429, "insufficient_quota"), "blocked", 1, says="insufficient_quota"),
    Kind.OVERLOADED: Once(http(503, "no room"), "blocked", 3, says="no room"),
    Kind.SERVER_ERROR: Once(http(500, "oops"), "blocked", 2, says="oops"),
    Kind.NOT_SENT: Once(
        raised("ConnectionRefusedError", "[Errno 111] Connection refused"), "blocked", 2,
        says="Connection refused",
    ),
    Kind.TIMED_OUT: Once(Expired(30.0), "blocked", 2, says="no result within 30 s"),
    Kind.CONFLICT: Once(http(409, "stale version"), "blocked", 2, 2, says="stale version"),
    Kind.NOT_FOUND: Once(http(404, "no such order"), "blocked", 2, 2, says="no such order"),
    Kind.BAD_INPUT: Once(http(422, "day: not a day"), "blocked", 2, 2, says="not a day"),
    Kind.TOOL_BUG: Once(
        Raised(Fault(type="KeyError", message="'total'", own_code=True)), "failed", 1, says="KeyError"
    ),
    Kind.HTML: Once(page("502 Bad Gateway"), "blocked", 2, says="502 Bad Gateway"),
    Kind.TRUNCATED: Once(
        raised("IncompleteRead", "IncompleteRead(12 bytes read)", "http.client"), "blocked", 2,
        says="12 bytes read",
    ),
    Kind.ERROR_TEXT: Once(
        Returned("Error: the shop says no"), "blocked", 2, 2, says="the shop says no"
    ),
    Kind.ENVIRONMENT: Once(
        raised("OSError", "[Errno 28] No space left on device", errno=28), "blocked", 1,
        says="No space left",
    ),
    Kind.OTHER: Once(raised("ShopError", "on strike", "shop"), "blocked", 2, 2, says="on strike"),
}  # fmt: skip


@pytest.mark.parametrize("kind", STORIES, ids=str)
async def test_a_tool_that_keeps_failing_ends_the_run_with_its_kind_and_its_cause(
    kind: Kind,
) -> None:
    expected = STORIES[kind]
    story = loop([read("1")], [read("2")], [read("3")], [DONE], read_page=[expected.line])
    seen = await told(story)
    failure = only(seen)
    assert (failure.kind, seen.status) == (kind, expected.status)
    assert (seen.usage.attempts, len(story.calls)) == (expected.attempts, expected.attempts)
    assert story.requests == expected.requests
    assert expected.says in seen.summary
    assert [ask.kind for ask in seen.blocked_on] == ["failure"] * (expected.status == "blocked")


def test_every_kind_of_the_table_has_its_story() -> None:
    elsewhere = {
        Kind.SCHEMA, Kind.IN_DOUBT, Kind.UNKNOWN_TOOL, Kind.DENIED, Kind.LOOP, Kind.NO_PROGRESS,
        Kind.GAVE_UP, Kind.CHECKLIST, Kind.BUDGET, Kind.CUT, Kind.REFUSAL, Kind.MODEL_SILENT,
        Kind.CONTEXT_OVERFLOW,
    }  # fmt: skip
    doors = {Kind.UNGOVERNED_CALL}  # nothing in this process can make one
    assert set(STORIES) | elsewhere | doors == set(TABLE)


async def test_data_of_another_shape_names_the_difference() -> None:
    output = {"type": "object", "properties": {"total": {"type": "integer"}}, "required": ["total"]}
    story = loop([read()], [DONE], read_page=[{"sum": 3}])
    story.tools = {**OWN, "read_page": changed(READ, output=output)}
    seen = await told(story)
    assert (only(seen).kind, seen.status) == (Kind.SCHEMA, "blocked")
    assert "total" in seen.summary


async def test_an_effect_whose_answer_was_lost_is_asked_about_and_not_repeated() -> None:
    story = loop([send()], [DONE], send_note=[Expired(30.0), "receipt"])
    seen = await told(story)
    assert (seen.status, story.calls) == ("blocked", ["send_note"])
    [ask] = seen.blocked_on
    assert (ask.kind, ask.ask) == ("in_doubt", "did it happen: send_note(to=ann)?")
    [effect] = seen.effects
    assert effect.outcome == "Unknown"
    await story.answer(ask.id, "no")
    assert (await told(story)).status == "done"
    assert story.calls == ["send_note", "send_note", "done"]


async def test_a_tool_nobody_has_is_told_once_and_then_stops_the_run() -> None:
    seen = await told(loop([Call("read_pages", {})], [Call("read_pages", {})], [DONE]))
    assert (seen.status, seen.usage.model_calls) == ("failed", 2)
    assert "`read_pages` was refused twice (unknown_tool)" in seen.summary


async def test_what_the_rules_deny_is_told_once_and_then_asked_about() -> None:
    story = loop([send("a")], [send("b")], [DONE])
    story.tools = {**OWN, "send_note": changed(OWN["send_note"], policy="deny")}
    seen = await told(story)
    assert (seen.status, story.calls) == ("blocked", [])
    assert "a person has to decide; denied (seen 2 times the same way)" in seen.blocked_on[0].why


async def test_a_loop_is_told_once_and_then_stops_the_run() -> None:
    story = loop(*[[read()]] * 6, [DONE])
    seen = await told(story)
    assert (seen.status, story.calls, story.requests) == ("failed", ["read_page"] * 4, 6)
    assert "(loop)" in seen.summary


async def test_searching_in_vain_is_told_once_and_then_stops_the_run() -> None:
    story = loop(*[[read(str(n))] for n in range(14)], [DONE], read_page=[[]])
    seen = await told(story)
    assert seen.status == "failed"
    assert "(no_progress)" in seen.summary
    assert len(story.calls) == 12  # six, then the finding, then six more in spite of it


async def test_done_over_an_open_failure_is_refused_once_and_then_the_run_has_failed() -> None:
    lost = UnfinishedError("not done yet: orders still open", kind="gave_up")
    story = loop(
        [read()], [DONE], [DONE], [DONE], read_page=[http(404, "no such order")], done=[lost]
    )
    seen = await told(story)
    assert (seen.status, story.requests) == ("failed", 3)
    assert "the agent gave up (gave_up)" in seen.summary
    assert "HTTP 404: no such order" in seen.summary


async def test_a_red_checklist_is_told_once_and_then_asked_about() -> None:
    red = UnfinishedError("not done yet: checks/tests: 1 failed", kind="checklist")
    seen = await told(loop([DONE], [DONE], [DONE], done=[red]))
    assert (only(seen).kind, only(seen).count, seen.status) == (Kind.CHECKLIST, 2, "blocked")
    assert "1 failed" in seen.summary


async def test_a_cap_ends_the_run_and_names_itself_and_what_it_went_into() -> None:
    lines: list[Line] = [http(404, "no such order"), "data"]
    limits = Limits(model_calls=None, actions=2, minutes=None, cost_usd=None)
    gate, executor = await open_gate({"read_page": READ}, {"read_page": lines}, limits=limits)
    journal = gate.record.journal
    for number in range(1, 4):
        action = Action(id=f"r1.{number}.1", tool=READ, arguments={"page": str(number)})
        await gate.perform(action)
    end = must_end(journal.entries)
    assert end
    await journal.append(*closing(end, run="r1", epoch=1))
    seen = report(journal.entries)
    assert (seen.status, executor.calls) == ("failed", ["read_page"] * 2)
    assert "(budget)" in seen.summary
    assert "no such order" in seen.summary


# -- the model -----------------------------------------------------------------------------------


@dataclass
class Model:
    """A model that answers like this, and remembers how often it was asked."""

    answer: ModelResponse | Exception
    asked: int = 0

    def __call__(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return replace(self.answer)


async def asked(answer: ModelResponse | Exception) -> tuple[Model, Report]:
    story, model = loop(), Model(answer)
    end = await story.segment(model=FunctionModel(model))
    return model, await reported(story, end)


class ProviderError(Exception):
    """What the client of a provider raises."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status_code = status


async def test_a_refusal_of_the_model_is_put_to_a_person() -> None:
    model, seen = await asked(ModelResponse(parts=[], finish_reason="content_filter"))
    assert (only(seen).kind, seen.status, model.asked) == (Kind.REFUSAL, "blocked", 1)


async def test_an_answer_cut_inside_a_call_is_asked_for_in_parts_and_then_stops_the_run() -> None:
    call = ToolCallPart("read_page", '{"page": "1')
    model, seen = await asked(ModelResponse(parts=[call], finish_reason="length"))
    assert (only(seen).kind, seen.status, model.asked) == (Kind.CUT, "failed", 2)


async def test_a_request_that_is_too_long_is_not_sent_again_as_it_is() -> None:
    model, seen = await asked(ProviderError(400, "context_length_exceeded: prompt is too long"))
    assert (only(seen).kind, seen.status, model.asked) == (Kind.CONTEXT_OVERFLOW, "blocked", 1)


async def test_a_silent_model_is_asked_once_more_and_then_a_person() -> None:
    story = loop()
    story.model_seconds = 0.01
    tries: list[int] = []

    async def hang(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        tries.append(len(messages))
        await asyncio.Event().wait()
        raise AssertionError

    end = await story.segment(model=FunctionModel(hang))
    seen = await reported(story, end)
    assert (only(seen).kind, len(tries), seen.status) == (Kind.MODEL_SILENT, 2, "blocked")


async def test_a_model_that_rejects_everybody_is_not_asked_by_the_next_run_until_the_answer() -> (
    None
):
    first, second = loop(), loop([DONE])
    second.store = first.store
    await first.segment(model=FunctionModel(Model(ProviderError(403, "no access"))))
    [blocker] = await first.open()
    end = await second.segment()
    assert (end.status, second.requests) == ("blocked", 0)
    assert end.why.startswith(f"waits for the answer to {blocker}: ")
    await second.answer(blocker, "the account is allowed")
    assert (await second.segment()).status == "done"


# -- the whole journal ---------------------------------------------------------------------------


def lines(entries: Sequence[Entry]) -> list[str]:
    return [line(entry) for entry in entries if not entry.kind.startswith(("run.", "segment."))]


def line(entry: Entry) -> str:
    match entry.body:
        case Intended(attempt=attempt):
            return f"{entry.kind} {entry.key} attempt {attempt}"
        case Settled(outcome=outcome, recovery=recovery):
            came = str(outcome.__struct_config__.tag)
            return (
                f"{entry.kind} {entry.key} {came}, {recovery.__struct_config__.tag}: {recovery.why}"
            )
        case BlockedRaised(kind=kind, ask=ask):
            return f"{entry.kind} {entry.key} {kind}: {ask}"
        case _:
            return f"{entry.kind} {entry.key}"


async def test_the_journal_of_a_rate_limit_that_was_waited_out() -> None:
    story = loop([read()], [DONE], read_page=[http(429, "slow down", retry_after="2"), "a page"])
    await told(story)
    assert lines(await story.entries()) == snapshot(
        [
            "model.requested 1",
            "model.responded 1",
            "action.proposed r1.1.1",
            "action.decided r1.1.1#1",
            "action.intended r1.1.1#1 attempt 1",
            "action.outcome r1.1.1#1 failed, wait: the other side asked: 2.0 s to wait; rate_limited at attempt 1: HTTP 429: slow down",
            "action.intended r1.1.1#2 attempt 2",
            "action.outcome r1.1.1#2 succeeded, return: it worked",
            "model.requested 2",
            "model.responded 2",
            "action.proposed r1.2.1",
            "action.decided r1.2.1#1",
            "action.intended r1.2.1#1 attempt 1",
            "action.outcome r1.2.1#1 succeeded, return: it worked",
        ]
    )
    assert story.clock.slept == [2.0]


async def test_the_journal_of_a_rejected_credential() -> None:
    story = loop([read()], [read()], [DONE], read_page=[http(401, "token_expired"), "a page"])
    await told(story)
    await story.answer("b1", "the token is renewed")
    await told(story)
    assert lines(await story.entries()) == snapshot(
        [
            "model.requested 1",
            "model.responded 1",
            "action.proposed r1.1.1",
            "action.decided r1.1.1#1",
            "action.intended r1.1.1#1 attempt 1",
            "action.outcome r1.1.1#1 failed, escalate: a person has to decide; credential: HTTP 401: token_expired",
            "blocked.raised b1 failure: `read_page` failed: HTTP 401: token_expired. What now?",
            "answer.given b1",
            "model.requested 2",
            "model.responded 2",
            "action.proposed r1.2.1",
            "action.decided r1.2.1#1",
            "action.intended r1.2.1#1 attempt 1",
            "action.outcome r1.2.1#1 succeeded, return: it worked",
            "model.requested 3",
            "model.responded 3",
            "action.proposed r1.3.1",
            "action.decided r1.3.1#1",
            "action.intended r1.3.1#1 attempt 1",
            "action.outcome r1.3.1#1 succeeded, return: it worked",
        ]
    )


async def test_the_journal_of_an_effect_in_doubt() -> None:
    story = loop([send()], [DONE], send_note=[Expired(30.0)])
    await told(story)
    await story.answer("b1", "yes")
    await told(story)
    assert lines(await story.entries()) == snapshot(
        [
            "model.requested 1",
            "model.responded 1",
            "action.proposed r1.1.1",
            "action.decided r1.1.1#1",
            "action.intended r1.1.1#1 attempt 1",
            "action.outcome r1.1.1#1 unknown, escalate: it may have happened: no result within 30 s, the time limit of `send_note`",
            "action.in_doubt r1.1.1#1",
            "blocked.raised b1 in_doubt: did it happen: send_note(to=ann)?",
            "answer.given b1",
            "action.reconciled r1.1.1#1",
            "model.requested 2",
            "model.responded 2",
            "action.proposed r1.2.1",
            "action.decided r1.2.1#1",
            "action.intended r1.2.1#1 attempt 1",
            "action.outcome r1.2.1#1 succeeded, return: it worked",
        ]
    )

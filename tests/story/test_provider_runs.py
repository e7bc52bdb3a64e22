"""Whole runs with real clients against a provider on loopback that behaves as providers do."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from standpipe.adapters.plan import IN_PARTS
from standpipe.desk.answers import give
from standpipe.desk.report import Report
from standpipe.errors import ConfigError
from standpipe.journal.entries import Entry, ModelFailed, ModelResponded, Noted, Settled
from standpipe.outcomes.outcome import Kind
from standpipe.runtime import Runtime
from standpipe.testing.fakes import FakeClock
from standpipe.testing.providers import (
    CHAT,
    MESSAGES,
    Answer,
    Broken,
    Hang,
    Page,
    ProviderServer,
    Received,
    Step,
    ToolCall,
    Trouble,
)

OPENAI, ANTHROPIC, STREAMED = (
    "openai:gpt-test",
    "anthropic:claude-test",
    "anthropic:claude-sonnet-4-6",
)
BOTH = pytest.mark.parametrize("model", [OPENAI, ANTHROPIC])
Ask = Callable[..., Awaitable["Run"]]
KEYS = {OPENAI: "OPENAI_API_KEY", ANTHROPIC: "ANTHROPIC_API_KEY"}

READ = Answer("I look first.", (ToolCall("read_file", {"path": "notes.txt"}),))
WRITE = Answer(
    calls=(ToolCall("write_file", {"path": "sum.txt", "content": "hi", "why": "the task asks"}),)
)
DONE = Answer(calls=(ToolCall("done", {"summary": "Summed up.", "evidence": ["sum.txt"]}),))


@dataclass(frozen=True)
class Run:
    report: Report
    requests: Sequence[Received]
    entries: Sequence[Entry] = ()

    @property
    def failed(self) -> list[str]:
        return [failure.kind for failure in self.report.failures]

    @property
    def answered(self) -> list[str]:
        return [e.body.model for e in self.entries if isinstance(e.body, ModelResponded)]

    @property
    def not_answered(self) -> list[tuple[str, str, str]]:
        """Return of every request in vain: the model, what it was, and what was done."""
        return [
            (e.body.model, e.body.failed.kind, str(e.body.recovery.__struct_config__.tag))
            for e in self.entries
            if isinstance(e.body, ModelFailed)
        ]

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    @property
    def gaps(self) -> list[float]:
        """The seconds between the requests."""
        at = [request.at_seconds for request in self.requests]
        return [after - before for before, after in pairwise(at)]

    @property
    def ask(self) -> str:
        [blocked] = self.report.blocked_on
        return f"{blocked.ask} {blocked.why}"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def runtime(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Runtime]:
    """Open one home for all runs: their tools start once."""
    home = tmp_path_factory.mktemp("home")
    async with Runtime.open(a_home(home), model=OPENAI) as opened:
        yield opened


@pytest.fixture
def ask(runtime: Runtime) -> Ask:
    """Run a task against a provider that plays these steps."""

    async def asked(
        model: str, *steps: Step, model_seconds: float = 10.0, fallbacks: Sequence[str] = ()
    ) -> Run:
        runtime.home.model = model
        failures = msgspec.structs.replace(
            runtime.home.settings.failures,
            model_seconds=model_seconds,
            fallback_models=tuple(fallbacks),
        )
        runtime.home.settings = msgspec.structs.replace(runtime.home.settings, failures=failures)
        runtime.home.clock = FakeClock(
            datetime.now(UTC)
        )  # waits take no time; the provider sees the same clock
        return await played(runtime, lambda: runtime.run("sum up the notes"), steps)

    return asked


def a_home(home: Path) -> Path:
    (home / "brain").mkdir()
    (home / "workspace").mkdir()
    (home / "workspace/notes.txt").write_text("hello")
    (home / "workspace/long.txt").write_text("a long story. " * 1_000)
    (home / "brain/brain.toml").write_text("schema = 1\n")
    (home / "brain/IDENTITY.md").write_text("I am a test.\n")
    (home / "standpipe.toml").write_text("")
    return home


async def played(
    runtime: Runtime, work: Callable[[], Awaitable[Report]], steps: Sequence[Step]
) -> Run:
    (runtime.home.folder / "workspace/sum.txt").unlink(missing_ok=True)
    with ProviderServer(steps, clock=runtime.home.clock) as server:
        runtime.home.credentials = server.credentials
        report = await work()
        return Run(report, server.requests, await runtime.store.read(report.run))


@pytest.mark.parametrize("model", [OPENAI, ANTHROPIC, STREAMED])
async def test_a_run_with_a_real_client_reads_writes_and_is_done(
    ask: Ask, runtime: Runtime, model: str
) -> None:
    ran = await ask(model, READ, WRITE, DONE)
    assert (ran.report.status, ran.report.summary, len(ran.requests)) == ("done", "Summed up.", 3)
    assert (runtime.home.folder / "workspace/sum.txt").read_text() == "hi"
    assert [(file.path, file.why) for file in ran.report.files] == [("sum.txt", "the task asks")]
    assert "hello" in str(ran.requests[1].body)


@BOTH
@pytest.mark.parametrize("kind", [Kind.CREDENTIAL, Kind.QUOTA])
async def test_a_key_that_does_not_work_is_asked_about_once_with_its_name_and_host(
    ask: Ask, model: str, kind: Kind
) -> None:
    ran = await ask(model, Trouble(kind), DONE)
    assert (ran.report.status, len(ran.requests), ran.failed) == ("blocked", 1, [kind])
    code = {
        (OPENAI, Kind.CREDENTIAL): "HTTP 401 invalid_api_key from 127.0.0.1:",
        (OPENAI, Kind.QUOTA): "HTTP 429 insufficient_quota from 127.0.0.1:",
        (ANTHROPIC, Kind.CREDENTIAL): "HTTP 401 authentication_error from 127.0.0.1:",
        (ANTHROPIC, Kind.QUOTA): "HTTP 400 invalid_request_error from 127.0.0.1:",
    }
    assert KEYS[model] in ran.ask
    assert code[model, kind] in ran.ask


@BOTH
async def test_a_rate_limit_is_waited_out_as_long_as_the_provider_says(
    ask: Ask, model: str
) -> None:
    ran = await ask(model, Trouble(Kind.RATE_LIMITED, retry_after_seconds=7), DONE)
    assert (ran.report.status, len(ran.requests)) == ("done", 2)
    assert ran.gaps[0] >= 7
    assert ran.failed == ["rate_limited"]


async def test_a_rate_limit_longer_than_a_run_may_sleep_parks_the_run(ask: Ask) -> None:
    ran = await ask(OPENAI, Trouble(Kind.RATE_LIMITED, retry_after_seconds=3600), DONE)
    assert (ran.report.status, len(ran.requests)) == ("blocked", 1)
    assert [blocked.kind for blocked in ran.report.blocked_on] == ["wait"]


@BOTH
async def test_an_overloaded_provider_is_waited_for(ask: Ask, model: str) -> None:
    busy = Trouble(Kind.OVERLOADED)
    ran = await ask(model, busy, busy, DONE)
    assert (ran.report.status, len(ran.requests)) == ("done", 3)
    assert all(gap > 0 for gap in ran.gaps)


@BOTH
@pytest.mark.parametrize(
    ("step", "kinds"),
    [
        (Trouble(Kind.SERVER_ERROR), {"server_error"}),
        (Hang(), {"timed_out", "model_silent"}),
        (Page(status=502), {"server_error", "html"}),
    ],
    ids=["500", "hang", "html-502"],
)
async def test_a_provider_that_is_broken_is_asked_once_more_and_then_a_human(
    ask: Ask, model: str, step: Step, kinds: set[str]
) -> None:
    ran = await ask(model, step, model_seconds=0.3 if step == Hang() else 10.0)
    assert (ran.report.status, len(ran.requests)) == ("blocked", 2)
    assert set(ran.failed) <= kinds
    assert "127.0.0.1" in ran.ask


@BOTH
async def test_a_page_instead_of_an_answer_is_asked_for_once_and_its_title_is_told(
    ask: Ask, model: str
) -> None:
    ran = await ask(model, Page("<!doctype html><title>Guest Wi-Fi</title>"), DONE)
    assert (ran.report.status, len(ran.requests), ran.failed) == ("blocked", 1, ["html"])
    assert "Guest Wi-Fi" in ran.ask
    assert "127.0.0.1" in ran.ask


@BOTH
async def test_an_error_inside_a_stream_is_what_it_says(ask: Ask, model: str) -> None:
    ran = await ask(model, Broken(READ, by="error"), DONE)
    assert (ran.report.status, len(ran.requests)) == ("done", 2)
    # OpenAI's event names no status, and its type says no more than that the server failed.
    expected = ("server_error", "retry") if model == OPENAI else ("overloaded", "wait")
    assert ran.not_answered == [(model, *expected)]


@BOTH
@pytest.mark.parametrize("by", ["cut", "reset"])
async def test_an_answer_that_breaks_off_is_asked_for_again_and_never_half_done(
    ask: Ask, model: str, by: Literal["cut", "reset"]
) -> None:
    ran = await ask(model, Broken(WRITE, by=by), DONE)
    assert (ran.report.status, len(ran.requests), ran.report.files) == ("done", 2, ())


@BOTH
async def test_a_refusal_is_asked_for_once_and_put_to_a_human(ask: Ask, model: str) -> None:
    ran = await ask(model, Answer("I cannot help with that.", stop="refusal"), DONE)
    assert (ran.report.status, len(ran.requests), ran.failed) == ("blocked", 1, ["refusal"])


CUT = Answer(
    calls=(ToolCall("write_file", '{"path": "sum.txt", "content": "the begin'),), stop="length"
)


@BOTH
async def test_an_answer_cut_inside_a_call_is_asked_for_in_parts(ask: Ask, model: str) -> None:
    ran = await ask(model, CUT, WRITE, DONE)
    assert (ran.report.status, len(ran.requests)) == ("done", 3)
    assert [IN_PARTS in str(request.body) for request in ran.requests] == [False, True, False]


@BOTH
async def test_an_answer_cut_twice_fails_the_run(ask: Ask, model: str) -> None:
    ran = await ask(model, CUT)
    assert (ran.report.status, len(ran.requests)) == ("failed", 2)
    assert ran.not_answered == [(model, "cut", "retry"), (model, "cut", "stop")]
    assert "write_file" in ran.report.summary


LONG = Answer(calls=(ToolCall("read_file", {"path": "long.txt"}),))
TOO_LONG = Trouble(Kind.CONTEXT_OVERFLOW)


def distinct(ran: Run) -> int:
    return len({msgspec.json.encode(request.body, order="sorted") for request in ran.requests})


@BOTH
async def test_a_history_that_is_too_long_is_sent_again_only_shorter(ask: Ask, model: str) -> None:
    ran = await ask(model, LONG, READ, READ, READ, TOO_LONG, TOO_LONG, DONE)
    assert (ran.report.status, len(ran.requests), distinct(ran)) == ("done", 7, 7)
    sizes = [len(str(request.body)) for request in ran.requests[4:]]
    assert sizes == sorted(sizes, reverse=True)
    assert f"the journal has them at {ran.report.run}.1.1" in str(ran.requests[5].body)
    noted = [e.body for e in ran.entries if isinstance(e.body, Noted)]
    assert [
        (body.by, "too long" in body.why or "maximum context" in body.why) for body in noted
    ] == [("runtime", True)] * 2
    read = next(e.body for e in ran.entries if isinstance(e.body, Settled))
    assert len(str(read.outcome)) > 13_000  # the journal keeps every word


@BOTH
async def test_a_history_that_stays_too_long_is_put_to_a_human(ask: Ask, model: str) -> None:
    ran = await ask(model, LONG, READ, READ, READ, TOO_LONG)
    assert (ran.report.status, len(ran.requests), distinct(ran)) == ("blocked", 7, 7)
    assert ran.failed == ["context_overflow"]


async def test_a_prompt_with_nothing_to_leave_out_is_not_sent_again(
    ask: Ask, runtime: Runtime
) -> None:
    ran = await ask(ANTHROPIC, TOO_LONG, DONE)
    assert (ran.report.status, len(ran.requests)) == ("blocked", 1)
    assert ran.failed == ["context_overflow"]
    await give(runtime.store, ran.report.blocked_on[0].id, "try again", "operator")
    again = await played(runtime, lambda: runtime.resume(ran.report.run), [DONE])
    assert (again.report.status, again.requests) == ("blocked", [])


async def test_a_resumed_run_sends_the_same_shortened_history(ask: Ask, runtime: Runtime) -> None:
    ran = await ask(OPENAI, LONG, READ, READ, READ, TOO_LONG, Trouble(Kind.CREDENTIAL))
    await give(runtime.store, ran.report.blocked_on[0].id, "mended", "operator")
    ended = await played(runtime, lambda: runtime.resume(ran.report.run), [DONE])
    assert (ended.report.status, len(ended.requests)) == ("done", 1)
    assert ended.requests[0].body == ran.requests[-1].body


@pytest.mark.parametrize(
    ("model", "other", "step"),
    [(OPENAI, ANTHROPIC, Hang()), (ANTHROPIC, OPENAI, Broken(READ, by="silence"))],
    ids=["from-the-first", "in-the-middle"],
)
async def test_a_silent_model_is_asked_twice_and_then_another_one(
    ask: Ask, model: str, other: str, step: Step
) -> None:
    ran = await ask(model, step, step, DONE, model_seconds=3.0, fallbacks=[other])
    assert (ran.report.status, ran.answered) == ("done", [other])
    assert ran.not_answered == [
        (model, "model_silent", "retry"),
        (model, "model_silent", "alternate"),
    ]


async def test_an_overloaded_model_is_waited_for_twice_and_then_another_one_is_asked(
    ask: Ask,
) -> None:
    busy = Trouble(Kind.OVERLOADED)
    ran = await ask(OPENAI, busy, busy, busy, READ, DONE, fallbacks=[ANTHROPIC])
    assert (ran.report.status, ran.paths) == ("done", [CHAT] * 3 + [MESSAGES] * 2)
    assert ran.answered == [ANTHROPIC] * 2  # it stays for the segment
    assert [tag for _, _, tag in ran.not_answered] == ["wait", "wait", "alternate"]


async def test_no_model_of_a_host_that_asked_for_a_pause_is_asked_instead(ask: Ask) -> None:
    pause = Trouble(Kind.OVERLOADED, retry_after_seconds=600)
    ran = await ask(OPENAI, pause, DONE, fallbacks=[ANTHROPIC])  # both live on this server
    assert (ran.report.status, len(ran.requests)) == ("blocked", 1)
    assert [blocked.kind for blocked in ran.report.blocked_on] == ["wait"]


@pytest.mark.parametrize(
    ("step", "kind", "requests"),
    [
        (Trouble(Kind.SERVER_ERROR), "server_error", 2),
        (Answer("No.", stop="refusal"), "refusal", 1),
        (Page(), "html", 2),
    ],
    ids=["500", "refusal", "html-5xx"],
)
async def test_another_model_is_asked_once_the_first_has_had_its_attempts(
    ask: Ask, step: Step, kind: str, requests: int
) -> None:
    ran = await ask(OPENAI, *[step] * requests, DONE, fallbacks=[ANTHROPIC])
    assert (ran.report.status, ran.paths) == ("done", [CHAT] * requests + [MESSAGES])
    assert {said for _, said, _ in ran.not_answered} == {kind}


@pytest.mark.parametrize("kind", [Kind.CREDENTIAL, Kind.QUOTA])
async def test_no_other_model_is_asked_because_a_key_does_not_work(ask: Ask, kind: Kind) -> None:
    ran = await ask(OPENAI, Trouble(kind), DONE, fallbacks=[ANTHROPIC])
    assert (ran.report.status, ran.paths, ran.failed) == ("blocked", [CHAT], [kind])


async def test_when_every_model_fails_one_question_names_them_all(ask: Ask) -> None:
    ran = await ask(OPENAI, Trouble(Kind.SERVER_ERROR), fallbacks=[ANTHROPIC, STREAMED])
    assert (ran.report.status, len(ran.requests)) == ("blocked", 6)
    assert all(name in ran.ask for name in (OPENAI, ANTHROPIC, STREAMED))


async def test_the_next_segment_begins_with_the_first_model_again(
    ask: Ask, runtime: Runtime
) -> None:
    down = Trouble(Kind.SERVER_ERROR)
    ran = await ask(OPENAI, down, down, READ, Trouble(Kind.CREDENTIAL), fallbacks=[ANTHROPIC])
    # A stand-in whose key is dead is passed over: for this request the first one has not been asked.
    assert ran.paths == [CHAT, CHAT, MESSAGES, MESSAGES, CHAT]
    await give(runtime.store, ran.report.blocked_on[0].id, "mended", "operator")
    ended = await played(runtime, lambda: runtime.resume(ran.report.run), [DONE])
    assert (ended.report.status, ended.paths) == ("done", [CHAT])


async def test_a_fallback_model_that_does_not_exist_is_told_before_anything_begins(
    ask: Ask, runtime: Runtime
) -> None:
    before = await runtime.store.streams()
    with pytest.raises(ConfigError) as caught:
        await ask(OPENAI, DONE, fallbacks=["antropic:claude-sonnet-4-6"])
    assert "standpipe.toml: `fallback_models`" in caught.value.message
    assert "`anthropic:claude-sonnet-4-6`" in caught.value.hint
    assert await runtime.store.streams() == before


async def test_a_run_whose_key_was_mended_goes_on_from_where_it_was(
    ask: Ask, runtime: Runtime
) -> None:
    ran = await ask(OPENAI, READ, Trouble(Kind.CREDENTIAL))
    idle = await played(runtime, lambda: runtime.resume(ran.report.run), [DONE])
    assert (idle.report.status, idle.requests) == ("blocked", [])
    await give(runtime.store, ran.report.blocked_on[0].id, "mended", "operator")
    ended = await played(runtime, lambda: runtime.resume(ran.report.run), [DONE])
    assert (ended.report.status, len(ended.requests)) == ("done", 1)
    assert "hello" in str(ended.requests[0].body)


BROKEN = ToolCall("read_file", '{"path": ')


@BOTH
async def test_odd_ids_are_different_calls(ask: Ask, model: str) -> None:
    path = {"path": "notes.txt"}
    odd = Answer(calls=tuple(ToolCall("read_file", path, each) for each in ("x", "x", "", "💥")))
    ran = await ask(model, odd, DONE)
    assert (ran.report.status, ran.report.usage.tool_calls) == ("done", 4)
    assert str(ran.requests[1].body).count("hello") == 4


@pytest.mark.parametrize("model", [OPENAI, STREAMED])
async def test_broken_json_is_told_to_the_model_once(ask: Ask, model: str) -> None:
    ran = await ask(model, Answer(calls=(BROKEN,)), READ, DONE)
    assert (ran.report.status, ran.failed) == ("done", ["bad_input"])
    assert "not a JSON object" in str(ran.requests[1].body)


async def test_broken_json_twice_is_put_to_a_human(ask: Ask) -> None:
    ran = await ask(OPENAI, Answer(calls=(ToolCall("list_files", "[1"),)))
    assert (ran.report.status, len(ran.requests), ran.failed) == ("blocked", 2, ["bad_input"])


@BOTH
async def test_a_parallel_done_is_no_end_until_it_stands_alone(ask: Ask, model: str) -> None:
    ran = await ask(model, Answer(calls=WRITE.calls + DONE.calls), DONE)
    assert (ran.report.status, len(ran.requests)) == ("done", 2)
    assert [file.path for file in ran.report.files] == ["sum.txt"]


@BOTH
async def test_plain_text_is_no_end(ask: Ask, model: str) -> None:
    ran = await ask(model, Answer("All done!"))
    assert (ran.report.status, len(ran.requests), ran.failed) == ("failed", 2, ["gave_up"])

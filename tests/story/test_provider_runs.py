"""Whole runs with real clients against a provider on loopback that behaves as providers do."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from standpipe.desk.answers import give
from standpipe.desk.report import Report
from standpipe.outcomes.outcome import Kind
from standpipe.runtime import Runtime
from standpipe.testing.fakes import FakeClock
from standpipe.testing.providers import (
    Answer,
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

    @property
    def failed(self) -> list[str]:
        return [failure.kind for failure in self.report.failures]

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

    async def asked(model: str, *steps: Step, model_seconds: float = 10.0) -> Run:
        runtime.model = model
        failures = msgspec.structs.replace(runtime.settings.failures, model_seconds=model_seconds)
        runtime.settings = msgspec.structs.replace(runtime.settings, failures=failures)
        runtime.clock = FakeClock(
            datetime.now(UTC)
        )  # waits take no time; the provider sees the same clock
        return await played(runtime, lambda: runtime.run("sum up the notes"), steps)

    return asked


def a_home(home: Path) -> Path:
    (home / "brain").mkdir()
    (home / "workspace").mkdir()
    (home / "workspace/notes.txt").write_text("hello")
    (home / "brain/brain.toml").write_text("schema = 1\n")
    (home / "brain/IDENTITY.md").write_text("I am a test.\n")
    (home / "standpipe.toml").write_text("")
    return home


async def played(
    runtime: Runtime, work: Callable[[], Awaitable[Report]], steps: Sequence[Step]
) -> Run:
    (runtime.home / "workspace/sum.txt").unlink(missing_ok=True)
    with ProviderServer(steps, clock=runtime.clock) as server:
        runtime.credentials = server.credentials
        return Run(await work(), server.requests)


@pytest.mark.parametrize("model", [OPENAI, ANTHROPIC, STREAMED])
async def test_a_run_with_a_real_client_reads_writes_and_is_done(
    ask: Ask, runtime: Runtime, model: str
) -> None:
    ran = await ask(model, READ, WRITE, DONE)
    assert (ran.report.status, ran.report.summary, len(ran.requests)) == ("done", "Summed up.", 3)
    assert (runtime.home / "workspace/sum.txt").read_text() == "hi"
    assert [(file.path, file.why) for file in ran.report.files] == [("sum.txt", "the task asks")]
    assert "hello" in str(ran.requests[1].body)


@BOTH
@pytest.mark.parametrize("kind", [Kind.CREDENTIAL, Kind.QUOTA])
async def test_a_key_that_does_not_work_is_asked_about_once_with_its_name_and_host(
    ask: Ask, model: str, kind: Kind
) -> None:
    ran = await ask(model, Trouble(kind), DONE)
    assert (ran.report.status, len(ran.requests), ran.failed) == ("blocked", 1, [kind])
    assert KEYS[model] in ran.ask
    assert "127.0.0.1" in ran.ask


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
async def test_a_page_instead_of_an_answer_is_reported_and_never_an_end(
    ask: Ask, model: str
) -> None:
    ran = await ask(model, Page())
    assert (ran.report.status, len(ran.requests) <= 2) == ("blocked", True)
    assert len(ran.failed) == 1
    assert "127.0.0.1" in ran.ask


async def test_a_prompt_that_is_too_long_is_not_sent_again(ask: Ask) -> None:
    ran = await ask(ANTHROPIC, Trouble(Kind.CONTEXT_OVERFLOW), DONE)
    assert (ran.report.status, len(ran.requests)) == ("blocked", 1)
    assert ran.failed == ["context_overflow"]


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

"""Whole runs with real clients against a provider on loopback that behaves as providers do."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

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
    home: Path

    @property
    def failed(self) -> list[str]:
        return [failure.kind for failure in self.report.failures]

    @property
    def gaps(self) -> list[float]:
        """The seconds between the requests."""
        at = [request.at_seconds for request in self.requests]
        return [after - before for before, after in zip(at, at[1:], strict=False)]

    @property
    def ask(self) -> str:
        [blocked] = self.report.blocked_on
        return f"{blocked.ask} {blocked.why}"


async def run(home: Path, model: str, *steps: Step, settings: str = "") -> Run:
    """Run a task in a small home against a provider that plays `steps`."""
    (home / "brain").mkdir(parents=True)
    (home / "workspace").mkdir()
    (home / "workspace/notes.txt").write_text("hello")
    (home / "brain/brain.toml").write_text("schema = 1\n")
    (home / "brain/IDENTITY.md").write_text("I am a test.\n")
    (home / "standpipe.toml").write_text(f'model = "{model}"\n{settings}')
    clock = FakeClock(datetime.now(UTC))  # waits take no time, and the provider sees the same clock
    with ProviderServer(steps, clock=clock) as server:
        async with Runtime.open(home, clock=clock) as runtime:
            runtime.credentials = server.credentials
            report = await runtime.run("sum up the notes")
        return Run(report, server.requests, home)


@pytest.mark.parametrize("model", [OPENAI, ANTHROPIC, STREAMED])
async def test_a_run_with_a_real_client_reads_writes_and_is_done(
    tmp_path: Path, model: str
) -> None:
    ran = await run(tmp_path / "a", model, READ, WRITE, DONE)
    assert (ran.report.status, ran.report.summary, len(ran.requests)) == ("done", "Summed up.", 3)
    assert (tmp_path / "a/workspace/sum.txt").read_text() == "hi"
    assert [(file.path, file.why) for file in ran.report.files] == [("sum.txt", "the task asks")]
    assert "hello" in str(ran.requests[1].body)
    assert "the task asks" not in str(ran.requests[0].body)


@BOTH
@pytest.mark.parametrize("kind", [Kind.CREDENTIAL, Kind.QUOTA])
async def test_a_key_that_does_not_work_is_asked_about_once_with_its_name_and_host(
    tmp_path: Path, model: str, kind: Kind
) -> None:
    ran = await run(tmp_path / "a", model, Trouble(kind), DONE)
    assert (ran.report.status, len(ran.requests), ran.failed) == ("blocked", 1, [kind])
    assert KEYS[model] in ran.ask
    assert "127.0.0.1" in ran.ask
    assert "sk-" not in ran.ask.replace("sk-test", "") or model == OPENAI


@BOTH
async def test_a_rate_limit_is_waited_out_as_long_as_the_provider_says(
    tmp_path: Path, model: str
) -> None:
    ran = await run(tmp_path / "a", model, Trouble(Kind.RATE_LIMITED, retry_after_seconds=7), DONE)
    assert (ran.report.status, len(ran.requests)) == ("done", 2)
    assert ran.gaps[0] >= 7
    assert ran.failed == ["rate_limited"]


async def test_a_rate_limit_longer_than_a_run_may_sleep_parks_the_run(tmp_path: Path) -> None:
    ran = await run(
        tmp_path / "a", OPENAI, Trouble(Kind.RATE_LIMITED, retry_after_seconds=3600), DONE
    )
    assert (ran.report.status, len(ran.requests)) == ("blocked", 1)
    assert [blocked.kind for blocked in ran.report.blocked_on] == ["wait"]


@BOTH
async def test_an_overloaded_provider_is_waited_for(tmp_path: Path, model: str) -> None:
    busy = Trouble(Kind.OVERLOADED)
    ran = await run(tmp_path / "a", model, busy, busy, DONE)
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
    tmp_path: Path, model: str, step: Step, kinds: set[str]
) -> None:
    settings = "[failures]\nmodel_seconds = 0.3\n" if step == Hang() else ""
    ran = await run(tmp_path / "a", model, step, settings=settings)
    assert (ran.report.status, len(ran.requests)) == ("blocked", 2)
    assert set(ran.failed) <= kinds
    assert "127.0.0.1" in ran.ask


@BOTH
async def test_a_page_instead_of_an_answer_is_reported_and_never_an_end(
    tmp_path: Path, model: str
) -> None:
    ran = await run(tmp_path / "a", model, Page())
    assert (ran.report.status, len(ran.requests) <= 2) == ("blocked", True)
    assert len(ran.failed) == 1
    assert "127.0.0.1" in ran.ask


async def test_a_prompt_that_is_too_long_is_not_sent_again(tmp_path: Path) -> None:
    ran = await run(tmp_path / "a", ANTHROPIC, Trouble(Kind.CONTEXT_OVERFLOW), DONE)
    assert (ran.report.status, len(ran.requests)) == ("blocked", 1)
    assert ran.failed == ["context_overflow"]


async def test_a_run_whose_key_was_mended_goes_on_from_where_it_was(tmp_path: Path) -> None:
    await run(tmp_path / "a", OPENAI, READ, Trouble(Kind.CREDENTIAL))
    with ProviderServer([DONE]) as server:
        async with Runtime.open(tmp_path / "a") as runtime:
            runtime.credentials = server.credentials
            assert (await runtime.resume("r1")).status == "blocked"
            assert server.requests == []
            [blocked] = (await runtime.resume("r1")).blocked_on
            await runtime.answer(blocked.id, "mended", by="operator")
            ended = await runtime.resume("r1")
    assert (ended.status, len(server.requests)) == ("done", 1)
    assert "hello" in str(server.requests[0].body)


BROKEN = ToolCall("read_file", '{"path": ')


@BOTH
async def test_odd_ids_are_different_calls(tmp_path: Path, model: str) -> None:
    path = {"path": "notes.txt"}
    odd = Answer(calls=tuple(ToolCall("read_file", path, each) for each in ("x", "x", "", "💥")))
    ran = await run(tmp_path / "a", model, odd, DONE)
    assert (ran.report.status, ran.report.usage.tool_calls) == ("done", 5)
    assert str(ran.requests[1].body).count("hello") == 4


@pytest.mark.parametrize("model", [OPENAI, STREAMED])
async def test_broken_json_is_told_to_the_model_once(tmp_path: Path, model: str) -> None:
    ran = await run(tmp_path / "a", model, Answer(calls=(BROKEN,)), READ, DONE)
    assert (ran.report.status, ran.failed) == ("done", ["bad_input"])
    assert "not a JSON object" in str(ran.requests[1].body)


async def test_broken_json_twice_is_put_to_a_human(tmp_path: Path) -> None:
    ran = await run(tmp_path / "a", OPENAI, Answer(calls=(BROKEN,)))
    assert (ran.report.status, len(ran.requests), ran.failed) == ("blocked", 2, ["bad_input"])


@BOTH
async def test_a_parallel_done_is_no_end_until_it_stands_alone(tmp_path: Path, model: str) -> None:
    ran = await run(tmp_path / "a", model, Answer(calls=WRITE.calls + DONE.calls), DONE)
    assert (ran.report.status, len(ran.requests)) == ("done", 2)
    assert [file.path for file in ran.report.files] == ["sum.txt"]


@BOTH
async def test_plain_text_is_no_end(tmp_path: Path, model: str) -> None:
    ran = await run(tmp_path / "a", model, Answer("All done!"))
    assert (ran.report.status, len(ran.requests), ran.failed) == ("failed", 2, ["gave_up"])

"""A model that is known to fail is asked by no run of the home: real clients, a provider on loopback."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from standpipe.desk.answers import give
from standpipe.journal.entries import ModelRefused, ModelResponded
from standpipe.outcomes.outcome import Kind
from standpipe.runtime import Runtime
from standpipe.security.credentials import Credentials
from standpipe.settings import Budgets
from standpipe.testing.fakes import FakeClock
from standpipe.testing.providers import Answer, ProviderServer, ToolCall, Trouble

MODEL, OTHER = "openai:gpt-test", "anthropic:claude-test"
DONE = Answer(calls=(ToolCall("done", {"summary": "Summed up.", "evidence": ["x"]}),))


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Runtime]:
    home: Path = tmp_path_factory.mktemp("home")
    (home / "brain").mkdir()
    (home / "brain/brain.toml").write_text("schema = 1\n")
    (home / "brain/IDENTITY.md").write_text("I am a test.\n")
    (home / "standpipe.toml").write_text("")
    async with Runtime.open(home, model=MODEL) as runtime:
        yield runtime


@pytest.fixture
def runtime(opened: Runtime) -> Runtime:
    """The home of all tests; each has a provider, and so a host, of its own."""
    opened.home.clock = FakeClock(datetime.now(UTC))
    opened.home.model = MODEL
    opened.home.settings = msgspec.structs.replace(
        opened.home.settings,
        failures=msgspec.structs.replace(opened.home.settings.failures, fallback_models=()),
        budgets=Budgets(minutes=None),  # the store stamps with the real clock
    )
    return opened


async def test_a_rejected_key_costs_one_request_of_the_home_not_one_of_each_run(
    runtime: Runtime,
) -> None:
    with ProviderServer([Trouble(Kind.CREDENTIAL), DONE], clock=runtime.home.clock) as server:
        runtime.home.credentials = server.credentials
        first = await runtime.run("sum up the notes")
        second = await runtime.run("sum up the notes")
        assert (first.status, second.status, len(server.requests)) == ("blocked", "blocked", 1)
        assert [one.id for one in second.blocked_on] == [one.id for one in first.blocked_on]
        entries = await runtime.store.read(second.run)
        [refused] = [e.body for e in entries if isinstance(e.body, ModelRefused)]
        assert (refused.model, refused.blocker) == (MODEL, first.blocked_on[0].id)
        await give(runtime.store, first.blocked_on[0].id, "the key works again", "ann")
        ended = await runtime.resume(second.run)
        assert (ended.status, ended.summary) == ("done", "Summed up.")


async def test_another_key_is_tried_at_once(runtime: Runtime) -> None:
    with ProviderServer([Trouble(Kind.CREDENTIAL), DONE], clock=runtime.home.clock) as server:
        runtime.home.credentials = server.credentials
        runtime.home.given = Credentials({"OPENAI_API_KEY": "the old key"}, {}, key=b"k")
        assert (await runtime.run("sum up the notes")).status == "blocked"
        assert (await runtime.run("sum up the notes")).status == "blocked"
        runtime.home.given = Credentials({"OPENAI_API_KEY": "the new key"}, {}, key=b"k")
        assert (await runtime.run("sum up the notes")).status == "done"
        assert len(server.requests) == 2


async def test_a_model_that_is_known_to_be_down_is_passed_over_for_the_next_one(
    runtime: Runtime,
) -> None:
    with ProviderServer([Trouble(Kind.SERVER_ERROR)], clock=runtime.home.clock) as server:
        runtime.home.credentials = server.credentials
        assert (await runtime.run("sum up the notes")).status == "blocked"
        before = len(server.requests)
        failures = msgspec.structs.replace(runtime.home.settings.failures, fallback_models=(OTHER,))
        runtime.home.settings = msgspec.structs.replace(runtime.home.settings, failures=failures)
        with ProviderServer([DONE], clock=runtime.home.clock) as another:
            runtime.home.credentials = {**server.credentials, **{
                name: value for name, value in another.credentials.items() if "ANTHROPIC" in name
            }}  # fmt: skip
            report = await runtime.run("sum up the notes")
        assert (report.status, len(server.requests)) == ("done", before)
        entries = await runtime.store.read(report.run)
        assert [e.body.model for e in entries if isinstance(e.body, ModelResponded)] == [OTHER]


async def test_a_pause_the_provider_asked_for_holds_for_the_next_run(runtime: Runtime) -> None:
    limited = Trouble(Kind.RATE_LIMITED, retry_after_seconds=3600)
    with ProviderServer([limited, DONE], clock=runtime.home.clock) as server:
        runtime.home.credentials = server.credentials
        first = await runtime.run("sum up the notes")
        second = await runtime.run("sum up the notes")
        kinds = [one.kind for one in (*first.blocked_on, *second.blocked_on)]
        assert (kinds, len(server.requests)) == (["wait", "wait"], 1)
        assert isinstance(runtime.home.clock, FakeClock)
        runtime.home.clock.advance(3601)
        ended = await runtime.resume(second.run)
        assert (ended.status, ended.summary) == ("done", "Summed up.")


async def test_a_dead_key_does_not_go_to_another_model_in_any_run(runtime: Runtime) -> None:
    failures = msgspec.structs.replace(runtime.home.settings.failures, fallback_models=(OTHER,))
    runtime.home.settings = msgspec.structs.replace(runtime.home.settings, failures=failures)
    with ProviderServer([Trouble(Kind.CREDENTIAL), DONE], clock=runtime.home.clock) as server:
        runtime.home.credentials = server.credentials
        first = await runtime.run("sum up the notes")
        second = await runtime.run("sum up the notes")
        assert (first.status, second.status, len(server.requests)) == ("blocked", "blocked", 1)

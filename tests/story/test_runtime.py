"""Whole runs on real parts: real workers, real files, real SQLite. Only the model is scripted."""

import stat
from functools import partial
from pathlib import Path

import pytest

from standpipe.cli.scaffold import scaffold
from standpipe.clock import SystemClock
from standpipe.desk.answers import give
from standpipe.desk.report import Report
from standpipe.errors import ConfigError, NotFoundError, UsageError
from standpipe.journal.entries import CancelRequested, Draft
from standpipe.journal.verify import verify
from standpipe.opening import open_store
from standpipe.runtime import Runtime
from standpipe.security.checklist import Checklist
from standpipe.stores.sqlite import SqliteStore
from standpipe.testing.fakes import FakeClock

WRITE = "{write_file: {path: out.txt, content: done, why: the task asks for it}}"
DONE = "done: {summary: It is written., evidence: [out.txt]}"

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    scaffold(tmp_path / "agent", model="script:story.yaml")
    return tmp_path / "agent"


def script(home: Path, *turns: str, then: str = "stop") -> None:
    lines = "\n".join(f"  - {turn}" for turn in turns)
    (home / "story.yaml").write_text(f"turns:\n{lines}\nthen: {then}\n")


def settings(home: Path, text: str) -> None:
    with (home / "standpipe.toml").open("a") as file:
        file.write(f"\n{text}\n")


def tools(home: Path, text: str) -> None:
    (home / "tools.py").write_text(f"import standpipe as sp\n\n\n{text}\n")


def check(home: Path, name: str, text: str) -> None:
    path = home / "checks" / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


async def run(home: Path, task: str = "Write out.txt", **options: object) -> Report:
    async with Runtime.open(home) as runtime:
        return await runtime.run(task, **options)  # type: ignore[arg-type]


async def resume(home: Path, name: str = "r1") -> Report:
    async with Runtime.open(home) as runtime:
        return await runtime.resume(name)


async def answer(home: Path, blocker: str, text: str) -> None:
    store = open_store(home)
    await give(store, blocker, text, by="operator")
    await store.close()


def kinds(report: Report) -> list[str]:
    return [failure.kind for failure in report.failures]


async def test_a_task_is_done_and_everything_about_it_can_be_read(home: Path) -> None:
    script(home, f"call: {WRITE}", DONE)
    report = await run(home)
    assert (report.status, report.summary) == ("done", "It is written.")
    assert [(file.path, file.change) for file in report.files] == [("out.txt", "created")]
    assert all(check.passed for check in report.checklist)
    assert list((home / "brain" / "tasks" / "done").glob("*/T-1.md"))
    assert "T-1" in (home / "brain" / "STATE.md").read_text()
    store = open_store(home)
    assert (await verify(store)).whole
    await store.close()


async def test_a_run_that_is_done_is_told_and_not_done_again(home: Path) -> None:
    script(home, f"call: {WRITE}", DONE)
    first = await run(home, caller_id="mail-0600")
    again = await run(home, caller_id="mail-0600")
    assert (again.run, again.ended_at) == (first.run, first.ended_at)


async def test_a_question_parks_the_run_and_its_answer_is_what_the_agent_hears(home: Path) -> None:
    script(home, "call: {ask_human: {question: Which colour?}}", f"call: {WRITE}", DONE)
    parked = await run(home)
    assert parked.status == "blocked"
    [question] = parked.blocked_on
    assert (question.id, question.kind, question.ask) == ("b1", "question", "Which colour?")
    assert (home / "brain" / "tasks" / "blocked" / "T-1.md").exists()
    assert (await resume(home)).status == "blocked"
    await answer(home, "b1", "blue")
    assert (await resume(home)).status == "done"


async def test_blocked_is_an_end_that_a_person_can_undo(home: Path) -> None:
    script(home, "blocked: {on: no price list, needs: the 2026 price list}", DONE)
    parked = await run(home)
    assert parked.status == "blocked"
    assert "price list" in parked.blocked_on[0].ask
    await answer(home, "b1", "it is in workspace/prices.txt")
    assert (await resume(home)).status == "done"


async def test_an_acceptance_command_is_run_by_the_runtime_and_its_output_is_evidence(
    home: Path,
) -> None:
    task = home / "brain" / "tasks" / "open" / "T-7.md"
    task.parent.mkdir(parents=True, exist_ok=True)
    task.write_text(
        "---\nid: T-7\nrev: 1\ntitle: Write out.txt\nacceptance:\n"
        "  - run: grep -c done workspace/out.txt\n  - The text is friendly.\n---\n"
    )
    script(home, f"call: {WRITE}", DONE)
    report = await run(home, "T-7")
    assert report.status == "done"
    shown = {line.name: line.evidence for line in report.checklist}
    assert shown["acceptance: grep -c done workspace/out.txt"] == "exit 0: 1"
    said = "unverified, the agent says: out.txt"
    assert shown["acceptance: The text is friendly."] == said


@pytest.mark.parametrize(
    "body", ["exit 1", "sleep 60", "kill -9 $$"], ids=["red", "slow", "killed"]
)
async def test_a_check_that_never_passes_sends_back_once_and_then_blocks(
    home: Path, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("standpipe.segment.Checklist", partial(Checklist, deadline_seconds=0.5))
    check(home, "tests", f"echo red; {body}")
    script(home, f"call: {WRITE}", DONE, DONE, DONE, then="repeat")
    report = await run(home)
    assert report.status == "blocked"
    assert report.usage.model_calls == 3
    assert "checklist" in kinds(report)


async def test_a_check_that_passes_the_second_time_is_silent(home: Path) -> None:
    check(home, "tests", 'test -f workspace/extra.txt || { echo "extra.txt is missing"; exit 1; }')
    more = "call: {write_file: {path: extra.txt, content: x, why: the check asks for it}}"
    script(home, f"call: {WRITE}", DONE, more, DONE)
    report = await run(home)
    assert report.status == "done"


async def test_done_over_an_unresolved_failure_is_refused_once_and_then_the_run_has_failed(
    home: Path,
) -> None:
    tools(
        home,
        '@sp.tool(effect="read")\ndef look() -> str:\n    """Look."""\n    raise ValueError("Error: HTTP 404 no such page")',
    )
    script(home, "call: {look: {}}", DONE, DONE, then="repeat")
    report = await run(home)
    assert report.status == "failed"
    assert report.usage.model_calls == 3


async def test_a_failure_writes_its_lesson_by_code(home: Path) -> None:
    tools(
        home,
        '@sp.tool(effect="read")\ndef look() -> dict:\n    """Look."""\n    return {}["missing"]',
    )
    script(home, "call: {look: {}}", DONE)
    report = await run(home)
    assert report.status == "failed"
    assert kinds(report) == ["tool_bug"]
    [lesson] = (home / "brain" / "lessons").glob("L-*.md")
    assert "`look` failed with tool_bug" in lesson.read_text()


async def test_a_budget_ends_the_run_and_names_the_cap(home: Path) -> None:
    text = (home / "standpipe.toml").read_text()
    (home / "standpipe.toml").write_text(text.replace("model_calls = 50", "model_calls = 4"))
    script(home, "call: {list_files: {path: .}}", then="repeat")
    report = await run(home)
    assert report.status == "failed"
    assert "4 model calls" in report.summary
    assert report.usage.model_calls == 4


async def test_a_script_that_ends_early_fails_the_run(home: Path) -> None:
    script(home, f"call: {WRITE}")
    report = await run(home)
    assert report.status == "failed"
    assert "story.yaml" in report.summary


async def test_a_run_that_was_cancelled_stays_cancelled(home: Path) -> None:
    script(home, "call: {ask_human: {question: Which?}}", f"call: {WRITE}", DONE)
    await run(home)
    store = SqliteStore(home / ".standpipe" / "journal.db", SystemClock())
    await store.post("r1", [Draft("cancel", CancelRequested("operator"))])
    await store.close()
    await answer(home, "b1", "blue")
    report = await resume(home)
    assert report.status == "cancelled"
    assert not (home / "workspace" / "out.txt").exists()


async def test_a_tool_that_needs_approval_runs_exactly_once_after_it(home: Path) -> None:
    tools(
        home,
        '@sp.tool(effect="once", control=["order"])\ndef refund(order: str, cents: int) -> str:\n'
        '    """Pay back."""\n    open("workspace/ledger", "a").write(f"{order} {cents}\\n")\n    return "paid"',
    )
    script(home, "call: {refund: {order: A-1, cents: 500, why: it never came}}", DONE)
    parked = await run(home)
    [ask] = parked.blocked_on
    assert ask.kind == "approval"
    await answer(home, "b1", "yes")
    report = await resume(home)
    assert report.status == "done"
    assert (home / "workspace" / "ledger").read_text() == "A-1 500\n"
    assert [effect.tool for effect in report.effects] == ["refund"]


async def test_a_scope_of_unknown_tools_is_refused_before_anything_starts(home: Path) -> None:
    with pytest.raises(NotFoundError, match="tool `raed_file`"):
        await run(home, scope=["raed_file"])


async def test_a_model_that_cannot_be_used_is_told_before_anything_starts(home: Path) -> None:
    with pytest.raises(UsageError):
        async with Runtime.open(home, model="script:nowhere.yaml") as runtime:
            await runtime.run("anything")
    text = (home / "standpipe.toml").read_text()
    (home / "standpipe.toml").write_text(text.replace("model =", "# model ="))
    with pytest.raises(ConfigError, match="no model is set"):
        await run(home)


async def test_tools_that_do_not_load_are_told_with_file_and_line(home: Path) -> None:
    (home / "tools.py").write_text("import standpipe as sp\n\nthis is no python\n")
    with pytest.raises(ConfigError, match=r"tools\.py:3"):
        await run(home)


async def test_a_run_that_failed_does_not_shorten_the_next_ones_patience(home: Path) -> None:
    check(home, "tests", "echo red; exit 1")
    script(home, f"call: {WRITE}", DONE, DONE, then="repeat")
    first = await run(home)
    second = await run(home)
    assert [report.usage.model_calls for report in (first, second)] == [3, 3]


async def test_a_secret_in_a_file_a_tool_wrote_keeps_the_run_from_being_done(home: Path) -> None:
    key = "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc"
    tools(
        home,
        '@sp.tool(effect="idempotent")\ndef dump() -> str:\n    """Dump."""\n'
        f'    open("workspace/leak.txt", "w").write("sk_live_" + "{key[8:]}")\n    return "ok"',
    )
    script(home, "call: {dump: {why: the task asks for it}}", DONE, DONE, then="repeat")
    report = await run(home)
    assert report.status == "blocked"
    [secret] = [line for line in report.checklist if line.name == "no secret in a changed file"]
    assert not secret.passed
    assert "leak.txt" in secret.evidence
    assert key not in secret.evidence


async def test_a_parked_run_goes_on_with_the_model_it_began_with(home: Path) -> None:
    script(home, "call: {ask_human: {question: Which?}}", DONE)
    (home / "story.yaml").rename(home / "first.yaml")
    script(home, "blocked: {on: the wrong model, needs: the right one}", then="repeat")
    async with Runtime.open(home, model="script:first.yaml") as runtime:
        assert (await runtime.run("Ask")).status == "blocked"
    await answer(home, "b1", "blue")
    assert (await resume(home)).status == "done"


async def test_another_model_answers_why_the_first_one_failed(home: Path) -> None:
    script(home, f"call: {WRITE}", DONE)
    async with Runtime.open(home, model="openai:gpt-6.1-terra") as runtime:
        runtime.home.credentials = {
            "OPENAI_API_KEY": "test-key-0001",
            "OPENAI_BASE_URL": "http://127.0.0.1:9",
        }
        runtime.home.clock = FakeClock()
        parked = await runtime.run("Write out.txt")
    assert parked.status == "blocked"
    async with Runtime.open(home, model="script:story.yaml") as runtime:
        assert (await runtime.resume("r1")).status == "done"


async def test_a_declared_secret_that_is_not_set_is_told_before_anything_starts(home: Path) -> None:
    settings(home, '[secrets.SHOP_TOKEN]\nhosts = ["api.example.com"]\nheader = "X-Token: {}"')
    with pytest.raises(ConfigError, match="SHOP_TOKEN"):
        await run(home)

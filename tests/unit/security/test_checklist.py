"""The checklist before `done`: what was written or sent is looked at however it is known; it never hangs."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from standpipe.actions import Action, Change, Effect
from standpipe.governor.recovery import Return
from standpipe.journal.entries import (
    Acceptance,
    Body,
    Check,
    Checked,
    Decided,
    Draft,
    Intended,
    Proposed,
    Reconciled,
    RunCreated,
    SegmentStarted,
    Settled,
    Verdict,
)
from standpipe.journal.journal import Journal
from standpipe.memory.brain import Brain
from standpipe.memory.decisions import Decisions
from standpipe.memory.tasks import Tasks
from standpipe.outcomes.outcome import Failed, Kind, Succeeded
from standpipe.policy.decision import Allow
from standpipe.security import checklist
from standpipe.security.checklist import Checklist
from standpipe.security.secrets import Masker
from standpipe.stores.memory import MemoryStore
from standpipe.testing.fakes import FakeClock
from standpipe.tools.agent import TOOLS, AgentTools, UnfinishedError

VALUE = "correct-horse-battery"
FILES, MESSAGES = "no secret in a changed file", "no secret in an outgoing message"
HAPPENED = Reconciled("send_email", 1, Verdict.HAPPENED, "verify")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "checks").mkdir()
    return tmp_path


def wrote(*paths: str) -> tuple[Change, ...]:
    return tuple(Change(path, "created") for path in paths)


async def agent(home: Path, *bodies: Body, sends: str = "hello", accepted: str = "") -> AgentTools:
    """Return the tools of a run that made one call, of which these entries tell."""
    store = MemoryStore(clock := FakeClock())
    lines = (Acceptance(sentence=accepted),) if accepted else ()
    run = await store.create(
        RunCreated(task="t", agent="a", model="m", config="", acceptance=lines)
    )
    epoch = await store.start_segment(run, Draft("", SegmentStarted("tests", 1, "", "0")))
    journal = Journal(store, run, epoch)
    await journal.refresh()
    if bodies:
        call = Proposed("send_email", {"body": sends}, Effect.ONCE, "m", "asked", origin="builtin")
        await journal.append(
            Draft("r1.1.1", call),
            Draft("r1.1.1#1", Decided(Allow("declared"), digest="d")),
            Draft("r1.1.1#1", Intended(1, "k", 30.0)),
            *(Draft("r1.1.1#1", body) for body in bodies),
        )
    masker = Masker({"SHOP": VALUE}, key=b"k")
    return AgentTools(
        journal=journal,
        brain=Brain(home),
        tasks=Tasks(home),
        decisions=Decisions(home),
        checklist=Checklist(home=home, secrets_in=masker.found, deadline_seconds=5.0),
        clock=clock,
        mask=masker.mask,
    )


async def checks(tools: AgentTools, evidence: Sequence[str] = ("it is there",)) -> dict[str, Check]:
    """Say that it is done, and return what the journal keeps of the checklist."""
    done = next(tool for tool in TOOLS if tool.name == "done")
    arguments = {"summary": "Done.", "evidence": list(evidence)}
    with suppress(UnfinishedError):  # says what the journal says
        await tools.done(Action(id="r1.9.1", tool=done, arguments=arguments))
    [checked] = [e.body for e in tools.journal.entries if isinstance(e.body, Checked)]
    return {check.name: check for check in checked.checks}


SETTLED = Settled("send_email", 1, Succeeded("ok"), Return("ok"))


@pytest.mark.parametrize("body", [SETTLED, HAPPENED], ids=["seen to its end", "verified"])
async def test_what_was_sent_is_searched_however_its_end_is_known(home: Path, body: Body) -> None:
    found = await checks(await agent(home, body, sends=f"the key is {VALUE}"))
    assert (found[MESSAGES].passed, found[MESSAGES].evidence) == (False, "r1.1.1 send_email (SHOP)")


async def test_an_effect_that_was_verified_needs_its_why_too(home: Path) -> None:
    tools = await agent(home, HAPPENED)
    silent = Proposed("pay", {}, Effect.ONCE, "m", origin="home")
    await tools.journal.append(
        Draft("r1.2.1", silent),
        Draft("r1.2.1#1", Decided(Allow("declared"), digest="d")),
        Draft("r1.2.1#1", Intended(1, "k", 30.0)),
        Draft("r1.2.1#1", HAPPENED),
    )
    assert (await checks(tools))["every effect has its why"].evidence == "r1.2.1 pay"


@pytest.mark.parametrize("verdict", Verdict)
async def test_what_a_killed_attempt_wrote_is_searched_whatever_it_came_to(
    home: Path, verdict: Verdict
) -> None:
    (home / "workspace/leak.txt").write_text(f"key={VALUE}")
    body = Reconciled("send_email", 1, verdict, "verify", changes=wrote("leak.txt"))
    found = (await checks(await agent(home, body)))[FILES]
    assert (found.passed, found.evidence) == (False, "leak.txt (SHOP)")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be"])
async def test_a_secret_in_a_file_is_found_in_every_usual_encoding(
    home: Path, encoding: str
) -> None:
    (home / "workspace/leak.txt").write_bytes(f"key={VALUE}\n".encode(encoding))
    failed = Failed(Kind.SERVER_ERROR, "half done")
    body = Settled("send_email", 1, failed, Return("told"), changes=wrote("leak.txt"))
    assert not (await checks(await agent(home, body)))[FILES].passed


async def test_a_secret_as_the_name_of_a_file_is_found_and_not_shown(home: Path) -> None:
    (home / "workspace" / VALUE).touch()
    body = Settled("send_email", 1, Succeeded("ok"), Return("ok"), changes=wrote(VALUE))
    found = (await checks(await agent(home, body)))[FILES]
    assert (found.passed, found.evidence) == (False, "a file whose name is a secret")


async def test_a_file_that_is_too_large_to_be_searched_has_not_passed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checklist, "_READ_MAX", 10)
    (home / "workspace/large.txt").write_text("x" * 11)
    (home / "workspace/small.txt").write_text("x" * 10)
    changes = wrote("large.txt", "small.txt", "gone.txt")
    body = Settled("send_email", 1, Succeeded("ok"), Return("ok"), changes=changes)
    found = (await checks(await agent(home, body)))[FILES]
    assert found.evidence.startswith("large.txt (too large")
    assert "small.txt" not in found.evidence


async def test_a_file_that_cannot_be_read_has_not_passed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    (home / "workspace/shut.txt").touch()
    monkeypatch.setattr(Path, "read_bytes", refuses)
    body = Settled("send_email", 1, Succeeded("ok"), Return("ok"), changes=wrote("shut.txt"))
    found = (await checks(await agent(home, body)))[FILES]
    assert (found.passed, found.evidence) == (False, "shut.txt (cannot be read: Permission denied)")


@pytest.mark.parametrize("kind", ["dangling symlink", "fifo", "executable fifo", "no executable"])
async def test_what_cannot_be_run_in_checks_fails_and_never_hangs(home: Path, kind: str) -> None:
    path = home / "checks/odd"
    match kind:
        case "dangling symlink":
            path.symlink_to(home / "nowhere")
        case "no executable":
            path.write_text("#!/bin/sh\nexit 0\n")
        case _:
            os.mkfifo(path, 0o700 if kind.startswith("executable") else 0o600)
    found = (await checks(await agent(home)))["checks/odd"]
    assert not found.passed
    assert "cannot be started" in found.evidence


@pytest.mark.parametrize("before", [0, 280], ids=["whole", "where the evidence is cut"])
async def test_a_secret_that_a_check_prints_stays_out_of_the_journal(
    home: Path, before: int
) -> None:
    check = home / "checks/loud"
    check.write_text(f"#!/bin/sh\nprintf '{'x' * before} {VALUE}'\nexit 1\n")
    check.chmod(0o700)
    said = (await checks(await agent(home)))["checks/loud"]
    assert not said.passed
    assert VALUE[:8] not in said.evidence


async def test_a_secret_in_the_words_of_the_agent_stays_out_of_the_journal(home: Path) -> None:
    tools = await agent(home, accepted="the price is right")
    found = await checks(tools, evidence=[f"{'x' * 285} {VALUE}"])
    assert VALUE[:8] not in found["acceptance: the price is right"].evidence

"""Which run is meant, who works on it, and how it ends: `run`, `--id`, `--unfinished` and `cancel`.

What is killed or works at the same time has a process of its own; the rest goes through the same `main` here.
"""

import io
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest

from standpipe.cli import main
from standpipe.cli.scaffold import scaffold

SLOW = """
import os
import time

import standpipe as sp


@sp.tool(effect="idempotent", timeout=600)
def wait(name: str) -> str:
    \"\"\"Wait for the test.\"\"\"
    with open("DONE", "a") as done:
        done.write(f"{name} begins\\n")
    if not os.path.exists("GO"):
        open("STARTED", "w").close()  # a pipe: returns when the test looks
        while not os.path.exists("GO"):
            time.sleep(0.02)
    with open("DONE", "a") as done:
        done.write(f"{name} ends\\n")
    return "waited"
"""
WAITING = """
turns:
  - call: {wait: {name: first, why: the task says so}}
  - call: {wait: {name: second, why: the task says so}}
  - done: {summary: Waited., evidence: [waited]}
"""
HELD = """
turns:
  - call: {ask_human: {question: "Which price list?"}}
  - done: {summary: Asked., evidence: [asked]}
"""
REFUND = """
import standpipe as sp


@sp.tool(effect="once", control=["order"])
def refund(order: str) -> str:
    \"\"\"Pay back.\"\"\"
    with open("workspace/ledger.txt", "a") as ledger:
        ledger.write(f"{order}\\n")
    return "paid"
"""
PAYING = """
turns:
  - call: {refund: {order: A-1, why: it never came}}
  - done: {summary: Paid back., evidence: [ledger.txt]}
"""

pytestmark = pytest.mark.timeout(120)


class Ended(NamedTuple):
    """What a command came to."""

    code: int
    stdout: str
    stderr: str


def standpipe(home: Path, *words: str) -> Ended:
    """Run a command here; nobody sits at this terminal."""
    with redirect_stdout(io.StringIO()) as printed, redirect_stderr(io.StringIO()) as logged:
        code = main([*words, "--home", str(home)])
    return Ended(code, printed.getvalue(), logged.getvalue())


def told(home: Path, *words: str, code: int = 0) -> str:
    """Run a command that must end with `code`, and return what it printed."""
    done = standpipe(home, *words)
    assert done.code == code, done.stderr
    return done.stdout


def refused(home: Path, *words: str) -> str:
    """Run a command that must say in a line and a hint why it does nothing; return both."""
    done = standpipe(home, *words)
    assert (done.code, done.stdout) == (2, ""), done.stderr
    assert [line.partition(": ")[0] for line in done.stderr.splitlines()] == ["error", "hint"]
    return done.stderr


def make(home: Path, *, tools: str = "", story: str = "") -> Path:
    scaffold(home, model="script:story.yaml")
    (home / "tools.py").unlink()  # a worker less to start
    if tools:
        (home / "tools.py").write_text(tools)
    if story:
        (home / "story.yaml").write_text(story)
    return home


def entries(home: Path, run: str) -> list[str]:
    return [line["kind"] for line in json.loads(told(home, "log", run, "--json"))]


@pytest.fixture(scope="module")
def ran_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a run that is done and has a name, and one that asks a question."""
    home = make(tmp_path_factory.mktemp("ran") / "agent")
    told(home, "run", "Summarise the notes", "--id", "mail-0600")
    (home / "story.yaml").write_text(HELD)
    told(home, "run", "Ask about the prices", "--id", "prices-7", code=3)
    return home


@pytest.fixture
def ran(ran_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(ran_once, tmp_path / "ran"))


@pytest.mark.parametrize(
    "words",
    [["run", "mail-0600"], ["run", "Summarise the notes", "--id", "mail-0600"],
     ["run", "T-1", "--id", "mail-0600"], ["run", "r1", "--id", "mail-0600"],
     ["resume", "mail-0600"], ["report", "mail-0600"]],
)  # fmt: skip
def test_the_callers_id_is_the_run_and_one_that_is_done_is_only_told(
    ran: Path, words: list[str]
) -> None:
    before = (ran / ".standpipe/journal.db").read_bytes()
    assert told(ran, *words).startswith("r1 done: Wrote workspace/summary.txt")
    assert (ran / ".standpipe/journal.db").read_bytes() == before


@pytest.mark.parametrize("word", ["report", "log", "why", "changes"])
def test_an_archived_run_is_told_as_it_was_before(ran: Path, word: str) -> None:
    before = told(ran, word, "r1")
    told(ran, "journal", "archive", "--older-than", "0")
    assert told(ran, word, "r1") == before


@pytest.mark.parametrize(
    "words",
    [["run", "mail-0600"], ["run", "Summarise the notes", "--id", "mail-0600"], ["resume", "r1"]],
    ids=str,
)
def test_an_archived_run_keeps_its_id_and_its_exit_code_and_nothing_starts(
    ran: Path, words: list[str]
) -> None:
    told(ran, "journal", "archive", "--older-than", "0")
    before = told(ran, "journal", "verify"), told(ran, "status")
    assert told(ran, *words).startswith("r1 done: Wrote workspace/summary.txt")
    assert (told(ran, "journal", "verify"), told(ran, "status")) == before


def test_the_files_of_an_archived_run_are_not_taken_back_and_one_is_told(ran: Path) -> None:
    told(ran, "journal", "archive", "--older-than", "0")
    assert "r1 is archived, and its files are not taken back" in refused(ran, "undo", "r1")
    assert (ran / "workspace/summary.txt").exists()


def test_an_archive_that_is_gone_is_one_line_and_a_hint(ran: Path) -> None:
    told(ran, "journal", "archive", "--older-than", "0")
    shutil.rmtree(ran / ".standpipe/archive")
    for words in (["report", "r1"], ["run", "mail-0600"]):
        done = standpipe(ran, *words)
        assert (done.code, done.stdout) == (1, "")
        assert "cannot be trusted: No such file" in done.stderr


@pytest.mark.parametrize("word", ["log", "why", "changes", "undo"])
def test_every_command_about_a_run_takes_the_callers_id(ran: Path, word: str) -> None:
    assert told(ran, word, "mail-0600") == told(ran, word, "r1") or word == "undo"


def test_a_run_that_waits_goes_on_under_its_id_with_its_own_exit_code(ran: Path) -> None:
    assert "waits for b1" in told(ran, "run", "Ask about the prices", "--id", "prices-7", code=3)
    told(ran, "answer", "b1", "of", "2026", "--detach")
    assert "r2 done" in told(ran, "run", "Ask about the prices", "--id", "prices-7")
    assert "r2 done" in told(ran, "run", "prices-7")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "Another task", "--id", "mail-0600"], "another task"),
        (["run", "T-2", "--id", "mail-0600"], "another task"),
        (["run", "r1", "--id", "prices-8"], "`r1` is a run, not a task"),
        (["run", "mail-0600", "--id", "prices-8"], "`mail-0600` is a run, not a task"),
        (["run", "r99"], "no run `r99`"),
        (["run", "R99", "--id", "x"], "no run `R99`"),
        (["run", "r9.1.2"], "no run `r9`"),
        (["run", "r"], "run `r` could be any of r1, r2"),
        (["run", "r1.2.1"], "`standpipe why r1.2.1`"),
        (["run", "b1"], "`standpipe answer b1 TEXT`"),
        (["run", "B7"], "`standpipe answer B7 TEXT`"),
        (["resume", "b1"], "`b1` is a question, not a run"),
        (["run", "mail-0601"], "did you mean `mail-0600`?"),
        (["run", "mail"], "did you mean `mail-0600`?"),
        (["report", "prices"], "did you mean `prices-7`?"),
        (["run", "orders-12"], 'standpipe run "TASK" --id orders-12'),
        (["run", "x", "--id", "b3"], "`b3` cannot be the caller's id"),
        (["run", "x", "--id", "r1.2"], "`r1.2` cannot be the caller's id"),
        (["run", "x", "--id", ""], "the caller's id of a run is empty"),
        (["run", "x", "--id", " "], "the caller's id of a run is empty"),
        (["run", "--unfinished", "--id", ""], "the caller's id of a run is empty"),
        (["run", "x", "--id", "T-4"], "`T-4` cannot be the caller's id"),
        (["run", "--unfinished", "r2"], "`--unfinished` names no run"),
        (["cancel", "r1"], "r1 is done already"),
        (["cancel", "r9"], "no run `r9`"),
    ],
    ids=str,
)  # fmt: skip
def test_a_name_that_is_no_run_starts_nothing(ran: Path, words: list[str], said: str) -> None:
    before = told(ran, "status", "--line")
    tasks = sorted(path.name for path in ran.glob("brain/tasks/**/*.md"))
    assert said in refused(ran, *words)
    assert told(ran, "status", "--line") == before
    assert sorted(path.name for path in ran.glob("brain/tasks/**/*.md")) == tasks


def test_a_task_of_one_word_is_a_task_where_it_has_a_name_beside_it(ran: Path) -> None:
    told(ran, "run", "orders-12", "--id", "orders", code=3)
    assert json.loads(told(ran, "report", "orders", "--json", code=0))["task"] == "T-3 orders-12"


def test_cancel_ends_a_run_that_nobody_works_on_at_once(ran: Path) -> None:
    assert told(ran, "cancel", "prices-7").startswith("r2 cancelled")
    assert "r2 cancelled" in told(ran, "run", "prices-7", code=4)
    assert "r2 is cancelled already" in refused(ran, "cancel", "r2")


def test_a_cancel_is_on_disk_even_where_the_run_cannot_be_taken_up(ran: Path) -> None:
    (ran / "tools.py").write_text("def (")
    done = standpipe(ran, "cancel", "r2")
    assert (done.code, done.stdout) == (0, "")
    assert "r2 is cancelled, but could not be ended yet: tools.py:1" in done.stderr
    (ran / "tools.py").unlink()
    again = standpipe(ran, "cancel", "r2")
    assert again.stdout.startswith("r2 cancelled")
    assert "r2 was cancelled before" in again.stderr
    assert entries(ran, "r2").count("cancel.requested") == 1


@pytest.fixture(scope="module")
def approved_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which a person has approved a call that is not made yet."""
    home = make(tmp_path_factory.mktemp("approved") / "agent", tools=REFUND, story=PAYING)
    told(home, "run", "Pay back A-1", code=3)
    told(home, "answer", "b1", "yes", "--detach")
    return home


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ("", "`refund`, which r1.1.1 calls, is no tool of this home any more"),
        (REFUND.replace("order", "number"), "call r1.1.1 any more: `number` is missing"),
        (REFUND.replace('"once"', '"read"'), "any more: it was `once` and is `read`"),
    ],
    ids=["gone", "parameter", "effect"],
)
def test_a_run_that_the_tools_of_today_cannot_take_up_waits_for_them(
    approved_once: Path, tmp_path: Path, tools: str, said: str
) -> None:
    home = Path(shutil.copytree(approved_once, tmp_path / "home"))
    (home / "tools.py").write_text(tools)
    before = entries(home, "r1")
    for words in (["resume", "r1"], ["run", "r1"]):
        assert said in refused(home, *words)
    swept = standpipe(home, "run", "--unfinished", "--json")
    assert (swept.code, swept.stdout) == (2, "")
    assert said in swept.stderr
    assert entries(home, "r1") == before
    (home / "tools.py").write_text(REFUND)
    assert "r1 done" in told(home, "resume", "r1")
    assert (home / "workspace/ledger.txt").read_text() == "A-1\n"


def test_an_entry_of_a_newer_version_is_one_line_everywhere_and_stops_no_other_run(
    ran: Path,
) -> None:
    told(ran, "answer", "b1", "of", "2026", "--detach")
    with sqlite3.connect(ran / ".standpipe/journal.db") as database:
        database.execute("update entry set v = 99 where run = 'r1' and seq = 4")
    database.close()
    for word in ("report", "log", "why", "changes", "undo", "run", "resume"):
        assert "entry r1/4 is `model.requested` of version 99" in refused(ran, word, "r1")
    assert "r2 done" in told(ran, "run", "--unfinished")


def test_a_journal_whose_address_is_not_given_is_one_line_and_nothing_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make(tmp_path / "agent")
    monkeypatch.delenv("STANDPIPE_NOWHERE", raising=False)
    with (home / "standpipe.toml").open("a") as settings:
        settings.write('[journal]\nstore = "postgres"\nurl_secret = "STANDPIPE_NOWHERE"\n')
    for words in (["status"], ["run", "Look"], ["run", "r1"], ["inbox"], ["cancel", "r1"]):
        assert "the secret `STANDPIPE_NOWHERE` is not set" in refused(home, *words)
    assert not (home / ".standpipe").exists()


@dataclass
class Waits:
    """A home whose tool waits; `begun` returns when it does, `go` lets it end."""

    home: Path
    started: Path
    go_file: Path
    done: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list["subprocess.Popen[str]"])

    def start(self, *words: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "standpipe", *words, "--home", str(self.home)]
        pipe = subprocess.PIPE
        plain = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8"}
        process = subprocess.Popen(
            argv, env=plain, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, encoding="utf-8"
        )
        self.processes.append(process)
        return process

    def begun(self, *words: str) -> subprocess.Popen[str]:
        process = self.start(*words)
        with self.started.open():
            return process

    def go(self) -> None:
        self.go_file.touch()

    def happened(self) -> list[str]:
        return self.done.read_text().splitlines() if self.done.exists() else []


@pytest.fixture
def waits(tmp_path: Path) -> Generator[Waits]:
    started, go, done = (tmp_path / name for name in ("started", "go", "done"))
    os.mkfifo(started)
    tools = SLOW.replace("STARTED", str(started)).replace("GO", str(go)).replace("DONE", str(done))
    found = Waits(make(tmp_path / "agent", tools=tools, story=WAITING), started, go, done)
    yield found
    for process in found.processes:
        process.kill()
        process.communicate()


def ended(processes: Sequence[subprocess.Popen[str]]) -> list[Ended]:
    """Wait for processes, reading what they say."""
    said = [process.communicate() for process in processes]
    return [
        Ended(process.returncode, out, err)
        for process, (out, err) in zip(processes, said, strict=True)
    ]


def test_a_run_that_a_living_process_works_on_is_left_to_it_and_the_process_is_named(
    waits: Waits,
) -> None:
    owner = waits.begun("run", "Wait", "--id", "cron")
    for words in (
        ["run", "r1"],
        ["run", "cron"],
        ["resume", "cron"],
        ["run", "Wait", "--id", "cron"],
    ):
        said = refused(waits.home, *words)
        assert f"run `r1` is being worked on by process {owner.pid}" in said
    assert (
        "is worked on by somebody else" not in standpipe(waits.home, "run", "--unfinished").stderr
    )
    waits.go()
    [done] = ended([owner])
    assert (done.code, done.stdout.partition(":")[0]) == (0, "r1 done")
    assert waits.happened() == ["first begins", "first ends", "second begins", "second ends"]


def test_two_that_start_the_same_id_at_once_begin_one_run_with_one_task(waits: Waits) -> None:
    waits.go()
    both = ended([waits.start("run", "Wait", "--id", "cron", "--json") for _ in range(2)])
    codes = sorted(done.code for done in both)
    assert codes in ([0, 0], [0, 2])  # 2: the other one is at it; 0: it was done already
    for done in both:
        if done.code:
            assert re.search(r"error: run `r1` is being worked on by process \d+\n", done.stderr)
        else:
            assert json.loads(done.stdout)["run"] == "r1"
    assert waits.happened() == ["first begins", "first ends", "second begins", "second ends"]
    assert told(waits.home, "status", "--line") == "1 done\n"
    assert not [*(waits.home / "brain/tasks/open").glob("*.md")]


def test_unfinished_goes_on_with_what_was_killed_one_line_for_each(waits: Waits) -> None:
    told(waits.home, "run", "Ask", "--model", f"script:{held(waits.home)}", code=3)
    for _ in range(2):
        killed = waits.begun("run", "Wait")
        killed.kill()
        killed.wait()
    assert told(waits.home, "status", "--line") == "2 lost, 1 need you\n"
    waits.go()
    done = standpipe(waits.home, "run", "--unfinished", "--json")
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["run"], one["status"]) for one in reports] == [("r2", "done"), ("r3", "done")]
    assert done.code == 0
    assert "nothing is unfinished" in standpipe(waits.home, "run", "--unfinished").stderr


def held(home: Path) -> Path:
    (home / "held.yaml").write_text(HELD)
    return home / "held.yaml"


def test_cancel_ends_a_run_whose_process_was_killed_and_nothing_new_starts(waits: Waits) -> None:
    killed = waits.begun("run", "Wait")
    killed.kill()
    killed.wait()
    waits.go()
    told(waits.home, "cancel", "r1")
    assert told(waits.home, "status", "--line") == "1 cancelled\n"
    assert waits.happened() == ["first begins"]


def test_cancel_waits_for_its_process_which_keeps_what_was_under_way(waits: Waits) -> None:
    owner = waits.begun("run", "Wait")
    said: list[Ended] = []
    asking = threading.Thread(target=lambda: said.extend(ended([waits.start("cancel", "r1")])))
    asking.start()
    while "cancel.requested" not in entries(waits.home, "r1"):
        pass
    waits.go()
    asking.join()
    [done] = ended([owner])
    assert done.code == 4
    assert said[0].code == 0
    assert said[0].stdout.startswith("r1 cancelled")
    assert waits.happened() == ["first begins", "first ends"]


def test_cancel_now_does_not_wait_for_what_is_under_way(waits: Waits) -> None:
    owner = waits.begun("run", "Wait")
    assert told(waits.home, "cancel", "r1", "--now").startswith("r1 cancelled")
    [done] = ended([owner])
    assert done.code == 4
    assert waits.happened() == ["first begins"]


def test_ctrl_c_gives_the_run_back_at_once(waits: Waits) -> None:
    owner = waits.begun("run", "Wait")
    owner.send_signal(signal.SIGINT)
    [done] = ended([owner])
    assert done.code == 130
    assert told(waits.home, "status", "--line") == "1 lost\n"
    [run] = json.loads(told(waits.home, "status", "--json"))["runs"]
    assert run["summary"] == "interrupted; `standpipe resume r1` goes on where it stopped"

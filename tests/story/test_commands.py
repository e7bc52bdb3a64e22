"""Every command as people run it, on a home of its own, with a scripted model.

A process of its own has what is killed, interrupted or asked on a terminal; and the first run, whose
libraries must print nothing. The rest goes through the same `main` in this process.
"""

import io
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest

from standpipe.cli import main
from standpipe.cli.parser import COMMANDS
from standpipe.cli.scaffold import scaffold

REFUND = """
import standpipe as sp


@sp.tool(effect="once", control=["order"])
def refund(order: str, cents: int) -> str:
    \"\"\"Pay back.\"\"\"
    with open("workspace/ledger.txt", "a") as ledger:
        ledger.write(f"{order} {cents}\\n")
    return "paid"
"""
HELD = """
turns:
  - call: {refund: {order: A-1, cents: 500, why: it never came}}
  - done: {summary: Paid back., evidence: [ledger.txt]}
"""
SLOW = """
import os
import time

import standpipe as sp


@sp.tool(effect="read", local=True, timeout=600)
def wait() -> str:
    \"\"\"Wait for the test.\"\"\"
    if not os.path.exists("GO"):
        open("STARTED", "w").close()  # a pipe: returns when the test looks
        time.sleep(600)
    return "waited"
"""
WAITING = """
turns:
  - call: {wait: {}}
  - done: {summary: Waited., evidence: [waited]}
"""
REPORT = {
    "": "run agent task status summary started_at ended_at blocked_on failures effects files decisions"
    " checklist lessons usage",
    "blocked_on": "id kind ask why action default expires_at",
    "files": "path change added removed why action",
    "decisions": "at by what why alternatives",
    "checklist": "name passed evidence",
    "usage": "model_calls tool_calls attempts input_tokens output_tokens cost_usd wall_seconds",
}

pytestmark = pytest.mark.timeout(120)


def command(home: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "standpipe", *words, "--home", str(home)]


def environment(**more: str) -> dict[str, str]:
    """No key, no colour setting, nothing of the person who runs the tests."""
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8", **more}


class Ended(NamedTuple):
    """What a command came to."""

    code: int
    stdout: str
    stderr: str


def standpipe(*words: str) -> Ended:
    """Run a command here; nobody sits at this terminal."""
    with redirect_stdout(io.StringIO()) as printed, redirect_stderr(io.StringIO()) as logged:
        code = main(words)
    return Ended(code, printed.getvalue(), logged.getvalue())


def process(argv: Sequence[str], cwd: Path | None = None) -> Ended:
    """Run a command in a process of its own."""
    done = subprocess.run(
        argv,
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def told(home: Path, *words: str, code: int = 0) -> str:
    """Run a command that must end with `code`, and return what it printed."""
    done = standpipe(*words, "--home", str(home))
    assert done.code == code, done.stderr
    return done.stdout


def refused(home: Path, *words: str, code: int = 2) -> str:
    """Run a command that must say in a line and a hint why it does nothing."""
    done = standpipe(*words, "--home", str(home))
    lines = done.stderr.splitlines()
    assert (done.code, done.stdout) == (code, ""), done.stderr
    assert [line.partition(": ")[0] for line in lines] == ["error", "hint"]
    return lines[0]


def make(home: Path, *, tools: str = "", story: str = "") -> Path:
    scaffold(home, model="script:story.yaml")
    (home / "tools.py").unlink()  # a worker less to start
    if tools:
        (home / "tools.py").write_text(tools)
    if story:
        (home / "story.yaml").write_text(story)
    return home


@dataclass
class Ran:
    """A home in which one run has been done."""

    home: Path
    printed: str
    logged: str


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    home = tmp_path_factory.mktemp("done") / "agent"
    scaffold(home, model="script:story.yaml")
    ran = process(command(home, "run", "Summarise the notes", "--id", "monday", "--json"))
    assert ran.code == 0, ran.stderr
    return Ran(home, ran.stdout, ran.stderr)


@pytest.fixture(scope="module")
def parked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = make(tmp_path_factory.mktemp("parked") / "agent", tools=REFUND, story=HELD)
    assert "b1 approval" in told(home, "run", "Pay back A-1", "--detach", code=3)
    return home


@pytest.fixture
def held(parked: Path, tmp_path: Path) -> Path:
    """The parked home, moved to where a test may change it: no file names the folder it lies in."""
    return Path(shutil.copytree(parked, tmp_path / "moved"))


def fields(found: Mapping[str, object]) -> set[str]:
    return set(found)


def test_init_makes_a_home_and_keeps_what_is_there(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "standpipe", "init", "agent"]
    first, again = process(argv, tmp_path), process(argv, tmp_path)
    assert (first.code, again.code) == (0, 0)
    assert "wrote standpipe.toml" in first.stdout
    assert "--home agent" in first.stdout
    assert "kept standpipe.toml" in again.stdout
    assert "wrote" not in again.stdout
    assert first.stderr + again.stderr == ""


def test_run_json_is_the_report_on_stdout_and_the_progress_on_stderr(done: Ran) -> None:
    report = json.loads(done.printed)
    assert (report["run"], report["status"]) == ("r1", "done")
    assert fields(report) == set(REPORT[""].split())
    for name in ("files", "checklist"):
        assert fields(report[name][0]) == set(REPORT[name].split())
    assert fields(report["usage"]) == set(REPORT["usage"].split())
    assert done.logged.splitlines() == [
        line for line in done.logged.splitlines() if line.startswith("  ")
    ]
    assert "wrote summary.txt" in done.logged
    assert "pydantic" not in done.logged.casefold()


@pytest.mark.parametrize(
    "words",
    [
        "status", "status --line", "inbox", "report", "report r1 --md", "log", "log r1",
        "why r1.2.1", "why R1.2", "changes", "changes R1", "report monday", "journal verify", "memory boot",
    ],
)  # fmt: skip
def test_a_reading_command_prints_plain_text_and_logs_nothing(done: Ran, words: str) -> None:
    read = standpipe(*words.split(), "--home", str(done.home))
    assert (read.code, read.stderr) == (0, "")
    assert read.stdout.strip()
    assert "\x1b" not in read.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("status", "updated_at counts runs watchers cost"),
        ("report", REPORT[""]),
        ("why r1.2.1", "action tool outcome sentences"),
        ("journal verify", "whole streams entries broken"),
        ("memory boot", "text tokens budget_tokens loaded omitted waiting"),
    ],
)
def test_json_has_the_fields_of_the_contract(done: Ran, words: str, expected: str) -> None:
    assert set(expected.split()) <= fields(json.loads(told(done.home, *words.split(), "--json")))


@pytest.mark.parametrize("words", ["log", "changes", "inbox"])
def test_a_list_is_a_list_in_json(done: Ran, words: str) -> None:
    assert isinstance(json.loads(told(done.home, words, "--json")), list)


def test_a_parked_run_is_told_everywhere_with_what_one_types(parked: Path) -> None:
    [ask] = json.loads(told(parked, "report", "--json"))["blocked_on"]
    assert fields(ask) == set(REPORT["blocked_on"].split())
    assert (ask["id"], ask["action"]["tool"]) == ("b1", "refund")
    assert [one["id"] for one in json.loads(told(parked, "inbox", "--json"))] == ["b1"]
    assert "standpipe answer b1 yes|no --home" in told(parked, "inbox")
    assert told(parked, "status", "--line") == "1 need you\n"
    [run] = json.loads(told(parked, "status", "--json"))["runs"]
    assert (run["run"], run["status"]) == ("r1", "blocked")


def test_a_run_that_has_ended_is_told_and_not_done_again(done: Ran) -> None:
    ended = json.loads(done.printed)["ended_at"]
    for words in (["r1"], ["monday"], ["Summarise the notes", "--id", "monday"]):
        again = json.loads(told(done.home, "run", *words, "--json"))
        assert (again["run"], again["ended_at"]) == ("r1", ended)


def test_run_takes_a_task_id_and_a_task_file(tmp_path: Path) -> None:
    home = make(tmp_path / "agent")
    task = home / "brain/tasks/open/T-7.md"
    task.write_text("---\nid: T-7\ntitle: Summarise\n---\nShort, please.\n")
    (home / "mail.md").write_text("---\ntitle: Read the mail\n---\nOnly the new ones.\n")
    assert "T-7 Summarise" in told(home, "run", "t-7")
    assert "T-8 Read the mail" in told(home, "run", "mail.md")
    [kept] = (home / "brain/tasks/done").glob("*/T-8.md")
    assert kept.read_text().endswith("---\nOnly the new ones.\n")


def test_a_scope_keeps_every_other_tool_out(tmp_path: Path) -> None:
    home = make(tmp_path / "agent")
    report = json.loads(told(home, "run", "Summarise", "--tools", "read_file", "--json"))
    assert report["files"] == []
    assert not (home / "workspace/summary.txt").exists()
    assert any("write_file" in one["what"] for one in report["decisions"])


def test_a_script_that_ends_too_early_exits_with_1(tmp_path: Path) -> None:
    home = make(tmp_path / "agent", story="turns:\n  - call: {list_files: {path: .}}\n")
    assert "r1 failed" in told(home, "run", "Look", code=1)


def test_report_script_does_the_same_again_in_a_copied_home(done: Ran, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(done.home, tmp_path / "copy"))
    (copied / "workspace/summary.txt").rename(tmp_path / "first.txt")
    (copied / "yesterday.yaml").write_text(told(done.home, "report", "r1", "--script"))
    again = json.loads(told(copied, "run", "Again", "--model", "script:yesterday.yaml", "--json"))
    assert (again["run"], again["status"]) == ("r2", "done")
    assert (copied / "workspace/summary.txt").read_bytes() == (tmp_path / "first.txt").read_bytes()


def test_a_moved_home_goes_on_after_its_answer(held: Path) -> None:
    assert "`standpipe resume r1" in standpipe("approve", "B1", "--home", str(held)).stderr
    assert "r1 done" in told(held, "run", "--unfinished")
    assert (held / "workspace/ledger.txt").read_text() == "A-1 500\n"
    assert "as it was before" in told(held, "answer", "b1", "yes")
    assert "b1 was answered before" in refused(held, "deny", "b1")


def test_a_denied_call_is_not_made_and_the_agent_hears_why(held: Path) -> None:
    assert "no: wrong customer" in told(held, "deny", "b", "wrong", "customer")
    told(held, "resume", "r1")
    assert not (held / "workspace/ledger.txt").exists()
    assert "wrong customer" in told(held, "why", "r1.1.1")


def test_a_cancelled_run_exits_with_4_from_then_on(held: Path) -> None:
    assert "r1 cancelled" in told(held, "cancel", "r1")
    assert "r1 cancelled" in told(held, "resume", "r1", code=4)
    assert "r1 is cancelled already" in refused(held, "cancel", "r1")
    assert "b1 is withdrawn" in refused(held, "approve", "b1")


def test_undo_puts_the_files_back_to_the_byte(done: Ran, tmp_path: Path) -> None:
    home = Path(shutil.copytree(done.home, tmp_path / "copy"))
    assert json.loads(told(home, "undo", "r1", "--json"))["restored"] == ["summary.txt"]
    assert not (home / "workspace/summary.txt").exists()
    assert "no file is left" in told(home, "undo", "r1")


def test_connect_says_that_it_is_not_there_yet(done: Ran) -> None:
    assert "`connect` is not in this version yet" in refused(done.home, "connect", "claude-code")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_teaches_with_an_example(name: str) -> None:
    shown = standpipe(*name.split(), "--help")
    assert f"example:\n  standpipe {name}" in shown.stdout
    assert (shown.code, shown.stderr) == (0, "")


def test_help_shows_the_eight_that_people_need_and_the_rest_on_demand() -> None:
    def shown(*words: str) -> list[str]:
        done = standpipe(*words)
        assert done.code == 0
        return [line[2:20].strip() for line in done.stdout.splitlines() if line.startswith("  ")]

    eight = ["init", "run", "status", "inbox", "answer", "report", "connect", "demo"]
    assert shown("--help") == eight
    assert shown("--help", "--all") == list(COMMANDS)


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import standpipe", "pydantic_ai pydantic rich httpx jinja2"),
        ("from standpipe.cli import main; main(['status', '--home', HOME])",
         "pydantic_ai pydantic rich httpx jinja2"),
    ],
    ids=["import", "status"],
)  # fmt: skip
def test_nothing_heavy_is_loaded_where_it_is_not_used(done: Ran, code: str, unwanted: str) -> None:
    script = f"import sys\nHOME = {str(done.home)!r}\n{code}\nprint(*sys.modules)"
    argv = [sys.executable, "-c", script]
    ran = process(argv)
    assert ran.code == 0, ran.stderr
    loaded = {name.partition(".")[0] for name in ran.stdout.splitlines()[-1].split()}
    assert "standpipe" in loaded
    assert loaded.isdisjoint(unwanted.split())


@dataclass
class Waits:
    """A home whose tool waits; `begun` returns when it does, `go` lets it end the next time."""

    home: Path
    started: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list["subprocess.Popen[str]"])

    def begun(self, *words: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        self.processes.append(
            subprocess.Popen(
                command(self.home, *words),
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=pipe,
                stderr=pipe,
                encoding="utf-8",
            )
        )
        with self.started.open():
            return self.processes[-1]

    def go(self) -> None:
        self.started.with_name("go").touch()


@pytest.fixture
def waits(tmp_path: Path) -> Generator[Waits]:
    started = tmp_path / "started"
    os.mkfifo(started)
    tools = SLOW.replace("STARTED", str(started)).replace("GO", str(tmp_path / "go"))
    found = Waits(make(tmp_path / "agent", tools=tools, story=WAITING), started)
    yield found
    for process in found.processes:
        process.kill()
        process.communicate()


def test_a_killed_run_is_lost_for_everybody_and_goes_on(waits: Waits) -> None:
    running = waits.begun("run", "Wait")
    assert told(waits.home, "status", "--line") == "1 running\n"
    worker = f"run `r1` is being worked on by process {running.pid}"
    assert worker in refused(waits.home, "run", "r1")
    assert "r1 is running" in refused(waits.home, "undo", "r1")
    running.kill()
    assert running.wait() == -signal.SIGKILL
    assert told(waits.home, "status", "--line") == "1 lost\n"
    assert json.loads(told(waits.home, "report", "--json", code=5))["status"] == "lost"
    assert "journal whole" in told(waits.home, "journal", "verify")
    waits.go()
    assert "r1 done" in told(waits.home, "run", "R1")
    assert told(waits.home, "status", "--line") == "1 done\n"


def test_ctrl_c_is_one_line_and_130_and_the_run_goes_on(waits: Waits) -> None:
    running = waits.begun("run", "Wait")
    running.send_signal(signal.SIGINT)
    printed, logged = running.communicate()
    resume = f"standpipe resume r1 --home {waits.home}"
    assert (running.returncode, printed) == (130, "")
    assert logged.splitlines()[1:] == [f"interrupted; `{resume}` goes on"]
    waits.go()
    assert "r1 done" in told(waits.home, "resume", "r1")


class Terminal:
    """A command on a real pseudo-terminal, with a person who reads and types."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            argv, env=environment(TERM="xterm"), stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self.seen = ""

    def expect(self, text: str) -> None:
        """Read until `text` is on the screen."""
        while text not in self.seen:
            assert self._read(), f"{text!r} never came: {self.seen}"

    def type(self, line: str) -> None:
        os.write(self._ours, f"{line}\n".encode())

    def end(self) -> int:
        """Read to the end, and return the exit code."""
        while self._read():
            pass
        os.close(self._ours)
        return self._process.wait()

    def _read(self) -> bool:
        select.select([self._ours], [], [])
        try:
            part = os.read(self._ours, 65_536)
        except OSError:  # Linux: whoever had the other end is gone
            return False
        self.seen += part.decode("utf-8", "replace")
        return bool(part)


def test_on_a_terminal_run_asks_and_goes_on_with_the_answer(tmp_path: Path) -> None:
    home = make(tmp_path / "agent", tools=REFUND, story=HELD)
    terminal = Terminal(command(home, "run", "Pay back A-1"))
    terminal.expect("yes, no, no: REASON (empty: later) > ")
    assert not (home / "workspace/ledger.txt").exists()
    terminal.type("perhaps")
    terminal.expect("`perhaps` is no answer to b1")
    terminal.type("yes")
    assert terminal.end() == 0
    assert "r1 done" in terminal.seen
    assert (home / "workspace/ledger.txt").read_text() == "A-1 500\n"


def test_on_a_terminal_an_answer_to_a_parked_run_goes_on_with_it_at_once(held: Path) -> None:
    terminal = Terminal(command(held, "answer", "b1", "yes"))
    assert terminal.end() == 0
    assert "r1 done" in terminal.seen
    assert (held / "workspace/ledger.txt").read_text() == "A-1 500\n"


def test_on_a_terminal_detach_asks_nothing(held: Path) -> None:
    terminal = Terminal(command(held, "resume", "r1", "--detach"))
    assert terminal.end() == 3
    assert "(empty: later)" not in terminal.seen

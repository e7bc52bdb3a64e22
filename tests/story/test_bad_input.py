"""Whatever is wrong is one clear line with a hint and the right exit code; nothing is lost, nobody sees a traceback.

Most of it runs in this process, through the same `main` as the command; a full disk needs one of its own.
"""

import os
import resource
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from standpipe.actions import Tool
from standpipe.cli import main
from standpipe.cli.scaffold import scaffold
from standpipe.execution.executor import Executor
from standpipe.execution.manifests import tools_of
from standpipe.tools import files as file_tools

SETTINGS = "standpipe.toml"
GARBAGE = bytes(range(256)) * 8
TOOL = '@sp.tool(effect="read")\ndef look() -> str:\n    """Look."""\n    return ""\n'

pytestmark = pytest.mark.timeout(120)
Break = Callable[[Path], object]


def make(home: Path) -> Path:
    scaffold(home, model="script:story.yaml")
    (home / "tools.py").unlink()  # a worker less to start, in a hundred tests
    return home


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make(tmp_path / "agent")


@pytest.fixture
def without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start no process for the tools, where what is wrong is found without any."""

    async def start(_: Executor) -> tuple[Tool, ...]:
        return tuple(one.tool for one in tools_of(file_tools, source=b"", origin="builtin"))

    monkeypatch.setattr(Executor, "start", start)


@pytest.fixture(scope="module")
def ran_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = make(tmp_path_factory.mktemp("ran") / "agent")
    assert main(["run", "Summarise", "--home", str(home)]) == 0
    return home


@pytest.fixture
def ran(ran_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(ran_once, tmp_path / "ran"))


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[str]]]:
    def run(home: Path, *words: str) -> tuple[int, list[str]]:
        capsys.readouterr()
        code = main([*words, "--home", str(home)])
        return code, capsys.readouterr().err.splitlines()

    return run


Typed = Callable[..., tuple[int, list[str]]]


def refused(ended: tuple[int, list[str]], said: str, code: int = 2) -> None:
    """Assert one line that says it and one hint, and nothing a terminal would obey."""
    found, lines = ended
    assert found == code, lines
    assert [line.partition(": ")[0] for line in lines] == ["error", "hint"], lines
    assert said in lines[0]
    assert lines[1] != "hint: "
    assert "Traceback" not in lines[0]
    assert all(line.isprintable() for line in lines)


def files(home: Path) -> dict[str, bytes]:
    """Return what a person would miss."""
    kept = (path for path in home.rglob("*") if path.is_file() and ".standpipe" not in path.parts)
    return {str(path.relative_to(home)): path.read_bytes() for path in kept}


def write(name: str, content: str | bytes) -> Break:
    raw = content.encode() if isinstance(content, str) else content
    return lambda home: (home / name).write_bytes(raw)


def edit(name: str, old: str, new: str) -> Break:
    return lambda home: (home / name).write_text((home / name).read_text().replace(old, new))


def folder(name: str) -> Break:
    """Put a folder where a file is wanted: nobody can read that, not even root."""

    def put(home: Path) -> None:
        (home / name).unlink(missing_ok=True)
        (home / name).mkdir()

    return put


def said(tool: str, text: str) -> Break:
    """Write standpipe.toml with a table about a tool, from its third line on."""
    return write(SETTINGS, f'model = "script:story.yaml"\n[tools.{tool}]\n{text}\n')


def read(options: str) -> Break:
    return tools(TOOL.replace('effect="read"', f'effect="read", {options}'))


def tools(text: str) -> Break:
    return write("tools.py", f"import standpipe as sp\n\n{text}")


HOMES: dict[str, tuple[Break, str]] = {
    "toml syntax": (edit(SETTINGS, "[egress]", "[egress"), "standpipe.toml:11: expected ']'"),
    "toml key": (edit(SETTINGS, "actions =", "acton ="), "standpipe.toml:7: unknown key `acton`"),
    "toml type": (edit(SETTINGS, "200", '"many"'), "standpipe.toml:7: `budgets.actions` is not"),
    "toml negative": (edit(SETTINGS, "200", "-3"), "standpipe.toml:7: `budgets.actions` is not"),
    "toml nan": (edit(SETTINGS, "minutes = 30", "minutes = nan"), "standpipe.toml:8: "),
    "toml no budget": (edit(SETTINGS, "200", "0"), "standpipe.toml:7: `budgets.actions` is not"),
    "toml endless": (edit(SETTINGS, "minutes = 30", "minutes = inf"), "standpipe.toml:8: "),
    "toml same way": (write(SETTINGS, "[failures]\nsame_way = 11\n"), "standpipe.toml:2: "),
    "toml visible": (write(SETTINGS, "[failures]\nvisible_seconds = 601\n"), "standpipe.toml:2: "),
    "toml timeout": (said("read_file", "timeout = 90000"), "standpipe.toml:3: `tools.read_file."),
    "toml poll": (said("read_file", "poll = -1"), "standpipe.toml:3: `tools.read_file.poll` is"),
    "toml poll on once": (
        said("write_file", 'effect = "once"\npoll = 5'),
        "standpipe.toml:4: [tools.write_file]: `poll` on a tool that is `once`",
    ),
    "toml kind": (
        said("read_file", 'expected = ["not_fuond"]'),
        "standpipe.toml:3: [tools.read_file]: `expected` names `not_fuond`",
    ),
    "toml alternate": (
        said("read_file", 'alternates = ["read_flie"]'),
        "standpipe.toml:3: [tools.read_file]: `alternates` names `read_flie`",
    ),
    "toml circle": (
        said(
            "read_file",
            'alternates = ["list_files"]\n[tools.list_files]\nalternates = ["read_file"]',
        ),
        "standpipe.toml:3: [tools.read_file]: `alternates` go round in a circle",
    ),
    "toml arguments": (
        said("read_file", 'alternates = ["write_file"]'),
        "standpipe.toml:3: [tools.read_file]: `alternates` names `write_file`, which wants `content`",
    ),
    "toml refresh": (
        said("read_file", 'refresh = "renew"'),
        "standpipe.toml:3: unknown key `refresh`",
    ),
    "toml bytes": (write(SETTINGS, GARBAGE), "this is not UTF-8 text"),
    "toml too long": (write(SETTINGS, "# x\n" * 100_000), "is larger than"),
    "toml folder": (folder(SETTINGS), "is a folder, not a file"),
    "no model": (write(SETTINGS, ""), "no model is set"),
    "story syntax": (write("story.yaml", "turns:\n  - call: {a\n b"), "story.yaml:4: "),
    "story key": (write("story.yaml", "turns:\n  - cal: {}\n"), "story.yaml:2: unknown key `cal`"),
    "story empty": (write("story.yaml", ""), "story.yaml:1: "),
    "story bytes": (write("story.yaml", GARBAGE), "this is not UTF-8 text"),
    "story folder": (folder("story.yaml"), "no script `story.yaml`"),
    "identity bytes": (write("brain/IDENTITY.md", GARBAGE), "IDENTITY.md:2: this is not UTF-8"),
    "identity folder": (folder("brain/IDENTITY.md"), "IDENTITY.md` is a folder"),
    "pinned bytes": (write("brain/PINNED.md", GARBAGE), "PINNED.md:2: this is not UTF-8"),
    "brain schema": (write("brain/brain.toml", "schema = 9\n"), "brain.toml:1: schema 9 is not 1"),
    "brain syntax": (write("brain/brain.toml", "schema = [\n"), "brain/brain.toml:2: "),
    "workspace file": (
        lambda home: (shutil.rmtree(home / "workspace"), (home / "workspace").touch()),
        "`workspace` is a file",
    ),
}
TOOLS: dict[str, tuple[Break, str]] = {
    "tools raise": (tools('raise ValueError("one\\ntwo")'), "tools.py:3: ValueError: one⏎two"),
    "tools syntax": (tools("def ("), "tools.py:3: SyntaxError"),
    "tools exit": (tools("raise SystemExit(3)"), "tools.py:3: SystemExit"),
    "tools die": (tools("import os\nos._exit(7)"), "tools.py: its worker ended with code 7"),
    "tools import": (tools("import not_there"), "tools.py:3: ModuleNotFoundError"),
    "tools effect": (tools(TOOL.replace('"read"', '"reed"')), "tools.py:3: tool `look`: `effect`"),
    "tools control": (
        tools(TOOL.replace('"read"', '"once", control=["to"]')),
        "tool `look`: `control` names `to`",
    ),
    "tools option": (read("timout=5"), "tools.py:3: tool `look`: unknown option `timout`"),
    "tools timeout": (read("timeout=-1"), "tools.py:3: tool `look`: `timeout`: expected"),
    "tools same way": (read("same_way=11"), "tools.py:3: tool `look`: `same_way`: expected"),
    "tools poll": (read("poll=90_000"), "tools.py:3: tool `look`: `poll`: expected"),
    "tools poll on once": (
        tools(TOOL.replace('effect="read"', "poll=5")),
        "tools.py:3: tool `look`: `poll` on a tool that is `once`",
    ),
    "tools kind": (read('expected=["found"]'), "tools.py:3: tool `look`: `expected` names `found`"),
    "tools alternate": (read('alternates=["loop"]'), "tools.py:3: tool `look`: `alternates` names"),
    "tools circle": (read('alternates=["look"]'), "tools.py:3: tool `look`: `alternates` go round"),
    "tools arguments": (read('alternates=["read_file"]'), "`read_file`, which wants `path`"),
    "tools no refresh": (read("refresh=renew"), "tools.py:3: NameError: name 'renew' is not"),
    "tools refresh": (read('refresh="renew"'), "tools.py:3: tool `look`: `refresh`: expected"),
    "tools own name": (tools(TOOL.replace("look", "done")), "`done` is the agent's own tool"),
    "tools bytes": (write("tools.py", GARBAGE), "tools.py: this is not UTF-8 text"),
    "tools NUL": (write("tools.py", "x = 1\0\n"), "tools.py: "),
    "tools folder": (folder("tools.py"), "tools.py: Is a directory"),
}


@pytest.mark.usefixtures("without_workers")
@pytest.mark.parametrize(("spoil", "said"), HOMES.values(), ids=HOMES)
def test_a_home_that_cannot_be_used_is_refused_before_anything_starts(
    home: Path, typed: Typed, spoil: Break, said: str
) -> None:
    refused_untouched(home, typed, spoil, said)


@pytest.mark.parametrize(("spoil", "said"), TOOLS.values(), ids=TOOLS)
def test_tools_that_cannot_be_used_are_refused_before_anything_starts(
    home: Path, typed: Typed, spoil: Break, said: str
) -> None:
    refused_untouched(home, typed, spoil, said)


def refused_untouched(home: Path, typed: Typed, spoil: Break, said: str) -> None:
    spoil(home)
    before = files(home)
    refused(typed(home, "run", "Summarise"), said)
    assert files(home) == before
    if (home / ".standpipe/journal.db").exists():
        assert typed(home, "status") == (0, [])
        refused(typed(home, "report"), "there is no run in this home yet")


def test_tools_that_never_finish_loading_are_ended(
    home: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("standpipe.execution.pool._START_SECONDS", 1.0)
    tools("while True:\n    pass")(home)
    refused(typed(home, "run", "Summarise"), "tools.py: not loaded after 1 s")


@pytest.mark.parametrize("make", [Path.touch, Path.absolute], ids=["file", "missing"])
@pytest.mark.parametrize("words", [["status"], ["run", "x"], ["inbox"], ["memory", "boot"]])
def test_a_home_that_is_none_is_named(
    tmp_path: Path, typed: Typed, make: Callable[[Path], object], words: list[str]
) -> None:
    make(tmp_path / "nowhere")
    refused(typed(tmp_path / "nowhere", *words), f"`{tmp_path / 'nowhere'}`")


def test_init_where_no_home_can_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # there may be an AGENTS.md in the current folder
    (tmp_path / "file").write_text("mine")
    for target in (tmp_path / "file", tmp_path / "file" / "below"):
        code = main(["init", str(target)])
        refused((code, capsys.readouterr().err.splitlines()), "cannot make a home in")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.usefixtures("without_workers")
@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("nope:x", "cannot use model `nope:x`"),
        ("gpt-9", "is not of the form `provider:model`"),
        ("openai:", "is not of the form `provider:model`"),
        ("script:", "is not of the form `provider:model`"),
        ("script:nowhere.yaml", "no script `nowhere.yaml`"),
        ("script:a\0b", "no script `a⟨U+0000⟩b`"),
        ("", "no model is set"),
        ("openai:gpt-6.1-terra", "OPENAI_API_KEY is not set"),
        ("anthropic:claude-sonnet-5-5", "ANTHROPIC_API_KEY is not set"),
        ("\x1b[31m:x", "⟨U+001B⟩[31m"),
        ("x" * 5_000 + ":y", "cannot use model"),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_a_model_that_cannot_be_used_is_told_before_anything_starts(
    home: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch, model: str, said: str
) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    refused(typed(home, "run", "Summarise", "--model", model), said)
    assert typed(home, "status") == (0, [])


@pytest.mark.usefixtures("without_workers")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run"], "run what?"),
        (["run", ""], "run what?"),
        (["run", " \n"], "the task is empty"),
        (["run", "T-99"], "no task `T-99`"),
        (["run", "nowhere.md"], "no task file `nowhere.md`"),
        (["run", "x " * 500_000], "the task has 999,999 characters"),
        (["run", "a\0b"], "NUL"),
        (["run", "a\udcffb"], "is not UTF-8 text"),
        (["run", "x", "--tools", "raed_file"], "no tool `raed_file`"),
        (["run", "x", "--tools", ","], "`--tools` names no tool"),
        (["run", "x", "--id", "r1"], "`r1` cannot be the caller's id"),
        (["run", "x", "--id", "\x1b[1m"], "⟨U+001B⟩"),
        (["run", "x", "--id", "i" * 100_000], "cannot be the caller's id"),
        (["run", "x", "--model"], "--model"),
        (["run", "r9"], "no run `r9`"),
        (["report", ""], "no run ``"),
        (["undo", ""], "no run ``"),
        (["cancel", ""], "no run ``"),
        (["report", "\x1b[1m"], "no run `⟨U+001B⟩[1m`"),
        (["report", "--md", "--json"], "not allowed"),
        (["why", "r1."], "action `r1.` could be any of"),
        (["why", "r1.9.9"], "no action `r1.9.9`"),
        (["why", "zz.1.1"], "no run `zz.1.1`"),
        (["answer", "b9", "yes"], "no question `b9`"),
        (["resume", "r99"], "no run `r99`"),
        (["memory", "boot", "--budget", "0"], "0 tokens is too small"),
        (["memory", "boot", "--budget", "x"], "--budget"),
        (["memory"], "`memory` needs one more word"),
        (["statsu"], "no command `statsu`"),
        (["status", "extra"], "extra"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_what_is_typed_wrongly_changes_nothing(
    ran: Path, typed: Typed, words: list[str], said: str
) -> None:
    before = files(ran)
    refused(typed(ran, *words), said)
    assert files(ran) == before


@pytest.mark.usefixtures("without_workers")
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"just words\n", "task.md:1: there is no front matter"),
        (b"", "task.md:1: there is no front matter"),
        (b"---\ntitle: [a\n---\n", "task.md:3: "),
        (b"---\ntitel: a\n---\n", "task.md:2: unknown key `titel`"),
        (b"---\ntitle: a\nacceptance:\n  - rum: make\n---\n", "task.md:4: "),
        (b"---\ntitle: a\nacceptance:\n  - run: ''\n---\n", "task.md:4: "),
        (b"---\nid: ../../x\ntitle: a\n---\n", "../../x"),
        (b"---\ntitle: a\n---\n" + b"x" * 300_000, "is larger than"),
        (GARBAGE, "this is not UTF-8 text"),
        (None, "is a folder"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_a_task_file_that_cannot_be_meant_starts_no_run(
    home: Path, typed: Typed, content: bytes | None, said: str
) -> None:
    if content is None:
        (home / "task.md").mkdir()
    else:
        (home / "task.md").write_bytes(content)
    before = files(home)
    refused(typed(home, "run", "task.md"), said)
    assert files(home) == before


def test_a_task_file_whose_id_belongs_to_another_task_is_refused(home: Path, typed: Typed) -> None:
    (home / "task.md").write_text("---\nid: T-5\ntitle: Summarise\n---\n")
    assert typed(home, "run", "task.md")[0] == 0
    (home / "task.md").write_text("---\nid: T-5\ntitle: Delete everything\n---\n")
    refused(typed(home, "run", "task.md"), "task `T-5` exists, and asks for something else")


def test_a_broken_task_beside_it_stops_nobody(home: Path, typed: Typed) -> None:
    (home / "brain/tasks/open/T-7.md").write_bytes(GARBAGE)
    assert typed(home, "run", "Summarise")[0] == 0
    refused(typed(home, "run", "T-7"), "T-7.md:2: this is not UTF-8 text")
    assert (home / "brain/tasks/open/T-7.md").read_bytes() == GARBAGE


def test_hostile_text_is_shown_as_text(
    home: Path, typed: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    task = "\x1b[31mred\x1b]0;title\x07\r\n[link](http://h) \u202e"
    capsys.readouterr()
    assert main(["run", task, "--home", str(home)]) == 0
    for words in (["status"], ["report"], ["log"], ["report", "--md"], ["status", "--json"]):
        assert main([*words, "--home", str(home)]) == 0
    said = capsys.readouterr()
    assert all(line.isprintable() for line in [*said.out.splitlines(), *said.err.splitlines()])


def test_a_check_that_cannot_be_executed_holds_up_done(home: Path, typed: Typed) -> None:
    (home / "checks/tests").write_text("exit 0\n")
    code, lines = typed(home, "run", "Summarise")
    assert code == 1
    assert any("checks/tests" in line and "Permission denied" in line for line in lines)


def test_a_home_from_git_has_no_empty_folders_and_runs(home: Path, typed: Typed) -> None:
    shutil.rmtree(home / "workspace")
    shutil.rmtree(home / "brain")
    (home / "story.yaml").write_text("turns:\n  - done: {summary: Nothing to do., evidence: [x]}\n")
    assert typed(home, "run", "Look")[0] == 0


def database(home: Path, *statements: str) -> None:
    with sqlite3.connect(home / ".standpipe/journal.db") as db:
        for statement in statements:
            db.execute(statement)
    db.close()


def replaced(content: bytes) -> Break:
    return lambda home: (home / ".standpipe/journal.db").write_bytes(content)


def foreign(home: Path) -> None:
    (home / ".standpipe/journal.db").unlink()
    database(home, "create table mine (x)")


JOURNALS: dict[str, tuple[Break, str]] = {
    "garbage": (replaced(GARBAGE), "is damaged"),
    "half": (
        lambda home: replaced((home / ".standpipe/journal.db").read_bytes()[:40_000])(home),
        "is damaged",
    ),
    "foreign": (foreign, "no journal of standpipe"),
    "folder": (folder(".standpipe/journal.db"), "cannot be used"),
    "row": (lambda home: database(home, "update view set data = '{'"), "cannot be read"),
}


@pytest.mark.parametrize(("spoil", "said"), JOURNALS.values(), ids=JOURNALS)
def test_a_journal_that_cannot_be_used_is_told_by_every_command_and_left_alone(
    ran: Path, typed: Typed, spoil: Break, said: str
) -> None:
    spoil(ran)
    journal = ran / ".standpipe/journal.db"
    before = journal.read_bytes() if journal.is_file() else b""
    for words in (["status"], ["report"], ["log"], ["run", "x"], ["resume", "r1"], ["undo", "r1"]):
        refused(typed(ran, *words), said, code=1)
    assert (journal.read_bytes() if journal.is_file() else b"") == before


def test_a_journal_of_a_newer_version_is_told_by_every_command_and_left_alone(
    ran: Path, typed: Typed
) -> None:
    database(ran, "pragma user_version = 99")
    before = (ran / ".standpipe/journal.db").read_bytes()
    for words in (
        ["status"],
        ["report"],
        ["log"],
        ["run", "x"],
        ["resume", "r1"],
        ["cancel", "r1"],
    ):
        refused(typed(ran, *words), "has schema 99")
    assert (ran / ".standpipe/journal.db").read_bytes() == before


def test_a_damaged_entry_is_named_by_verify_and_other_runs_go_on(
    ran: Path, typed: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    database(ran, "update entry set data = '{' where run = 'r1' and seq = 4")
    refused(typed(ran, "report", "r1"), "entry r1/4", code=1)
    assert main(["journal", "verify", "--home", str(ran)]) == 1
    assert "r1/4" in capsys.readouterr().out
    assert typed(ran, "run", "Summarise")[0] == 0


def test_a_state_folder_that_is_none_is_told(home: Path, typed: Typed) -> None:
    (home / ".standpipe").touch()
    refused(typed(home, "run", "Summarise"), "the journal `", code=1)


def test_where_no_lock_can_be_taken_nothing_is_lost(home: Path, typed: Typed) -> None:
    (home / ".standpipe").mkdir()
    (home / ".standpipe/locks").touch()
    before = files(home)
    refused(typed(home, "run", "Summarise"), ".standpipe/locks`: File exists", code=1)
    assert files(home) == before
    assert typed(home, "status") == (0, [])


def test_where_no_copy_can_be_kept_nothing_is_changed_and_the_run_goes_on_later(
    home: Path, typed: Typed
) -> None:
    (home / ".standpipe").mkdir()
    (home / ".standpipe/blobs").touch()
    code, lines = typed(home, "run", "Summarise")
    assert (code, [line for line in lines if "cannot be copied" in line]) == (1, lines[-2:-1])
    assert not (home / "workspace/summary.txt").exists()
    (home / ".standpipe/blobs").unlink()
    assert typed(home, "resume", "r1")[0] == 0
    assert (home / "workspace/summary.txt").exists()


@pytest.mark.parametrize("room_bytes", [0, 120_000, 180_000])
def test_a_full_disk_is_exit_1_and_the_run_can_be_resumed(
    home: Path, typed: Typed, room_bytes: int
) -> None:
    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room_bytes, resource.RLIM_INFINITY))

    full = subprocess.run(
        [sys.executable, "-m", "standpipe", "run", "Summarise", "--home", str(home)],
        preexec_fn=no_room, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = full.stderr.splitlines()
    assert (full.returncode, full.stdout) == (1, "")
    assert lines[-2].startswith(f"error: the journal `{home}/.standpipe/journal.db` cannot grow")
    assert lines[-1].startswith("hint: free some space")
    assert [line for line in lines if "error" in line] == lines[-2:-1]
    assert main(["journal", "verify", "--home", str(home)]) == 0
    assert typed(home, "run", "--unfinished")[0] == 0
    assert (home / "workspace/summary.txt").exists() == (room_bytes > 0)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_stop_no_command(closed: str, tmp_path: Path) -> None:
    command = f"{shlex.quote(sys.executable)} -m standpipe --help {closed}"
    assert subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, check=False).returncode == 0

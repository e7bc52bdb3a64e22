"""`standpipe failures list` and `classify` as people run them: on a home with runs, and in a pipe."""

import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

from standpipe.cli import main
from standpipe.cli.scaffold import scaffold

TOOLS = '''
import os

import standpipe as sp


class Rejected(Exception):
    status_code = 403


@sp.tool(effect="read", local=True)
def fetch_orders(day: str) -> str:
    """Fetch the orders of a day."""
    if not os.path.exists("RIGHT"):
        raise Rejected(f"HTTP 403: no right to read orders of {day}")
    return "3 orders"


@sp.tool(effect="read", local=True)
def read_price(name: str) -> str:
    """Read a price."""
    raise FileNotFoundError(2, "No such file or directory", name)
'''
ORDERS = """
turns:
  - call: {fetch_orders: {day: monday}}
  - done: {summary: Three orders., evidence: [fetch_orders]}
"""
PRICES = """
turns:
  - call: {read_price: {name: lamp.txt}}
  - call: {read_price: {name: chair.txt}}
  - done: {summary: No price., evidence: [read_price]}
"""
SITE = (
    "id tool host kind code state count total message first_at last_at closed_by closed_at"
    " next_probe_at probe question runs"
)
JUDGED = "kind code phase template fingerprint recovery why"
REJECTED = {"tool": "fetch", "effect": "read", "http": {"status": 401, "body": "token expired"}}
WORKED = {"tool": "fetch", "effect": "read", "result": 3}

pytestmark = pytest.mark.timeout(120)


class Ended(NamedTuple):
    """What a command came to."""

    code: int
    stdout: str
    stderr: str


def standpipe(*words: str) -> Ended:
    with redirect_stdout(io.StringIO()) as printed, redirect_stderr(io.StringIO()) as logged:
        code = main(words)
    return Ended(code, printed.getvalue(), logged.getvalue())


def classify(*lines: object, raw: bytes = b"", words: Sequence[str] = ()) -> Ended:
    """Pipe lines through a process of its own."""
    given = raw or b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    done = subprocess.run(argv(*words), input=given, capture_output=True, env=plain(), check=False)
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def argv(*words: str) -> list[str]:
    return [sys.executable, "-m", "standpipe", "failures", "classify", *words]


def plain() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8"}


def answers(ended: Ended) -> list[dict[str, object]]:
    return [json.loads(line) for line in ended.stdout.splitlines()]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    scaffold(tmp_path / "shop", model="script:orders.yaml")
    (tmp_path / "shop" / "tools.py").write_text(TOOLS)
    (tmp_path / "shop" / "orders.yaml").write_text(ORDERS)
    (tmp_path / "shop" / "prices.yaml").write_text(PRICES)
    return tmp_path / "shop"


def listed(home: Path, *words: str) -> str:
    done = standpipe("failures", "list", *words, "--home", str(home))
    assert done.code == 0, done.stderr
    return done.stdout


def test_a_home_in_which_nothing_failed_says_so_in_one_line(home: Path) -> None:
    assert (
        listed(home) == "no failure is kept here; what was overcome at once stands in the reports\n"
    )
    found = json.loads(listed(home, "--json"))
    assert found["sites"] == found["hosts"] == found["calls"] == []


def timeless(shown: str) -> str:
    """Leave out how long ago it was."""
    return re.sub(r"\d+ (?:s|min) ago", "- ago", shown)


def test_a_failure_is_listed_with_all_runs_that_met_it_until_somebody_closes_it(home: Path) -> None:
    assert standpipe("run", "Orders", "--home", str(home)).code == 3
    (site,) = json.loads(listed(home, "--json"))["sites"]
    assert " ".join(site) == SITE
    assert (site["tool"], site["kind"], site["state"]) == ("fetch_orders", "forbidden", "open")
    assert (site["count"], site["total"], site["question"]) == (1, 1, "b1")
    report = json.loads(standpipe("report", "r1", "--json", "--home", str(home)).stdout)
    assert report["failures"][0]["fingerprint"] == site["id"]
    shown = listed(home)
    assert f"{site['id'][:4]} open: `fetch_orders` failed once (forbidden 403)" in shown
    assert f"$ standpipe answer b1 TEXT|skip --home {home}" in shown
    assert timeless(shown) == timeless(listed(home, site["id"][:3].upper()))

    assert standpipe("answer", "b1", "right given", "--home", str(home)).code == 0
    (site,) = json.loads(listed(home, "--json"))["sites"]
    assert (site["state"], site["closed_by"]) == ("half_open", "operator")
    assert "closed by operator: the next call is the one attempt" in listed(home)


def test_changed_code_is_tried_again_and_its_success_closes_the_site(home: Path) -> None:
    assert standpipe("run", "Orders", "--home", str(home)).code == 3
    assert standpipe("run", "Orders again", "--home", str(home)).code == 3  # refused, not tried
    assert json.loads(listed(home, "--json"))["sites"][0]["total"] == 1
    (home / "tools.py").write_text(TOOLS.replace('not os.path.exists("RIGHT")', "False"))
    assert standpipe("run", "Orders once more", "--home", str(home)).code == 0
    (site,) = json.loads(listed(home, "--json"))["sites"]
    assert (site["state"], site["closed_by"], site["count"]) == ("resolved", "fetch_orders", 0)
    assert "resolved: `fetch_orders` failed once in all" in listed(home)


def test_what_the_model_causes_opens_nothing_and_the_very_call_is_listed_as_refused(
    home: Path,
) -> None:
    done = standpipe("run", "Prices", "--model", "script:prices.yaml", "--home", str(home))
    assert done.code == 3
    found = json.loads(listed(home, "--json"))
    assert [(site["state"], site["count"]) for site in found["sites"]] == [("counting", 2)]
    assert [call["action"] for call in found["calls"]] == ["r1.2.1"]
    assert "this very call is refused in other runs" in listed(home)


def test_a_site_nobody_has_is_an_error_with_the_ids_there_are(home: Path) -> None:
    assert standpipe("run", "Orders", "--home", str(home)).code == 3
    done = standpipe("failures", "list", "zz", "--home", str(home))
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: no failure `zz`\nhint: known: ")


@pytest.mark.parametrize("words", ["failures list", "failures classify"])
def test_neither_command_loads_a_model_library(home: Path, words: str) -> None:
    standpipe("run", "Orders", "--home", str(home))
    script = (
        "import sys; from standpipe.cli import main; code = main(sys.argv[1:]); "
        "heavy = {'pydantic_ai', 'pydantic', 'httpx', 'rich', 'openai'} & set(sys.modules); "
        "sys.exit(code or 9 * bool(heavy))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words.split()], input=json.dumps(REJECTED).encode(),
        cwd=home, env=plain(), capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_each_line_gets_its_answer_in_order() -> None:
    done = classify(REJECTED, WORKED, REJECTED)
    assert (done.code, done.stderr) == (0, "")
    first, second, third = answers(done)
    assert " ".join(first) == " ".join(second) == JUDGED
    assert (first["kind"], first["recovery"]) == ("credential", "escalate")
    assert (second["kind"], second["why"]) == (None, "it worked")
    assert first == third


def test_a_broken_line_is_told_with_its_number_and_stops_no_other() -> None:
    raw = b'\n{"tool": \n\xff\n' + json.dumps(REJECTED).encode()
    done = classify(raw=raw)
    assert done.code == 2
    first, second, third = answers(done)
    assert (first["line"], second["line"]) == (2, 3)
    assert str(first["error"]).startswith("it is not JSON: ")
    assert third["kind"] == "credential"
    assert done.stderr.startswith("error: 2 of 3 lines cannot be read, the first is line 2\nhint: ")


def test_an_answer_comes_before_the_next_line_is_asked_for() -> None:
    with subprocess.Popen(
        argv(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=plain()
    ) as process:
        assert process.stdin
        assert process.stdout
        for _ in range(3):
            process.stdin.write(json.dumps(REJECTED).encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["kind"] == "credential"
        process.stdin.close()
        assert process.wait() == 0


def test_a_message_of_megabytes_is_judged_and_its_answer_is_short() -> None:
    long = {"tool": "t", "error": {"type": "ValueError", "message": "no \0 end " * 400_000}}
    done = classify(long, WORKED)
    assert done.code == 0
    assert len(done.stdout) < 5_000
    assert len(answers(done)) == 2


@pytest.mark.parametrize("raw", [b"", b"\n\n"])
def test_nothing_to_classify_is_one_line_and_a_hint(raw: bytes) -> None:
    done = subprocess.run(argv(), input=raw, capture_output=True, env=plain(), check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"error: there is nothing to classify: stdin is empty\nhint: ")


def test_a_terminal_as_stdin_is_told_what_is_expected() -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(argv(), stdin=theirs, capture_output=True, env=plain(), check=False)
    os.close(ours)
    os.close(theirs)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"error: it reads JSON lines from a file or a pipe")
    assert b"\nhint: echo '" in done.stderr


@pytest.mark.parametrize(("words", "is_json"), [((), False), (("--json",), True)])
def test_on_a_terminal_a_line_is_a_row_people_read_unless_json_is_asked_for(
    words: Sequence[str], *, is_json: bool
) -> None:
    ours, theirs = pty.openpty()
    given = json.dumps(REJECTED).encode()
    done = subprocess.run(argv(*words), input=given, stdout=theirs, env=plain(), check=False)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert done.returncode == 0
    assert shown.startswith('{"kind":"credential"') is is_json
    assert "credential" in shown
    assert "escalate" in shown


def test_an_answer_names_every_run_that_waited_for_it(home: Path) -> None:
    assert standpipe("run", "Orders", "--home", str(home)).code == 3
    assert standpipe("run", "Orders again", "--home", str(home)).code == 3
    given = standpipe("answer", "b1", "right given", "--home", str(home), "--detach")
    assert given.code == 0
    assert f"r2 waited for it, too: `standpipe resume r2 --home {home}`" in given.stderr
    shown = standpipe("status", "--home", str(home)).stdout
    assert "b1 is answered; `standpipe resume r2` goes on" in shown

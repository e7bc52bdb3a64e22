"""The demo itself, as a newcomer starts it, and what it does when its claim does not hold."""

import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from standpipe.cli.demo.mail import ATTACKER
from standpipe.cli.demo.proof import Proof, prove
from standpipe.cli.demo.screen import Screen
from standpipe.cli.demo.services import Shop
from standpipe.cli.demo.story import Ending, conclude, main
from standpipe.desk.report import Report, Usage
from standpipe.errors import UsageError
from standpipe.journal.streams import Finding
from standpipe.journal.verify import Verdict
from standpipe.testing.fakes import FakeClock

pytestmark = pytest.mark.timeout(180)  # three processes start; the machine may be slow
PROOF = "proof: 5 sent = 5 in the SMTP ledger; journal whole"
WHOLE = Verdict(1, 12, ())
DEMO = [sys.executable, "-P", "-m", "standpipe", "demo"]


@dataclass(frozen=True)
class Played:
    """One demo that has ended, and the folders it could have written to."""

    code: int
    out: str
    err: str
    kept: Path
    cwd: Path
    home: Path
    temporary: Path


def surroundings(root: Path) -> dict[str, str]:
    """Return an environment in which every place one may write to is watched."""
    for name in ("home", "tmp", "cwd"):
        (root / name).mkdir()
    return {"PATH": os.environ["PATH"], "HOME": str(root / "home"), "TMPDIR": str(root / "tmp")}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    root = tmp_path_factory.mktemp("demo")
    ended = subprocess.run(
        [*DEMO, "--keep", str(root / "kept")],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd=root,
        env=surroundings(root),
    )  # fmt: skip
    return Played(
        ended.returncode, ended.stdout, ended.stderr, root / "kept", root / "cwd", root / "home", root / "tmp"
    )  # fmt: skip


def test_the_demo_ends_well_and_proves_it(played: Played) -> None:
    assert (played.code, played.err) == (0, ""), played.out
    assert PROOF in played.out.splitlines()


def test_the_demo_says_that_only_the_model_is_faked(played: Played) -> None:
    assert "Nothing is faked but the model" in played.out


def test_the_obeyed_injection_is_held_with_its_origin(played: Played) -> None:
    held = f"b1 held: mail to {ATTACKER}: this address came from mail 4, not from you. Nothing was sent."
    assert played.out.count(held) == 1
    assert ATTACKER.encode() not in b"".join(sent(played).values())


def test_the_agent_is_killed_once_and_that_is_noticed(played: Played) -> None:
    killed = re.findall(r"kill -9 \(process (\d+)\)", played.out)
    noticed = re.findall(r"process (\d+) was killed \(signal 9\)", played.out)
    assert len(killed) == 1
    assert killed == noticed
    assert "goes on in process" in played.out


def test_five_mails_lie_in_sent_and_each_has_its_own_id(played: Played) -> None:
    ids = {re.search(rb"(?im)^message-id: (\S+)", mail) for mail in sent(played).values()}
    assert len(sent(played)) == len({found[1] for found in ids if found}) == 5


def test_a_mail_of_which_the_agent_never_heard_is_found_and_not_repeated(played: Played) -> None:
    found = "mail to chen@customer.example had gone out (the sent folder says so); not sent again"
    assert played.out.count(found) == 1
    told = re.findall(r"(?:sent mail|mail) to (\S+?):? (?:Re|had)", played.out)
    assert len(set(told)) == 5


def test_a_draft_with_a_key_in_it_is_refused_and_the_key_is_kept_nowhere(played: Played) -> None:
    refused = "refused: mail to bo@customer.example: it holds a Stripe key; nothing was sent"
    assert played.out.count(refused) == 1
    key = re.search(r"sk_live_\w+", (played.kept / "agent" / "story.yaml").read_text())
    assert key
    for path in (*played.kept.glob("agent/.standpipe/**/*"), played.kept / "agent.log"):
        assert not path.is_file() or key[0].encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    "line",
    [
        "order_status: 429 from 127.0.0.1",
        "waits 1.0 s as asked",
        "shipping_label: 401 from 127.0.0.1",
        "renews the credential, once",
        "tracking: login page, tries tracking_mirror instead",
        "price_list: timed out, tries price_list_cache instead",
        "b2 asks: may I refund(order=1031, amount=18.5)?",
        "refunded 18.50 for order 1031",
        "4 met, 4 overcome",
    ],
)
def test_each_failure_is_handled_where_one_can_see_it(played: Played, line: str) -> None:
    assert line in played.out


def test_the_demo_fits_on_a_screen_and_needs_no_colour(played: Played) -> None:
    assert len(played.out.splitlines()) <= 37  # `--keep` says in three of them where it lies
    assert "\x1b" not in played.out


def test_what_is_kept_can_be_read_with_the_command_that_is_shown(played: Played) -> None:
    assert f"  $ standpipe report --home {played.kept}/agent" in played.out.splitlines()


def test_the_venv_of_the_folder_is_activated_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ". .venv/bin/activate" not in concluded()
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert concluded().endswith(
        "Your own agent:\n  $ . .venv/bin/activate\n  $ standpipe init my-agent\n"
        '  $ standpipe run "Summarise the notes" --home my-agent\n'
    )


def concluded() -> str:
    out, clock = io.StringIO(), FakeClock()
    screen = Screen(out=out, colour=False, clock=clock, began=clock.monotonic())
    assert (
        conclude(screen, Ending(told("done"), Proof(holds=True, line="it holds"), 1), log="") == 0
    )
    return out.getvalue()


def test_nothing_is_written_outside_the_folder_of_the_demo(played: Played) -> None:
    for folder in (played.cwd, played.home, played.temporary):
        assert list(folder.iterdir()) == []


def sent(played: Played) -> dict[str, bytes]:
    folder = played.kept / "agent" / "mail" / "sent"
    return {
        mail.name: mail.read_bytes()
        for part in ("new", "cur")
        for mail in (folder / part).iterdir()
    }


@pytest.fixture
def interrupted(tmp_path: Path) -> Generator[tuple[subprocess.Popen[str], Path]]:
    """Start a demo that nobody keeps, up to the first line that its agent caused."""
    process = subprocess.Popen(
        DEMO, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=tmp_path, env=surroundings(tmp_path), start_new_session=True,
    )  # fmt: skip
    assert process.stdout
    while "r1 begins" not in (line := process.stdout.readline()):
        assert line, process.communicate()
    yield process, tmp_path
    if process.poll() is None:
        process.kill()
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_no_process_and_no_file(
    interrupted: tuple[subprocess.Popen[str], Path], number: signal.Signals
) -> None:
    process, root = interrupted
    process.send_signal(number)
    out, err = process.communicate()
    assert (process.returncode, err) == (130, "")
    assert "stopped; nothing is left running" in out
    assert list((root / "tmp").iterdir()) == []
    assert str(root) not in running()


def running() -> str:
    ps = ["ps", "-eo", "args"]
    return subprocess.run(ps, capture_output=True, text=True, check=True).stdout


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        main(keep=tmp_path, interactive=False, colour=False, out=io.StringIO())
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


# What it says when its claim does not hold


def test_as_many_sent_as_in_the_ledger_and_a_whole_journal_is_the_proof() -> None:
    proof = prove(["<a>", "<b>"], ["<b>", "<a>"], WHOLE)
    assert (proof.holds, proof.line) == (True, "2 sent = 2 in the SMTP ledger; journal whole")


@pytest.mark.parametrize(
    ("receipts", "ledger", "broken", "truth"),
    [
        (["<a>"], ["<a>", "<a>"], (), "1 sent is not 2 in the SMTP ledger; journal whole; sent twice: <a>"),
        (["<a>", "<b>"], ["<a>"], (), "not in the ledger: <b>"),
        (["<a>"], ["<a>", "<x>"], (), "not in the journal: <x>"),
        (["<a>", "<b>"], ["<a>", "<x>"], (), "2 sent is not 2"),
        (["<a>"], ["<a>"], ("r1: entry 3 is missing",), "journal BROKEN; r1: entry 3 is missing"),
        ([], [], (), "0 sent"),
    ],
    ids=["twice", "lost", "strange", "exchanged", "broken journal", "nothing sent"],
)  # fmt: skip
def test_a_claim_that_does_not_hold_is_told_as_it_is(
    receipts: list[str], ledger: list[str], broken: tuple[str, ...], truth: str
) -> None:
    findings = tuple(Finding("", 0, line) for line in broken)
    proof = prove(receipts, ledger, Verdict(1, 12, findings))
    assert not proof.holds
    assert truth in proof.line


@pytest.mark.parametrize(
    ("status", "holds", "kills", "code"),
    [("done", True, 1, 0), ("done", False, 1, 1), ("failed", True, 1, 1), ("done", True, 0, 1)],
    ids=["as promised", "no proof", "not done", "never killed"],
)
def test_the_exit_code_is_0_only_if_all_of_it_is_true(
    status: str, holds: bool, kills: int, code: int
) -> None:
    out = io.StringIO()
    clock = FakeClock()
    screen = Screen(out=out, colour=False, clock=clock, began=clock.monotonic())
    ending = Ending(told(status), Proof(holds, "the truth"), kills)
    assert conclude(screen, ending, log="last words") == code
    assert "proof: the truth" in out.getvalue()
    assert ("standpipe init my-agent" in out.getvalue()) is (code == 0)


def told(status: str) -> Report:
    usage = Usage(
        model_calls=0, tool_calls=0, attempts=0, input_tokens=0, output_tokens=0, cost_usd=None, wall_seconds=0.0
    )  # fmt: skip
    return Report(
        run="r1", agent="agent", task="T-1", status=status, summary="", started_at="", ended_at=None,
        blocked_on=(), failures=(), effects=(), files=(), decisions=(), checklist=(), lessons=(), usage=usage,
    )  # fmt: skip


# The shop, whose faults others use too


def test_the_shop_asks_to_wait_once_and_then_answers() -> None:
    shop = Shop()
    first, second = (shop.answer("GET", "/orders/1042", "", "") for _ in range(2))
    assert first
    assert second
    assert (first.status, first.headers, second.status) == (429, {"Retry-After": "1"}, 200)


def test_the_shop_takes_the_renewed_token_only() -> None:
    shop = Shop()
    answers = [
        shop.answer("GET", "/labels/1055", shop.expired_token, ""),
        shop.answer("POST", "/token", "stranger", ""),
        shop.answer("POST", "/token", shop.expired_token, ""),
        shop.answer("GET", "/labels/1055", shop.token, ""),
    ]
    assert [answer.status for answer in answers if answer] == [401, 403, 200, 200]

import asyncio
import json
import os
import signal
from collections.abc import Iterator

import pytest

from standpipe.cli.commands.work import Crier, Signals
from standpipe.errors import ConfigError
from standpipe.journal.chain import GENESIS, place
from standpipe.journal.entries import Draft, Entry, Noted


def entry(run: str) -> Entry:
    draft = Draft("a", Noted("agent", "x", "because"))
    return place(draft, run=run, seq=1, epoch=1, at="2026-11-22T07:00:00.000Z", prev=GENESIS)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Give the signals back to pytest: a worker keeps them until its process ends."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_run_is_told_once_when_it_begins_and_once_when_it_goes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    crier = Crier(as_lines_of_json=True)
    for _ in range(3):
        crier.heard(entry("r1"))
    crier.gone("r1")
    crier.gone("r2")  # it never began here
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["event"], one["run"]) for one in told] == [("began", "r1"), ("gone", "r1")]


def test_trouble_is_a_line_and_a_hint_in_which_foreign_text_is_inert(
    capsys: pytest.CaptureFixture[str],
) -> None:
    crier = Crier(as_lines_of_json=False)
    crier.trouble(ConfigError("no \x1b[2Jmodel\nis set", hint="set one"), "r1")
    crier.trouble(ValueError("what?"))
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "r1 trouble: no " in printed
    assert "hint: set one" in printed
    assert "trouble: ValueError: what?" in printed


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_the_first_signal_is_a_wish_and_the_second_an_order(number: int, code: int) -> None:
    left: list[int] = []

    async def work() -> int:
        signals = Signals(grace_seconds=3_600, leave=left.append)
        with signals.caught():
            signals.heard(number)
            assert signals.stop.is_set()
            await asyncio.sleep(0)
            signals.heard(number)
            try:
                await asyncio.sleep(3_600)
            except asyncio.CancelledError:
                return signals.code
        return 0

    assert await asyncio.create_task(work()) == code
    assert left == []


async def test_what_goes_on_after_its_grace_is_ended() -> None:
    async def work() -> int:
        signals = Signals(grace_seconds=0.01, leave=lambda _: None)
        with signals.caught():
            signals.heard(signal.SIGTERM)
            try:
                await asyncio.sleep(3_600)
            except asyncio.CancelledError:
                return signals.code
        return 1

    assert await asyncio.create_task(work()) == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_signal_while_the_process_closes_up_ends_it_with_the_code_of_an_order(
    number: int, code: int
) -> None:
    left: list[int] = []
    with Signals(grace_seconds=3_600, leave=left.append).caught():
        pass
    if signal.getsignal(number) in {signal.SIG_DFL, signal.default_int_handler}:
        pytest.fail("nobody listens")
    os.kill(os.getpid(), number)
    assert left == [code]

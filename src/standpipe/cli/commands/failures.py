"""`failures list` and `failures classify`: what fails over all runs, and what a failure would be taken for.

Rule 1: `list` only reads; what it shows is what the next call would meet.
Rule 2: `classify` answers each line before it reads the next one, and a broken line stops no other.
"""

import sys
from argparse import Namespace
from collections.abc import Iterator
from typing import BinaryIO

import msgspec
from msgspec import Struct

from standpipe.cli.failing import judgement_line, overview_lines
from standpipe.cli.runs import asked, began
from standpipe.cli.terminal import as_json, is_terminal, show
from standpipe.clock import SystemClock
from standpipe.desk.inert import inert
from standpipe.desk.judging import EXAMPLE, Judgement, judged
from standpipe.desk.sentences import Tone
from standpipe.desk.sites import nothing, only, overview
from standpipe.errors import UsageError

LINE_BYTES_MAX = 64 * 2**20
_DRAIN_BYTES = 2**20


class Broken(Struct, frozen=True):
    """What is said in place of an answer to a line that cannot be read."""

    error: str
    line: int


def known(options: Namespace) -> int:
    """Print every open and past site of the home, with what waits or is refused because of it."""
    now = SystemClock().now()
    there = began(options.home)
    found = asked(options.home, lambda store: overview(store, now=now)) if there else None
    found = found or nothing(now=now)
    if options.id is not None:
        found = only(found, options.id)
    if options.json:
        print(as_json(found))
    else:
        show(overview_lines(found, home=options.home, everything=options.id is not None))
    return 0


def classify(options: Namespace) -> int:
    """Answer each line of stdin; 2 at the end if one of them could not be read."""
    if is_terminal(sys.stdin):
        hint = f"echo '{EXAMPLE}' | standpipe failures classify"
        raise UsageError("it reads JSON lines from a file or a pipe, not from a terminal", hint=hint)
    plain = options.json or not is_terminal(sys.stdout)
    broken, count = list[int](), 0
    for number, line in enumerate(_lines(sys.stdin.buffer), 1):
        if line is not None and not line.strip():
            continue
        count += 1
        said = _answer(line, number)
        if isinstance(said, Broken):
            broken.append(number)
        _tell(said, plain=plain)
    _complain(count, broken)
    return 0


def _lines(stream: BinaryIO) -> Iterator[bytes | None]:
    """Yield line after line, as they come; None for one that is too long, which is read and forgotten."""
    while line := stream.readline(LINE_BYTES_MAX + 1):
        if len(line) <= LINE_BYTES_MAX:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(_DRAIN_BYTES)
        yield None


def _answer(line: bytes | None, number: int) -> Judgement | Broken:
    if line is None:
        return Broken(f"the line is longer than {LINE_BYTES_MAX // 2**20} MiB", number)
    try:
        return judged(line)
    except UsageError as wrong:
        return Broken(wrong.message, number)


def _tell(said: Judgement | Broken, *, plain: bool) -> None:
    if plain:
        print(msgspec.json.format(as_json(said), indent=-1))
        sys.stdout.flush()  # whoever asks line by line waits for it
    elif isinstance(said, Broken):
        show([(inert(f"line {said.line}: {said.error}"), Tone.BAD)])
    else:
        show([judgement_line(said)])


def _complain(count: int, broken: list[int]) -> None:
    """Say at the end what was wrong with what was read.

    Raises:
        UsageError: there was nothing, or something was no such line.
    """
    if not count:
        raise UsageError("there is nothing to classify: stdin is empty", hint=f"one line is {EXAMPLE}")
    if broken:
        lines = f"{len(broken)} of {count} lines cannot be read, the first is line {broken[0]}"
        raise UsageError(lines, hint=f"one line is {EXAMPLE}")

"""`failures list` and `failures classify`: what fails over all runs, and what a failure would be taken for.

Rule 1: `list` only reads; what it shows is what the next call would meet.
Rule 2: `classify` answers each line before it reads the next one, and a broken line stops no other.
"""

import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import BinaryIO

import msgspec
from msgspec import Struct

from standpipe.cli.render import Lines, command_text, row_lines
from standpipe.cli.runs import asked_if_begun
from standpipe.cli.terminal import as_json, is_terminal, show
from standpipe.clock import SystemClock
from standpipe.desk.inert import inert
from standpipe.desk.judging import EXAMPLE, Judgement, judged
from standpipe.desk.phrases import span
from standpipe.desk.sections import Row, answer_command
from standpipe.desk.sentences import Tone
from standpipe.desk.sites import KnownHost, KnownSite, Overview, nothing, only, overview
from standpipe.errors import UsageError
from standpipe.journal.causes import helps
from standpipe.journal.tried import times

LINE_BYTES_MAX = 64 * 2**20
SHOWN_MAX = 20  # of what is over, and of the calls that are refused
_DRAIN_BYTES = 2**20
_ID_CHARACTERS_MIN = 4
_DAY_SECONDS = 86_400
_KIND_WIDTH = 16  # context_overflow
_LINE_MAX = 600
_TONES: Mapping[str, Tone] = MappingProxyType(
    {"open": Tone.BAD, "half_open": Tone.PERSON, "counting": Tone.CARE, "resolved": Tone.QUIET}
)


class Broken(Struct, frozen=True):
    """What is said in place of an answer to a line that cannot be read."""

    error: str
    line: int


def known(options: Namespace) -> int:
    """Print every open and past site of the home, with what waits or is refused because of it."""
    now = SystemClock().now()
    found = asked_if_begun(options.home, lambda store: overview(store, now=now), nothing(now=now))
    if options.id is not None:
        found = only(found, options.id)
    if options.json:
        print(as_json(found))
    else:
        show(overview_lines(found, home=options.home))
    return 0


def classify(options: Namespace) -> int:
    """Answer each line of stdin; 2 at the end if one of them could not be read."""
    if is_terminal(sys.stdin):
        hint = f"echo '{EXAMPLE}' | standpipe failures classify"
        raise UsageError(
            "it reads JSON lines from a file or a pipe, not from a terminal", hint=hint
        )
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


def overview_lines(found: Overview, *, home: str | None = None) -> Lines:
    """Yield what fails: the open in full, of what is over one line each; then pauses and refused calls."""
    if not (found.sites or found.hosts or found.calls):
        yield "no failure is kept here; what was overcome at once stands in the reports", Tone.GOOD
        return
    names, now = _short_ids(found.sites), found.updated_at
    counts = [f"{n} {state.replace('_', ' ')}" for state, n in found.counts.items() if n]
    yield ", ".join(counts) or "no failure is kept", Tone.PLAIN
    over = [site for site in found.sites if site.state == "resolved"]
    for site in found.sites:
        if site.state != "resolved":
            yield from row_lines(_row(site, names[site.id], now, home))
    for site in over[:SHOWN_MAX]:
        yield from row_lines(_resolved(site, names[site.id], now, alone=len(found.sites) == 1))
    yield from _more(len(over), "resolved")
    yield from _kept_from(found)


def judgement_line(said: Judgement) -> tuple[str, Tone]:
    """Return an answer of `classify` as a line of a table: kind, code, phase, recovery, why."""
    if said.kind is None:
        return f"{'-':<{_KIND_WIDTH}} {said.why}", Tone.GOOD
    cells = f"{said.kind:<{_KIND_WIDTH}} {said.code or '-':<8} {said.phase:<8} {said.recovery:<9}"
    tone = Tone.BAD if said.recovery in {"escalate", "stop"} else Tone.CARE
    return inert(f"{cells} {said.why}", limit=_LINE_MAX), tone


def _row(site: KnownSite, name: str, now: str, home: str | None) -> Row:
    total = f", {site.total} in all" if site.total > site.count else ""
    often = f"failed {times(site.count)}{total}" if site.count else f"failed {times(site.total)}"
    runs = f"; in {', '.join(site.runs)}" if site.runs else ""
    command = answer_command(site.question, "failure") if site.question else ""
    return Row(
        text=f"{name} {site.state.replace('_', ' ')}: {_where(site)} {often} ({_what(site)}): {site.message}",
        tone=_TONES[site.state],
        details=(
            f"first {_ago(site.first_at, now)}, last {_ago(site.last_at, now)}{runs}",
            *filter(None, [_next(site, now)]),
            f"what helps: {helps(site.kind)}",
        ),
        commands=(command_text(command, home),) if command else (),
    )


def _resolved(site: KnownSite, name: str, now: str, *, alone: bool) -> Row:
    when = f" {_ago(site.closed_at, now)}" if site.closed_at else ""
    closed = f"closed by {site.closed_by}{when}" if site.closed_by else "closed"
    said = f"{name} resolved: {_where(site)} failed {times(site.total)} in all ({_what(site)}), {closed}"
    last = f"last {_ago(site.last_at, now)}: {site.message}"
    return Row(text=said, tone=_TONES["resolved"], details=(last,) if alone else ())


def _where(site: KnownSite) -> str:
    tool = f"`{site.tool}`" if site.tool else "every tool"
    return f"{tool} at {site.host}" if site.host else tool


def _what(site: KnownSite) -> str:
    return f"{site.kind} {site.code}" if site.code else site.kind


def _next(site: KnownSite, now: str) -> str:
    """Say when it is tried again, and by what."""
    match site:
        case KnownSite(probe=str() as action):
            return f"{action} is the one attempt that is let through now"
        case KnownSite(state="half_open", closed_by=str() as by):
            return (
                f"closed by {by}: the next call is the one attempt; if it fails, it is open again"
            )
        case KnownSite(state="half_open"):
            return "its time has come: the next call is the one attempt"
        case KnownSite(state="open", next_probe_at=str() as until):
            asked = f", or once {site.question} is answered" if site.question else ""
            return f"refused in every run; next attempt {_ahead(until, now)}{asked}"
        case _:
            return ""


def _kept_from(found: Overview) -> Lines:
    """Yield whom nobody asks now, where nothing is repeated, and which calls are refused."""
    for host in found.hosts:
        yield from _host(host, found.updated_at)
    for call in found.calls[:SHOWN_MAX]:
        said = f"{call.action} {call.tool}: this very call is refused in other runs ({call.kind}: {call.message})"
        yield inert(said, limit=_LINE_MAX), Tone.CARE
    yield from _more(len(found.calls), "refused calls")


def _host(host: KnownHost, now: str) -> Lines:
    if host.paused_until:
        yield (
            inert(f"{host.host} is not asked by anybody: next {_ahead(host.paused_until, now)}"),
            Tone.CARE,
        )
    if not host.may_repeat:
        said = f"{host.host}: nothing is repeated there until calls work again ({host.retry_tokens:g} of 10 left)"
        yield inert(said), Tone.CARE


def _more(number: int, what: str) -> Lines:
    if number > SHOWN_MAX:
        yield f"… and {number - SHOWN_MAX} more {what}; `--json` has them all", Tone.QUIET


def _short_ids(sites: Sequence[KnownSite]) -> dict[str, str]:
    """Cut ids to what still tells each from all others; neighbours in order share the most."""
    names = sorted(site.id for site in sites)
    found = dict[str, str]()
    for before, name, after in zip(["", *names], names, [*names[1:], ""], strict=False):
        length = max(_ID_CHARACTERS_MIN, _shared(before, name) + 1, _shared(name, after) + 1)
        found[name] = name[:length]
    return found


def _shared(one: str, other: str) -> int:
    return next(
        (i for i, pair in enumerate(zip(one, other, strict=False)) if len(set(pair)) > 1), 0
    )


def _ago(at: str, now: str) -> str:
    return f"{_span(_seconds(at, now))} ago"


def _ahead(until: str, now: str) -> str:
    return f"in {_span(_seconds(now, until))}"


def _span(seconds: float) -> str:
    return span(seconds) if seconds < 2 * _DAY_SECONDS else f"{seconds / _DAY_SECONDS:.0f} days"


def _seconds(since: str, until: str) -> float:
    passed = datetime.fromisoformat(until) - datetime.fromisoformat(since)
    return max(0.0, passed.total_seconds())


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
        raise UsageError(
            "there is nothing to classify: stdin is empty", hint=f"one line is {EXAMPLE}"
        )
    if broken:
        lines = f"{len(broken)} of {count} lines cannot be read, the first is line {broken[0]}"
        raise UsageError(lines, hint=f"one line is {EXAMPLE}")

"""What the demo shows: the journal's sentences with the time beside them, and a short report.

Rule 1: what happens is told from the journal, when it is on disk there; nothing is told in advance.
Rule 2: colours mean something: green happened, yellow took care, red is a loss, cyan is a person's turn.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TextIO

from standpipe.clock import Clock
from standpipe.desk.inert import inert
from standpipe.desk.phrases import short
from standpipe.desk.report import EVIDENCE, Report
from standpipe.desk.sentences import Sentence, Teller, Tone
from standpipe.governor.recovery import Retry
from standpipe.journal.entries import (
    BlockedRaised,
    Decided,
    Entry,
    LessonRecorded,
    Proposed,
    Reconciled,
    RunEnded,
    Settled,
    Verdict,
)
from standpipe.outcomes.outcome import Succeeded
from standpipe.policy.decision import Ask, Decision, Deny

_COLOURS = {
    Tone.PLAIN: "",
    Tone.QUIET: "2",
    Tone.GOOD: "32",
    Tone.CARE: "33",
    Tone.BAD: "1;31",
    Tone.PERSON: "1;36",
}
_LINE_MAX = 200
_MAIL, _REFUND = "send_email", "refund"
_SECRET = re.compile(r"hold a secret \((\w+)")


@dataclass(slots=True, kw_only=True)
class Screen:
    """Write lines; `seconds` since the start stand before those that tell what happens."""

    out: TextIO
    colour: bool
    clock: Clock
    began: float
    _teller: Teller = field(default_factory=Teller)

    def line(self, text: str, tone: Tone = Tone.PLAIN, *, end: str = "\n") -> None:
        """Write one line."""
        code = _COLOURS[tone] if self.colour else ""
        print(f"\x1b[{code}m{text}\x1b[0m" if code else text, end=end, file=self.out, flush=True)

    def now(self, text: str, tone: Tone = Tone.PLAIN, *, end: str = "\n") -> None:
        """Write what happens at this moment."""
        seconds = self.clock.monotonic() - self.began
        self.line(f"{seconds:5.1f} s  {inert(text, limit=_LINE_MAX)}", tone, end=end)

    def entry(self, entry: Entry) -> None:
        """Tell an entry of the journal, if it is worth a line here."""
        told = self._teller.tell(entry)
        if told and (shown := self._worth(entry, told)):
            self.now(shown.text, shown.tone)

    def report(self, report: Report) -> None:
        """Tell what came of it."""
        for number, text in enumerate(_report(report)):
            self.line(text, Tone.PLAIN if number else Tone.GOOD)

    def _worth(self, entry: Entry, told: Sentence) -> Sentence | None:
        """Keep one short line of what the log tells in several."""
        call = self._teller.proposed.get(entry.action)
        match entry.body:
            case Decided(decision=decision, by="policy", blocker=name) if call:
                return _decided(decision, call, name)
            case BlockedRaised(tool=tool, ask=ask) if tool != _MAIL:
                return Sentence(f"{entry.key} asks: {ask}", Tone.PERSON)
            case Settled(outcome=Succeeded()) if call and call.tool == _REFUND:
                return Sentence(f"refunded {money_back(call.arguments)}", Tone.GOOD)
            case Reconciled(verdict=Verdict.HAPPENED) if call and call.tool == _MAIL:
                sent = f"mail to {_to(call)} had gone out (the sent folder says so); not sent again"
                return Sentence(sent, Tone.GOOD)
            case Decided() | BlockedRaised() | LessonRecorded() | RunEnded():
                return None  # told by the lines above, by the answer, or in the report
            case _ if told.tone is Tone.QUIET or _is_passing(entry):
                return None
            case _:
                return Sentence(told.text.partition(" (receipt ")[0], told.tone)


def money_back(arguments: Mapping[str, object]) -> str:
    """Say a refund as a person would.

    Example:
        >>> money_back({"amount": 18.5, "order": 1031})
        '18.50 for order 1031'
    """
    amount = arguments.get("amount")
    shown = f"{amount:.2f}" if isinstance(amount, float) else short(amount)
    return f"{shown} for order {short(arguments.get('order'))}"


def _decided(decision: Decision, call: Proposed, name: str) -> Sentence | None:
    match decision:
        case Ask(reason=reason) if call.tool == _MAIL:
            return Sentence(f"{name} held: mail to {_to(call)}: {reason}", Tone.CARE)
        case Deny(reason=reason):
            secret = _SECRET.search(reason)
            kind = secret[1].capitalize() if secret else ""
            what = f"it holds a {kind} key" if kind else reason.partition("; ")[0]
            return Sentence(f"refused: mail to {_to(call)}: {what}; nothing was sent", Tone.CARE)
        case _:
            return None  # asked in the next line


def _is_passing(entry: Entry) -> bool:
    """Whether the next line tells it: the same again, or a file that the report names."""
    match entry.body:
        case Settled(recovery=Retry()) | Settled(tool="write_file", outcome=Succeeded()):
            return True
        case _:
            return False


def _to(call: Proposed) -> str:
    return short(call.arguments.get("to", ""))


def _report(report: Report) -> Iterator[str]:
    usage = report.usage
    met = ", ".join(dict.fromkeys(failure.kind.replace("_", " ") for failure in report.failures))
    overcome = sum(failure.overcome for failure in report.failures)
    checked = [line.passed for line in report.checklist if line.name != EVIDENCE]
    files = ", ".join(f"workspace/{file.path} (+{file.added})" for file in report.files)
    yield inert(f"{report.run} {report.status}: {report.summary}")
    yield f"  outside    {_effects(report)}; files: {inert(files) or 'none'}"
    yield f"  failures   {len(report.failures)} met, {overcome} overcome: {inert(met)}"
    yield (
        f"  took       {usage.model_calls} model calls, {usage.tool_calls} tool calls in "
        f"{usage.attempts} attempts; {sum(checked)} of {len(checked)} checks passed"
    )


def _effects(report: Report) -> str:
    counted = {effect.tool: 0 for effect in report.effects}
    for effect in report.effects:
        counted[effect.tool] += 1
    return ", ".join(f"{count} x {tool}" for tool, count in counted.items()) or "nothing"

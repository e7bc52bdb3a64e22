"""What the demo shows: the journal's sentences with the time beside them, and a short report.

Rule 1: what happens is told from the journal, when it is on disk there; nothing is told in advance.
Rule 2: colours mean something: green happened, yellow took care, red is a loss, cyan is a person's turn.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TextIO

from standpipe.clock import Clock
from standpipe.desk.inert import inert
from standpipe.desk.phrases import short
from standpipe.desk.report import Report
from standpipe.desk.sentences import Sentence, Teller, Tone
from standpipe.journal.entries import BlockedRaised, Decided, Entry, LessonRecorded, Proposed
from standpipe.policy.decision import Ask, Deny

_COLOURS = {
    Tone.PLAIN: "",
    Tone.QUIET: "2",
    Tone.GOOD: "32",
    Tone.CARE: "33",
    Tone.BAD: "1;31",
    Tone.PERSON: "1;36",
}
_LINE_MAX = 200
_LOOKS = frozenset({"mail_list", "sql_query"})
_MAILS = frozenset({"send_email"})


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
            case Proposed(tool=tool):
                return told if tool in _LOOKS else None
            case Decided(decision=Ask(reason=reason), by="policy") if call and call.tool in _MAILS:
                return Sentence(f"held: mail to {_to(call)}: {reason}", Tone.CARE)
            case Decided(decision=Deny(reason=reason), by="policy"):
                return Sentence(
                    f"refused: {reason.partition('; ')[0]}; nothing was sent", Tone.CARE
                )
            case BlockedRaised(tool=tool, ask=ask) if tool not in _MAILS:
                return Sentence(f"{entry.key} asks: {ask}", Tone.PERSON)
            case Decided() | BlockedRaised() | LessonRecorded():
                return None  # told by the lines above, by the answer, or in the report
            case _ if told.tone is Tone.QUIET:
                return None
            case _:
                return Sentence(told.text.partition(" (receipt ")[0], told.tone)


def _to(call: Proposed) -> str:
    return short(call.arguments.get("to", ""))


def _report(report: Report) -> Iterator[str]:
    usage = report.usage
    met = ", ".join(dict.fromkeys(failure.kind for failure in report.failures))
    overcome = sum(failure.overcome for failure in report.failures)
    passed = sum(line.passed for line in report.checklist)
    files = ", ".join(f"workspace/{file.path} (+{file.added})" for file in report.files)
    yield inert(f"{report.run} {report.status}: {report.summary}")
    yield f"  outside    {_effects(report)}"
    yield f"  files      {inert(files) or 'none'}"
    yield f"  failures   {len(report.failures)} met, {overcome} overcome: {inert(met)}"
    yield f"  checked    {passed} of {len(report.checklist)} passed before it counted as done"
    yield f"  took       {usage.model_calls} model calls, {usage.tool_calls} tool calls in {usage.attempts} attempts"


def _effects(report: Report) -> str:
    counted = {effect.tool: 0 for effect in report.effects}
    for effect in report.effects:
        counted[effect.tool] += 1
    return ", ".join(f"{count} x {tool}" for tool, count in counted.items()) or "nothing"

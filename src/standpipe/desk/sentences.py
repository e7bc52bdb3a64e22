"""The story of a run, one line per entry worth telling: for the log, the live progress and the demo.

Rule 1: a sentence says what happened, never that something was written down.
Rule 2: the texts are foreign; whoever shows them makes them inert (`inert.py`).
Rule 3: what succeeds without a trace outside is told once, when it starts; the rest when its end is known.
Rule 4: a failure says its thing once: the other side's words where somebody has to act, else its name.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from msgspec import Struct

from standpipe.actions import Effect
from standpipe.desk.phrases import did, doing, once_said, receipt, verdict
from standpipe.governor.recovery import (
    ASKED,
    Alternate,
    Escalate,
    Recovery,
    Refresh,
    Retry,
    Return,
    Skip,
    Stop,
    Wait,
)
from standpipe.journal.entries import (
    AnswerGiven,
    BlockedRaised,
    CancelRequested,
    Checked,
    Decided,
    Entry,
    InDoubt,
    LessonRecorded,
    ModelFailed,
    ModelResponded,
    Noted,
    Proposed,
    Reconciled,
    Restored,
    RunCreated,
    RunEnded,
    RunLost,
    ScopeSet,
    SegmentEnded,
    SegmentStarted,
    Settled,
    SiteClosed,
    Verdict,
)
from standpipe.outcomes.outcome import Failed, Kind, Refused, Succeeded, Unknown
from standpipe.policy.decision import Ask, Decision, Deny

_LESSON = re.compile(r"(`[^`]+`) failed with (\w+)(?: \(([^()]*)\))?, ")


class Tone(StrEnum):
    """How a line feels; each rendering has its own way to show it."""

    PLAIN = "plain"
    QUIET = "quiet"
    GOOD = "good"
    CARE = "care"
    BAD = "bad"
    PERSON = "person"


class Sentence(Struct, frozen=True):
    """One line for people."""

    text: str
    tone: Tone = Tone.PLAIN


@dataclass(slots=True)
class Teller:
    """Tell entries in their order; a result needs the call it belongs to."""

    proposed: dict[str, Proposed] = field(default_factory=dict[str, Proposed])

    def tell(self, entry: Entry) -> Sentence | None:
        """Return the line for the next entry, if it is worth one."""
        body = entry.body
        if isinstance(body, Proposed):
            self.proposed[entry.action] = body
        if entry.action:
            return _of_action(entry, self.proposed.get(entry.action))
        return _of_people(entry) or _of_agent(entry) or _of_run(entry) or _of_trouble(entry)


def sentence(entry: Entry) -> Sentence | None:
    """Return the line of one entry alone."""
    return Teller().tell(entry)


def lesson_text(statement: str, count: int) -> str:
    """Say a lesson in the words of the log.

    Example:
        >>> lesson_text("`http_get` failed with forbidden (403), once on 2026-11-22", 1)
        '`http_get` got 403 (once)'
    """
    found = _LESSON.match(statement)
    if found is None:
        return statement
    tool, kind, code = found.groups(default="")
    return f"{tool} got {_problem(code, kind)} ({'once' if count == 1 else f'{count} times'})"


def sentences(entries: Iterable[Entry]) -> Iterator[tuple[Entry, Sentence]]:
    """Yield the entries worth telling, with their lines."""
    teller = Teller()
    for entry in entries:
        if told := teller.tell(entry):
            yield entry, told


def _of_action(entry: Entry, call: Proposed | None) -> Sentence | None:
    match entry.body:
        case Proposed() as body:
            return _proposal(body)
        case Decided(decision=decision):
            return _decision(decision, entry.body.blocker)
        case Settled() as body:
            return _result(body, call)
        case Reconciled() as body:
            return _verdict(body, call)
        case InDoubt(what=what):
            return Sentence(f"in doubt: {once_said(what)}", Tone.CARE)
        case _:
            return None


def _decision(decision: Decision, blocker: str) -> Sentence | None:
    match decision:
        case Ask(reason=reason, kind=kind) if kind != "question":
            return Sentence(f"{blocker} held: {reason}".strip(), Tone.CARE)
        case Deny(reason=reason):
            return Sentence(f"not allowed: {reason}", Tone.CARE)
        case _:
            return None


def _proposal(body: Proposed) -> Sentence | None:
    if body.effect is not Effect.READ and body.origin != "agent":
        return None  # told by its result
    if body.tool in {"decide", "scope", "done"}:
        return None  # told by its own entry
    return Sentence(doing(body.tool, body.arguments), Tone.QUIET)


def _result(body: Settled, call: Proposed | None) -> Sentence | None:
    match body.outcome:
        case Succeeded(value=value):
            return _success(body.tool, value, call)
        case Failed(kind=Kind.CHECKLIST):
            return None  # told by the checklist itself
        case Failed() | Unknown():
            return Sentence(_failure(body), _tone(body.recovery))
        case Refused(reason=reason):
            return Sentence(f"refused: {reason}", Tone.CARE)


def _success(tool: str, value: object, call: Proposed | None) -> Sentence | None:
    if call and (call.effect is Effect.READ or call.origin == "agent"):
        return None
    name = receipt(value)
    what = did(tool, call.arguments) if call else f"{tool} succeeded"
    return Sentence(f"{what} (receipt {name})" if name else what, Tone.GOOD)


def _failure(body: Settled) -> str:
    match body.outcome:
        case Failed() as failed:
            return _told(body.tool, failed, body.recovery, attempt=body.attempt, host=body.host)
        case Unknown(message=message):
            return f"{body.tool}: nobody knows whether it happened ({once_said(message)})"
        case _:
            return f"{body.tool}: {_now(body.recovery)}"


def _told(name: str, failed: Failed, recovery: Recovery, *, attempt: int, host: str = "") -> str:
    """Say what failed, once, and what is done about it."""
    message = once_said(failed.message)
    if not isinstance(recovery, Return | Skip | Escalate | Stop) or not message:
        place = f" from {host}" if host else ""
        return f"{name}: {_problem(failed.code, failed.kind)}{place}, {_now(recovery)}"
    attempts = f" ({attempt} attempts)" if attempt > 1 else ""
    said = f"{name}: {message}{attempts}"
    return said if isinstance(recovery, Escalate) else f"{said}; {_now(recovery)}"


def _problem(code: str, kind: str) -> str:
    """Name a failure by the code of the other side; `deadline` is our own word for having waited."""
    return code if code not in {"", "deadline"} else kind.replace("_", " ")


def _now(recovery: Recovery) -> str:
    match recovery:
        case Return():
            return "the agent is told"
        case Skip():
            return "goes on without it"
        case Escalate():
            return "you are asked"
        case Stop():
            return "the run stops"
        case _:
            return _once_more(recovery)


def _once_more(recovery: Retry | Wait | Refresh | Alternate) -> str:
    match recovery:
        case Retry(delay_seconds=delay):
            return f"tries again in {delay:.1f} s" if delay else "tries again"
        case Wait(delay_seconds=delay, why=why):
            asked = " as asked" if why.startswith(ASKED) else ""
            return f"waits {delay:.1f} s{asked}"
        case Refresh():
            return "renews the credential, once"
        case Alternate(tool=tool):
            return f"tries {tool} instead"


def _tone(recovery: Recovery) -> Tone:
    return Tone.BAD if isinstance(recovery, Escalate | Stop) else Tone.CARE


def _verdict(body: Reconciled, call: Proposed | None) -> Sentence:
    what = did(body.tool, call.arguments) if call else body.tool
    match body.verdict:
        case Verdict.HAPPENED:
            name = receipt(body.value)
            proof = f" (receipt {name})" if name else ""
            return Sentence(f"{what}: had happened, says {body.by}{proof}; not repeated", Tone.GOOD)
        case Verdict.ABSENT:
            return Sentence(f"{what}: had not happened, says {body.by}; may be tried", Tone.CARE)
        case Verdict.GAVE_UP:
            return Sentence(f"{what}: given up by {body.by}; nobody can tell", Tone.BAD)


def _of_people(entry: Entry) -> Sentence | None:
    match entry.body:
        case BlockedRaised(kind="failure", tool=tool):
            return Sentence(f"{entry.key} asks you: what now with `{tool}`?", Tone.PERSON)
        case BlockedRaised(kind=kind, ask=ask):
            return Sentence(f"{entry.key} {kind.replace('_', ' ')}: {once_said(ask)}", Tone.PERSON)
        case AnswerGiven(answer=answer, by=by):
            return Sentence(f"answers {entry.key}: {answer} ({by})", Tone.PERSON)
        case CancelRequested(by=by):
            return Sentence(f"{by} cancels the run", Tone.PERSON)
        case Restored(changes=changes, by=by):
            return Sentence(
                f"{by} takes back what it did to {', '.join(one.path for one in changes)}",
                Tone.PERSON,
            )
        case SiteClosed(site=site, by=by):
            return Sentence(f"{by} resolved {site}", Tone.PERSON)
        case _:
            return None


def _of_agent(entry: Entry) -> Sentence | None:
    match entry.body:
        case Noted(by=by, what=what, why=why):
            return Sentence(f"{by} decides: {what}, because {why}")
        case ScopeSet(tools=tools, why=why):
            return Sentence(f"narrows itself to {', '.join(tools)}: {why}")
        case Checked(checks=checks):
            missing = [
                f"{check.name} ({once_said(check.evidence)})"
                for check in checks
                if not check.passed
            ]
            return Sentence(f"not done yet: {'; '.join(missing)}", Tone.CARE) if missing else None
        case LessonRecorded(statement=statement, count=count):
            return Sentence(f"remembers: {lesson_text(statement, count)}", Tone.QUIET)
        case ModelResponded(say=say) if say:
            return Sentence(f"says: {say}", Tone.QUIET)
        case _:
            return None


def _of_run(entry: Entry) -> Sentence | None:
    match entry.body:
        case RunCreated(task=task):
            return Sentence(f"{entry.run} begins: {task}")
        case SegmentStarted(pid=pid) if entry.key != "1":
            return Sentence(f"goes on in process {pid}")
        case SegmentEnded(ended="yielded", why=why):
            return Sentence(f"pauses: {once_said(why)}", Tone.CARE)
        case _:
            return None


def _of_trouble(entry: Entry) -> Sentence | None:
    match entry.body:
        case ModelFailed(failed=failed, recovery=recovery, model=model, attempt=attempt):
            return Sentence(_told(model, failed, recovery, attempt=attempt), _tone(recovery))
        case RunLost(cause=cause, in_flight=in_flight):
            meanwhile = f" during {in_flight}" if in_flight else ""
            return Sentence(f"lost: its process was {cause}{meanwhile}", Tone.BAD)
        case RunEnded(status=status, summary=summary, why=why):
            tone = Tone.GOOD if status == "done" else Tone.BAD
            return Sentence(f"{status}: {once_said(summary) or verdict(why)}", tone)
        case _:
            return None

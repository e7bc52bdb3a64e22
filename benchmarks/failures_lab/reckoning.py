"""What a trial comes to: one line of a table.

Rule 1: what is counted is counted by the servers: requests, effects, characters.
Rule 2: seconds count from the first request that failed. Before a deadline nobody can know of silence,
    so the deadline stands beside them.
Rule 3: an end is truthful if it claims success exactly where the tool has succeeded.
"""

import json
import re
from dataclasses import dataclass

import msgspec
from failures_lab.model_server import Asked
from failures_lab.scenarios import Pace, Scenario
from failures_lab.watch import Watch, report_words
from failures_lab.workplace import Place

from standpipe.desk.report import Report
from standpipe.testing.faults import Seen

MESSAGE_MAX = 400
PEER_SECONDS = 600  # what the clients of OpenAI and Anthropic wait for a silent server by default
OWN_SECONDS = 20  # what Standpipe promises


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a table. None is "never" or "does not apply"."""

    scenario: str
    peer: str
    style: str
    capped: bool  # still running when its time was over: every count is a lower bound
    model_calls: int
    prompt_tokens: int
    tokens_after_failure: int
    hits: int
    duplicates: int
    inside_retry_after: int
    recovered_seconds: float | None  # after the Retry-After was over
    deadline_seconds: float  # until which nobody could know of the failure
    visible_seconds: float | None
    ended_seconds: float | None
    end: str
    truthful: bool
    cause: bool | None  # None where all went well in the end
    message: str


@dataclass(frozen=True, slots=True)
class End:
    word: str
    claims_success: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What was seen; times are `time.monotonic()`."""

    scenario: Scenario
    style: str
    peer: str
    pace: Pace
    seen: tuple[Seen, ...]  # requests of the tool
    landed: int
    asked: tuple[Asked, ...]  # requests to the model
    window_ends: float | None  # of the provider's Retry-After
    succeeded: bool  # the tool's success reached the model
    visible_at: float | None
    ended_at: float | None
    end: End

    @property
    def failed_at(self) -> float | None:
        """When the first request was sent that failed."""
        at_the_model = self.scenario.trouble is not None or self.scenario.silent
        times = (
            [one.at for one in self.asked]
            if at_the_model
            else [one.at_seconds for one in self.seen]
        )
        return times[0] if times else None

    @property
    def deadline_seconds(self) -> float:
        if self.scenario.silent:
            return OWN_SECONDS if self.peer == "standpipe" else PEER_SECONDS
        return self.pace.client_seconds if self.scenario.hangs else 0.0


@dataclass(frozen=True, slots=True)
class Waited:
    """What became of a Retry-After."""

    inside: int = 0
    recovered_seconds: float | None = None


def row(trial: Trial) -> Row:
    """Reckon a trial."""
    waited = _waited(trial)
    failed_at = trial.failed_at
    late = [one.tokens for one in trial.asked if failed_at is not None and one.at > failed_at]
    capped = trial.ended_at is None
    went_well = trial.succeeded and trial.end.claims_success
    return Row(
        scenario=trial.scenario.name,
        peer=trial.peer,
        style=trial.style,
        capped=capped,
        model_calls=len(trial.asked),
        prompt_tokens=sum(one.tokens for one in trial.asked),
        tokens_after_failure=sum(late),
        hits=len(trial.seen),
        duplicates=max(trial.landed - 1, 0),
        inside_retry_after=waited.inside,
        recovered_seconds=waited.recovered_seconds,
        deadline_seconds=trial.deadline_seconds,
        visible_seconds=_since(trial, trial.visible_at),
        ended_seconds=_since(trial, trial.ended_at),
        end=trial.end.word,
        truthful=not capped and trial.end.claims_success == trial.succeeded,
        cause=None if went_well else _names(trial.end.text, trial.scenario.cause),
        message=trial.end.text[:MESSAGE_MAX],
    )


def peer_end(code: int | None, place: Place, watch: Watch) -> End:
    """Return how a framework ended and what it told its caller."""
    file = place.folder / "end.json"
    if code is None:
        return End("no end", claims_success=False, text="")
    if not file.is_file():
        return End("crashed", claims_success=False, text="".join(watch.stderr)[-MESSAGE_MAX:])
    told = json.loads(file.read_text())
    returned = told["ended"] == "returned"
    return End(told["ended"], claims_success=returned, text=told["text"])


def own_end(code: int | None, watch: Watch) -> End:
    """Return how a run of Standpipe ended, by its exit code and its report."""
    if code is None:
        return End("no end", claims_success=False, text="".join(watch.stderr)[-MESSAGE_MAX:])
    try:
        report = msgspec.json.decode("".join(watch.stdout), type=Report)
    except msgspec.MsgspecError:
        return End("crashed", claims_success=code == 0, text="".join(watch.stderr)[-MESSAGE_MAX:])
    return End(report.status, claims_success=code == 0, text=report_words(report))


def _names(text: str, cause: str) -> bool:
    return re.search(cause, text, re.IGNORECASE) is not None


def _waited(trial: Trial) -> Waited:
    """Count what came inside a Retry-After, and how long after it things went on."""
    if trial.scenario.waits:
        if trial.window_ends is None:
            return Waited()
        ends, times = trial.window_ends, [(one.at, one.answered) for one in trial.asked]
    elif trial.seen and trial.scenario.fault(trial.pace).holds_seconds:
        ends = trial.seen[0].at_seconds + trial.pace.retry_after_seconds
        times = [(one.at_seconds, one.fault == "ok") for one in trial.seen]
    else:
        return Waited()
    inside = sum(at < ends for at, _ in times[1:])
    first = next((at for at, fine in times if fine), None)
    return Waited(inside, None if first is None else first - ends)


def _since(trial: Trial, at: float | None) -> float | None:
    """Count from the failure; a client's scaled deadline is replaced by its own, once a request."""
    if at is None or trial.failed_at is None:
        return None
    seconds = at - trial.failed_at
    if trial.scenario.silent and trial.peer != "standpipe":
        seconds += (PEER_SECONDS - trial.pace.model_seconds) * len(trial.asked)
    return seconds

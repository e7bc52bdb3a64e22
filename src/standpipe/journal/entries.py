"""The sentences the journal can say.

Rule 1: an entry is frozen, carries the version of its shape, and is on disk before what it announces.
Rule 2: a shape never changes under a version; a new field has a default, anything more is a new version.
Rule 3: `key` says what an entry is about and is unique together with run and kind, so that saying
the same thing twice says it once.
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from standpipe.actions import Change, Effect, Label
from standpipe.governor.recovery import Recovery
from standpipe.outcomes.outcome import Failed, Outcome
from standpipe.policy.decision import Decision


class Acceptance(Struct, frozen=True, omit_defaults=True):
    """One line of a task's `acceptance:`: a plain sentence, or a command the runtime runs."""

    sentence: str = ""
    run: str = ""


class RunCreated(Struct, frozen=True, tag="run.created", omit_defaults=True):
    """A piece of work begins. `task` is the operator's word, and trusted."""

    task: str
    agent: str
    model: str
    config: str  # digest of standpipe.toml
    task_id: str = ""
    caller_id: str = ""
    acceptance: tuple[Acceptance, ...] = ()
    scope: tuple[str, ...] | None = None
    parent: str = ""
    queue: str = ""  # of workers; without one, whoever began it works on it
    wake_at: str = ""  # not before this
    priority: int = 0  # higher ones first


class BootLoaded(Struct, frozen=True, tag="boot.loaded", omit_defaults=True):
    """What the model was told before the task; a resumed run is told the same."""

    text: str
    tokens: int
    budget_tokens: int
    label: Label = Label()


class SegmentStarted(Struct, frozen=True, tag="segment.started", omit_defaults=True):
    """A process takes the run up; the epoch of this entry fences all earlier ones."""

    worker: str
    pid: int
    process_started: str
    version: str


class SegmentEnded(Struct, frozen=True, tag="segment.ended", omit_defaults=True):
    """`ended`: done, blocked, failed, cancelled, yielded."""

    ended: str
    why: str = ""
    waits_for: tuple[str, ...] = ()  # the questions whose answers let it go on


class ModelRequested(Struct, frozen=True, tag="model.requested"):
    """The new request message (Pydantic AI, as JSON); the number comes from the journal."""

    number: int
    message: object
    digest: str
    model: str


class ModelResponded(Struct, frozen=True, tag="model.responded", omit_defaults=True):
    """What the model said, once and for all."""

    number: int
    message: object
    model: str
    say: str = ""
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None


class ModelFailed(Struct, frozen=True, tag="model.failed", omit_defaults=True):
    """A request the model did not answer, and what was decided about it."""

    number: int
    attempt: int
    failed: Failed
    recovery: Recovery
    model: str
    site: str
    template: str = ""
    instance: str = ""
    cause: str = ""
    depends: str = ""
    host_depends: str = ""
    version: int = 1  # of the fingerprints


class ModelRefused(Struct, frozen=True, tag="model.refused", omit_defaults=True):
    """A model was not asked, as it is known to fail: `instead` is asked, or the question `blocker` waits."""

    number: int
    model: str
    site: str
    why: str
    blocker: str = ""
    instead: str = ""


class Proposed(Struct, frozen=True, tag="action.proposed", omit_defaults=True):
    """A tool call as the agent made it, before anything was decided."""

    tool: str
    arguments: Mapping[str, object]
    effect: Effect
    manifest: str  # digest
    why: str = ""
    label: Label = Label()
    call_id: str = ""
    siblings: int = 0
    reversible: bool = False
    local: bool = False  # nothing leaves this machine
    origin: str = ""


class Decided(Struct, frozen=True, tag="action.decided", omit_defaults=True):
    """By the rules, or later by a human; the last one counts, for exactly this digest."""

    decision: Decision
    digest: str
    by: str = "policy"
    recovery: Recovery | None = None  # for a denial: what the governor made of it
    blocker: str = ""


class Intended(Struct, frozen=True, tag="action.intended", omit_defaults=True):
    """On disk before the attempt: after a crash, this is how we know that we may have acted."""

    attempt: int
    idempotency_key: str
    deadline_seconds: float
    tree: str = ""  # the workspace before, so that changes of a killed tool are found
    twin: str = ""  # the tool and where the effect lands; only of `once` tools
    tool: str = ""
    ticks: float | None = (
        None  # seconds of a clock that does not jump, since this machine was started
    )


class Settled(Struct, frozen=True, tag="action.outcome", omit_defaults=True):
    """What one attempt came to, and what comes next."""

    tool: str
    attempt: int
    outcome: Outcome
    recovery: Recovery
    label: Label = Label()
    instance: str = ""
    site: str = ""
    cause: str = ""
    template: str = ""
    host: str = ""
    changes: tuple[Change, ...] = ()
    seconds: float = 0.0
    version: int = 1  # of the fingerprints
    call: str = ""  # the tool and its arguments, as a digest
    came: str = ""  # what came back, as a digest, or the template of the failure
    empty: bool = False  # it worked, and nothing came back
    hosts: tuple[str, ...] = ()  # whom the tool talked to
    depends: str = ""  # a digest of manifest and credentials: once it changes, it may be tried
    host_depends: str = ""  # of the credentials for the host alone
    blocker: str = ""  # the question that was there already
    mends: str = ""  # the site of the call this one was tried instead of
    twin: str = ""


class Verdict(StrEnum):
    """What became of an attempt nobody saw the end of."""

    HAPPENED = "happened"
    ABSENT = "absent"
    GAVE_UP = "gave_up"


class Reconciled(Struct, frozen=True, tag="action.reconciled", omit_defaults=True):
    """`verify`, or a human, knows. `value` is the receipt, if there is one."""

    tool: str
    attempt: int
    verdict: Verdict
    by: str
    value: object = None
    changes: tuple[Change, ...] = ()
    twin: str = ""


class InDoubt(Struct, frozen=True, tag="action.in_doubt", omit_defaults=True):
    """It may have happened, and nothing here can tell."""

    attempt: int
    what: str
    blocker: str
    twin: str = ""


class BlockedRaised(Struct, frozen=True, tag="blocked.raised", omit_defaults=True):
    """I am blocked on X. `kind`: approval, question, failure, in_doubt, wait."""

    kind: str
    ask: str
    why: str
    action: str = ""
    default: str = "park"
    expires_at: str = ""
    setting: str = ""  # the line of standpipe.toml that would make it unnecessary
    choices: tuple[str, ...] = ()
    site: str = ""
    tool: str = ""
    shows: Mapping[str, object] = {}  # the exact arguments, for whoever decides
    secrets: tuple[str, ...] = ()  # the NAMES of the credentials that were rejected


class AnswerGiven(Struct, frozen=True, tag="answer.given"):
    """The first answer wins; `by` says who."""

    answer: str
    by: str


class Noted(Struct, frozen=True, tag="decision.noted", omit_defaults=True):
    """A decision with its WHY, by agent, runtime or human."""

    by: str
    what: str
    why: str
    alternatives: tuple[str, ...] = ()


class Check(Struct, frozen=True, omit_defaults=True):
    """One line of the checklist; `verified` is False where only the agent says so."""

    name: str
    passed: bool
    evidence: str = ""
    verified: bool = True


class Checked(Struct, frozen=True, tag="done.checked"):
    """The checklist ran before `done` was believed."""

    checks: tuple[Check, ...]


class LessonRecorded(Struct, frozen=True, tag="lesson.recorded"):
    """Code wrote a lesson from a failure."""

    id: str
    statement: str
    count: int
    rung: str


class ScopeSet(Struct, frozen=True, tag="scope.set"):
    """The agent narrowed itself."""

    tools: tuple[str, ...]
    why: str


class CancelRequested(Struct, frozen=True, tag="cancel.requested", omit_defaults=True):
    """Somebody wants it to end; `now` does not wait for what is under way."""

    by: str
    now: bool = False


class RunLost(Struct, frozen=True, tag="run.lost"):
    """The process of a segment is gone and said nothing; `cause`: killed, hung, rebooted."""

    cause: str
    noticed_by: str
    in_flight: str = ""


class RunEnded(Struct, frozen=True, tag="run.ended", omit_defaults=True):
    """`status`: done, failed, cancelled."""

    status: str
    summary: str
    evidence: tuple[str, ...] = ()
    why: str = ""
    kind: str = ""  # of the failure that ended it, and where that was
    site: str = ""


class Restored(Struct, frozen=True, tag="workspace.restored"):
    """`undo` put files back."""

    changes: tuple[Change, ...]
    by: str


class CredentialRefreshed(Struct, frozen=True, tag="credential.refreshed", omit_defaults=True):
    """A rejected credential was renewed, or could not be: `failed` says why."""

    credential: str  # the name of the function that renews it; tools that share it share this
    tool: str
    names: tuple[str, ...] = ()
    failed: str = ""


class SiteProbed(Struct, frozen=True, tag="site.probed"):
    """In the stream of the home: one action may try an open site, and nobody else meanwhile."""

    site: str
    action: str
    until: str  # after this the attempt is taken for lost, and another one may try


class SiteClosed(Struct, frozen=True, tag="site.closed"):
    """In the stream of the home: a person resolved what kept failing."""

    site: str
    by: str
    answer: str


Body = (
    RunCreated | BootLoaded | SegmentStarted | SegmentEnded
    | ModelRequested | ModelResponded | ModelFailed | ModelRefused
    | Proposed | Decided | Intended | Settled | Reconciled | InDoubt
    | BlockedRaised | AnswerGiven | Noted | Checked | LessonRecorded | ScopeSet
    | CancelRequested | RunLost | RunEnded | Restored
    | CredentialRefreshed | SiteProbed | SiteClosed
)  # fmt: skip


class Draft(Struct, frozen=True):
    """A sentence before it has a place. An empty `run` means the run that is written to."""

    key: str
    body: Body
    run: str = ""


class Entry(Struct, frozen=True):
    """A sentence in its place: dense `seq` per run, chained by `hash`."""

    run: str
    seq: int
    epoch: int
    key: str
    v: int
    at: str
    body: Body
    prev: str
    hash: str

    @property
    def kind(self) -> str:
        return kind_of(self.body)

    @property
    def action(self) -> str:
        """The action this entry is about, or an empty text."""
        return self.key.partition("#")[0] if self.kind.startswith("action.") else ""


def kind_of(body: Body) -> str:
    """Return the kind of an entry: the tag of its body."""
    return str(body.__struct_config__.tag)

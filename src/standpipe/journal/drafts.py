"""What the gate writes down, as pure functions from what it knows to what it says.

Rule 1: an entry and the question it raises are written together: nothing is held that nobody can answer.
"""

import hashlib
import posixpath
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from standpipe.actions import TRUSTED, Action, Change, Done, Effect, Label
from standpipe.governor.fingerprint import VERSION, Fingerprints
from standpipe.governor.recovery import Escalate, Recovery, Skip, Wait
from standpipe.journal.entries import (
    BlockedRaised,
    Decided,
    Draft,
    InDoubt,
    Intended,
    Proposed,
    Reconciled,
    Settled,
    Verdict,
)
from standpipe.outcomes.outcome import Failed, Kind, Outcome, Succeeded, Unknown
from standpipe.outcomes.shape import is_empty
from standpipe.policy.decision import Allow, Ask, Decision, Deny
from standpipe.policy.egress import host_of

PARK_HOURS = 24
_FOREIGN_FOLDERS = {"untrusted", "conflicts"}  # of the brain: text that nobody vouches for
_SHOWN = 120


def proposed(action: Action) -> Draft:
    """Say that the agent wants this."""
    tool = action.tool
    body = Proposed(
        tool=tool.name,
        arguments=action.arguments,
        effect=tool.effect,
        manifest=tool.digest,
        why=action.why,
        label=action.label,
        call_id=action.call_id,
        siblings=action.siblings,
        reversible=tool.reversible,
        local=tool.local,
        origin=tool.origin,
    )
    return Draft(action.id, body)


def decided(
    action: Action, decision: Decision, *, number: int, blocker: str = "", by: str = "policy",
    recovery: Recovery | None = None,
) -> Draft:  # fmt: skip
    """Say what may happen, for exactly this call."""
    body = Decided(decision, digest=action.digest, by=by, recovery=recovery, blocker=blocker)
    return Draft(f"{action.id}#{number}", body)


def question(action: Action, ask: Ask, *, blocker: str, now: datetime) -> Draft:
    """Put a held call, or the agent's question, to a human."""
    words = ask.kind == "question"
    body = BlockedRaised(
        kind=ask.kind,
        ask=ask.reason if words else f"may I {call_text(action)}?",
        why=action.why if words else _reasons(ask, action),
        action=action.id,
        tool=action.tool.name,
        setting=ask.setting,
        choices=() if words else ("yes", "no"),
        expires_at=_after(now, hours=PARK_HOURS),
        shows={} if words else action.arguments,
    )
    return Draft(blocker, body)


def _reasons(ask: Ask, action: Action) -> str:
    """Whoever decides sees both: why it is held, and why the agent wants it."""
    return f"{ask.reason}; the agent's reason: {action.why}" if action.why else ask.reason


def asked_host(arguments: Mapping[str, object]) -> str:
    """Return the host a call itself names, in its `url`; a message is never read for it."""
    url = arguments.get("url")
    return (host_of(url) or "") if isinstance(url, str) else ""


def placed(arguments: Mapping[str, object], outcome: Failed | Unknown) -> Failed | Unknown:
    """Name the host of a failure where only the call says it."""
    if isinstance(outcome, Unknown) or outcome.host:
        return outcome
    return replace(outcome, host=asked_host(arguments))


def call_digest(action: Action) -> str:
    """Name the tool with exactly these arguments, whoever calls it in whatever run."""
    return _digest((action.tool.name, action.arguments))


def twin_digest(action: Action) -> str:
    """Name the tool and where its effect lands; without declared control arguments all of them count."""
    control = action.tool.control or tuple(action.arguments)
    return _digest((action.tool.name, {name: action.arguments.get(name) for name in control}))


def intended(action: Action, *, attempt: int, key: str, tree: str, ticks: float) -> Draft:
    """Say that it is about to happen; `ticks` of a clock that does not jump."""
    body = Intended(
        attempt,
        key,
        deadline_seconds=action.tool.timeout_seconds,
        tree=tree,
        twin=twin_of(action),
        tool=action.tool.name,
        ticks=round(ticks, 3),
    )
    return Draft(f"{action.id}#{attempt}", body)


def idempotency_key(action: Action, *, run: str) -> str:
    """Derive the key that is the same for every attempt of this action, and for no other anywhere.

    run: the hash of the run's first entry, so that two homes never share a key.
    """
    own = hashlib.sha256(f"{run}{action.digest}".encode()).hexdigest()[:16]
    return f"{action.id}-{own}"


def twin_of(action: Action) -> str:
    """Return the twin digest of a call that must not happen twice; of any other nothing."""
    return twin_digest(action) if action.tool.effect is Effect.ONCE else ""


def settled(  # noqa: PLR0913 -- all but the first four are keyword-only facts of one entry
    action: Action, done: Done, outcome: Outcome, recovery: Recovery, *,
    prints: Fingerprints | None, attempt: int, depends: str = "", host_depends: str = "", blocker: str = "", mends: str = "",
) -> Draft:  # fmt: skip
    """Say what an attempt came to, and what comes next."""
    host = outcome.host if isinstance(outcome, Failed) else ""
    worked = isinstance(outcome, Succeeded)
    body = Settled(
        tool=action.tool.name,
        attempt=attempt,
        outcome=outcome,
        recovery=recovery,
        label=label_of(action),
        instance=prints.instance if prints else "",
        site=prints.site if prints else "",
        cause=prints.cause if prints else "",
        template=prints.template if prints else "",
        host=host,
        changes=done.changes,
        seconds=round(done.seconds, 3),
        version=VERSION,
        call=call_digest(action),
        came=_digest(outcome.value) if worked else prints.template if prints else "",
        empty=worked and is_empty(outcome.value),
        hosts=_hosts(action, done, host),
        depends=depends,
        host_depends=host_depends,
        blocker=blocker,
        mends=mends,
        twin=twin_of(action),
    )
    return Draft(f"{action.id}#{attempt}", body)


def _hosts(action: Action, done: Done, failed_at: str) -> tuple[str, ...]:
    """Say whom a call talked to: what was seen, what was asked for, what the failure names."""
    asked = asked_host(action.arguments)
    return tuple(dict.fromkeys(filter(None, (*done.hosts, asked, failed_at))))


def label_of(action: Action) -> Label:
    """Return the label of what a tool brings back."""
    if action.tool.origin == "agent":
        first = posixpath.normpath(str(action.arguments.get("path", ""))).partition("/")[0]
        return Label(sources=(action.id,)) if first in _FOREIGN_FOLDERS else TRUSTED
    return TRUSTED if action.tool.returns == "trusted" else Label(sources=(action.id,))


def escalated(  # noqa: PLR0913 -- all but the first three are keyword-only facts of one question
    tool: str, failed: Failed, recovery: Recovery, *, action: str, blocker: str, site: str,
    now: datetime, secrets: Sequence[str] = (),
) -> Draft:  # fmt: skip
    """Put a failure to a human: what failed, why it stops here, what an answer does.

    secrets: the NAMES of the credentials the call was given.
    """
    rejected = failed.kind in (Kind.CREDENTIAL, Kind.FORBIDDEN) and secrets
    named = f" (it was given {_names(secrets)})" if rejected else ""
    if isinstance(recovery, Wait):
        until = now + timedelta(seconds=recovery.delay_seconds)
        body = BlockedRaised(
            kind="wait",
            ask=f"`{tool}` may be tried again later; nothing to do",
            why=recovery.why,
            action=action,
            tool=tool,
            default="resume",
            expires_at=_after(until, hours=0),
        )
    else:
        body = BlockedRaised(
            kind="failure",
            ask=f"`{tool}` failed: {failed.message}{named}. What now?",
            why=recovery.why,
            action=action,
            tool=tool,
            site=site,
            expires_at=_after(now, hours=PARK_HOURS),
            secrets=tuple(secrets) if rejected else (),
        )
    return Draft(blocker, body)


def _names(secrets: Sequence[str]) -> str:
    return ", ".join(f"the secret `{name}`" for name in secrets)


def left_out(action: Action, *, number: int, by: str) -> Draft:
    """Say that a person decided to go on without it."""
    why = f"{by} decided to go on without it"
    return decided(action, Deny("person", why), number=number, by=by, recovery=Skip(why))


def in_doubt(action: Action, *, attempt: int, blocker: str, now: datetime) -> tuple[Draft, Draft]:
    """Say that nobody here can tell whether it happened, and ask."""
    what = f"{call_text(action)}: it may have happened, and there is nothing to ask"
    body = BlockedRaised(
        kind="in_doubt",
        ask=f"did it happen: {call_text(action)}?",
        why="the answer was lost after the call had started; it is never repeated blindly",
        action=action.id,
        tool=action.tool.name,
        choices=("yes", "no", "give-up"),
        expires_at=_after(now, hours=PARK_HOURS),
        shows=action.arguments,
    )
    return Draft(f"{action.id}#{attempt}", InDoubt(attempt, what, blocker, twin_of(action))), Draft(
        blocker, body
    )


def reconciled(
    action: Action, verdict: Verdict, *, attempt: int, by: str, value: object,
    changes: tuple[Change, ...],
) -> Draft:  # fmt: skip
    """Say what `verify`, or a human, knows."""
    body = Reconciled(action.tool.name, attempt, verdict, by, value, changes, twin_of(action))
    return Draft(f"{action.id}#{attempt}", body)


def needs_human(recovery: Recovery, *, wait_seconds_max: float) -> bool:
    """Return whether a recovery ends the run until somebody, or the clock, says go."""
    match recovery:
        case Escalate():
            return True
        case Wait(delay_seconds=delay):
            return delay > wait_seconds_max
        case _:
            return False


def answered(answer: str, by: str) -> Decision:
    """Read a human's yes; everything else is a no, with what was said as its reason."""
    word, _, reason = answer.strip().partition(":")
    match word.strip().casefold():
        case "yes" | "y":
            return Allow(by)
        case "no" | "n":
            said = f"a person said no: {reason.strip()}" if reason.strip() else "a person said no"
            return Deny(by, said)
        case _:
            return Deny(by, f"a person said, instead of yes: {answer.strip()}")


def call_text(action: Action) -> str:
    """Write a call so that a person can judge it in one line."""
    parts = [f"{name}={_short(value)}" for name, value in action.arguments.items()]
    return f"{action.tool.name}({', '.join(parts)})"


def _digest(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()[:16]


def _short(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _after(now: datetime, *, hours: int) -> str:
    return (now + timedelta(hours=hours)).isoformat(timespec="milliseconds").replace("+00:00", "Z")

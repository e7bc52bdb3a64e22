"""A failure as a sentence: what it was, where, what was done about it, how often, and what helps.

Rule 1: the words of the other side are shown in one line and cut; nothing in them is advice, which is ours.
Rule 2: every kind has something a person can do.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from standpipe.governor.sites import BY_ANY_ARGUMENTS
from standpipe.journal.entries import Entry, Proposed
from standpipe.journal.failures import Failure, failures
from standpipe.journal.tried import times
from standpipe.outcomes.outcome import Kind

CAUSE_CHARACTERS_MAX = 240
SPENDERS_MAX = 3
_BRIEF_CHARACTERS_MAX = 80
_OUR_CODES = frozenset({"", "deadline", "unfinished"})  # what they stand for is in the message

HELPS: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.CREDENTIAL: "renew the credential it is called with",
        Kind.FORBIDDEN: "give its credential the right that is missing, or take the call out of the task",
        Kind.LOGIN_PAGE: "sign in where the page asks for it, or give the tool a credential that needs no page",
        Kind.BOT_CHECK: "call an API instead of the page, or let a person fetch it",
        Kind.RATE_LIMITED: "wait, or have the limit raised at the other side",
        Kind.QUOTA: "raise the quota or the spending limit, or pay what is due",
        Kind.OVERLOADED: "wait until the other side has room again",
        Kind.SERVER_ERROR: "tell whoever runs the other side, or wait until it works again",
        Kind.NOT_SENT: "see whether the other side is up and reached from here: name, port, network, proxy",
        Kind.TIMED_OUT: "see why it takes so long, or raise the tool's `timeout`",
        Kind.IN_DOUBT: "look at the other side whether it happened",
        Kind.CONFLICT: "say which version holds",
        Kind.NOT_FOUND: "say where it is, or that it is not needed",
        Kind.BAD_INPUT: "say which arguments are right, or correct the tool's schema",
        Kind.UNKNOWN_TOOL: "add the tool, or name the one that is meant in the task",
        Kind.TOOL_BUG: "correct the tool's code; changed code is tried again",
        Kind.HTML: "see why a page comes instead of data: address, proxy, sign-in",
        Kind.SCHEMA: "compare what the tool declares to return with what came, and correct either",
        Kind.TRUNCATED: "see what cuts the answer: proxy, size limit, other side",
        Kind.ERROR_TEXT: "correct what the words of the tool name",
        Kind.ENVIRONMENT: "correct this machine: space, rights, memory or the missing program",
        Kind.CONTEXT_OVERFLOW: "make the task smaller, or use a model that holds more",
        Kind.REFUSAL: "word the task differently, or name another model in `fallback_models`",
        Kind.CUT: "raise the model's output limit, or ask for smaller parts",
        Kind.MODEL_SILENT: "see whether the provider is up, or name another model in `fallback_models`",
        Kind.BUDGET: "raise the cap in `[budgets]` of standpipe.toml, or make the task smaller",
        Kind.DENIED: "allow the call in standpipe.toml, or take it out of the task",
        Kind.LOOP: "give the agent what it lacks, or word the task differently",
        Kind.NO_PROGRESS: "give the agent what it lacks, or word the task differently",
        Kind.GAVE_UP: "resolve what is open, then run the task again",
        Kind.CHECKLIST: "correct what the checklist names, or the check",
        Kind.UNGOVERNED_CALL: "connect the harness so that every call passes the gate",
        Kind.OTHER: "read the message and decide; nothing here knows this failure",
    }
)


def told(failure: Failure, *, then: str = "") -> str:
    """Say everything about a failure in one sentence; `then` is what comes after what helps.

    Example:
        >>> told(Failure(action="r1.1.1", tool="look", kind="credential", site="0a1b", message="HTTP 401",
        ...     count=2, attempts=3, first_at="", last_at="", recovery="escalate", why="", tried=("retried once",)))
        '`look` failed twice (credential, site 0a1b): HTTP 401; retried once; what helps: renew the credential it is called with'
    """
    often = f" {times(failure.count)}" if failure.count > 1 else ""
    site = f", site {failure.site}" if failure.site else ""
    parts = (
        f"`{failure.tool}` failed{often} ({failure.kind}{site}): {cause(failure)}",
        *failure.tried,
        f"what helps: {', '.join(filter(None, (helps(failure.kind), then)))}",
    )
    return "; ".join(parts)


def cause(failure: Failure, *, limit: int = CAUSE_CHARACTERS_MAX) -> str:
    """Return the root cause in words, with the code and the place where the words lack them."""
    text = _line(failure.message, limit) or failure.kind.replace("_", " ")
    if failure.code not in _OUR_CODES and failure.code not in text:
        text += f" ({failure.code})"
    return f"{text} from {failure.host}" if failure.host and failure.host not in text else text


def helps(kind: str) -> str:
    """Return what a person can do about a kind of failure."""
    return HELPS[Kind(kind)]


def way_out(failure: Failure) -> str:
    """Say what would resolve an open failure, for the agent that is not done yet.

    Example:
        >>> "resolved by " + way_out(Failure(action="", tool="look", kind="not_found", site="", message="",
        ...     count=1, attempts=1, first_at="", last_at="", recovery="", why=""))
        'resolved by a call of `look` that works, with any arguments, or by a person (call `blocked`)'
    """
    if failure.kind == Kind.IN_DOUBT:
        return "a person who knows whether it happened (call `blocked`)"
    where = f" at {failure.host}" if failure.host else ""
    works = ", with any arguments" if failure.kind in BY_ANY_ARGUMENTS else where
    return f"a call of `{failure.tool}` that works{works}, or by a person (call `blocked`)"


def spenders(entries: Sequence[Entry]) -> str:
    """Name what a run spent its budget on: the failures tried most often, then the tools called most."""
    met = sorted(failures(entries), key=lambda failure: -failure.attempts)[:SPENDERS_MAX]
    said = [
        f"`{one.tool}` {one.kind}, {times(one.attempts)} ({cause(one, limit=_BRIEF_CHARACTERS_MAX)})"
        for one in met
    ]
    called = Counter(entry.body.tool for entry in entries if isinstance(entry.body, Proposed))
    most = called.most_common(SPENDERS_MAX - len(said))
    said += [f"`{tool}` called {times(number)}" for tool, number in most]
    return ", ".join(said)


def _line(message: str, limit: int) -> str:
    """Return a message as one line, without the advice that may stand under it."""
    text = " ".join(message.partition("\nhint:")[0].split())
    return text if len(text) <= limit else f"{text[:limit]}…"

"""Words, the last resort: a status in a sentence, then phrases that mean one thing.

Rule 1: addresses and paths are taken out first. `/quota/expired-token` says nothing about a quota.
Rule 2: a phrase, never a single word that could be somebody's file name.
"""

import re

from standpipe.actions import Fault
from standpipe.outcomes.families import http, model
from standpipe.outcomes.finding import Finding
from standpipe.outcomes.outcome import Kind, Phase

_PLACES = re.compile(
    r"\b[a-z][a-z0-9+.-]{1,15}://[^\s'\"<>]+|(?<![\w/])/[^\s'\",:;()]+", re.IGNORECASE
)
_STATUS = re.compile(
    r"(?:\bHTTP(?:/[\d.]{1,3})?(?: Error| status)?|\bstatus(?: ?code)?|\berror code|\b(?:client|server) error)"
    r"\W{0,3}([45]\d\d)\b",
    re.IGNORECASE,
)
EXITS = {
    124: Kind.TIMED_OUT,  # timeout(1)
    126: Kind.ENVIRONMENT,  # found, but may not be run
    127: Kind.ENVIRONMENT,  # command not found
    137: Kind.ENVIRONMENT,  # 128 + SIGKILL: the out-of-memory killer
}
_EXIT = re.compile(r"\(exit code (\d{1,3})\)|non-zero exit status (-?\d{1,3})")
_CURL = re.compile(r"curl: \((\d{1,2})\)")
_CURL_CODES = {
    3: (Kind.BAD_INPUT, Phase.NOT_SENT),
    5: (Kind.NOT_SENT, Phase.NOT_SENT),
    6: (Kind.NOT_SENT, Phase.NOT_SENT),
    7: (Kind.NOT_SENT, Phase.NOT_SENT),
    28: (Kind.TIMED_OUT, Phase.UNKNOWN),
    35: (Kind.NOT_SENT, Phase.NOT_SENT),
    52: (Kind.SERVER_ERROR, Phase.SENT),
    56: (Kind.SERVER_ERROR, Phase.SENT),
    60: (Kind.NOT_SENT, Phase.NOT_SENT),
    67: (Kind.CREDENTIAL, Phase.UNKNOWN),
}
_RPC = re.compile(r"(?<!\d)-32(\d{3})\b")
_RPC_CODES = {
    "700": Kind.BAD_INPUT,
    "600": Kind.BAD_INPUT,
    "601": Kind.UNKNOWN_TOOL,
    "602": Kind.BAD_INPUT,
    "603": Kind.SERVER_ERROR,
}
PHRASES: tuple[tuple[re.Pattern[str], Kind], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), kind)
    for pattern, kind in (
        (r"command not found|: \d{1,4}: \S{1,200}: not found|no module named", Kind.ENVIRONMENT),
        (r"no space left on device|read-only file system|too many open files", Kind.ENVIRONMENT),
        (r"cannot allocate memory|out of memory|disk quota exceeded", Kind.ENVIRONMENT),
        (
            (
                r"could not resolve host|name or service not known|temporary failure in name resolution"
                r"|connection refused|no route to host|network is unreachable|couldn't connect to server"
                r"|getaddrinfo (?:failed|enotfound)|econnrefused|certificate verify failed"
            ),
            Kind.NOT_SENT,
        ),
        (
            (
                r"(?:token|session|credentials?|key|jwt|signature) (?:has |have |is |are )?(?:expired|revoked)"
                r"|expired (?:access |api |auth )?(?:token|credentials?)|invalid[_ ](?:auth\b|api[_ -]?key|x-api-key|token|credentials)"
                r"|token_(?:expired|revoked)|\bNOAUTH\b|\bUNAUTHENTICATED\b|bad credentials"
                r"|authentication (?:failed|required)|not authenticated|\bunauthorized\b|expiredtoken"
            ),
            Kind.CREDENTIAL,
        ),
        (
            r"access ?denied|permission[_ ]denied|\bforbidden\b|not (?:allowed|authorized) to|insufficient (?:scope|permission)",
            Kind.FORBIDDEN,
        ),
        (
            r"rate[ _]limit(?:ed| reached| exceeded|$|\b)|too many requests|throttl(?:ed|ing)|ratelimited",
            Kind.RATE_LIMITED,
        ),
        (
            r"service unavailable|temporarily unavailable|server is busy|\bSlowDown\b",
            Kind.OVERLOADED,
        ),
        (r"internal server error|bad gateway|gateway time-?out", Kind.SERVER_ERROR),
        (r"connection reset|connection aborted|broken pipe|server disconnected", Kind.SERVER_ERROR),
        (r"\btimed out\b|deadline exceeded|timeout (?:expired|exceeded)|etimedout", Kind.TIMED_OUT),
        (
            (
                r"duplicate key|unique constraint|already exists|version conflict|stale version|edit conflict|etag mismatch"
                r"|was modified by|merge conflict"
            ),
            Kind.CONFLICT,
        ),
        (r"unknown tool|tool not found|no tool named|unknown method", Kind.UNKNOWN_TOOL),
        (
            (
                r"no such file|no such (?:table|key|user|order|record|object|bucket|host|column)|\bnot found\b|does not exist"
                r"|doesn't exist|did not match any|cannot find|could not find|not exist\b|\benoent\b"
            ),
            Kind.NOT_FOUND,
        ),
        (
            (
                r"^usage:|\nusage:|invalid (?:argument|parameter|option|value)|unrecognized (?:argument|option)"
                r"|missing (?:required )?(?:argument|parameter|field)|validation error|is required\b|unknown option"
            ),
            Kind.BAD_INPUT,
        ),
    )
)


def find(fault: Fault) -> Finding | None:
    """Read a fault by what its message says."""
    return in_text(fault.message, message=f"{fault.type}: {fault.message}")


def in_text(text: str, *, message: str = "") -> Finding | None:
    """Read a sentence."""
    bare = _bare(text)
    shown = message or text
    if match := _STATUS.search(bare):
        answer = http.Answer(int(match[1]), headers={}, body=bare, host="")
        found = http.read(answer)
        return Finding(
            kind=found.kind,
            message=shown,
            code=match[1],
            phase=Phase.RECEIVED,
            retry_after_seconds=found.retry_after_seconds,
            answered=found.answered,
        )
    if (match := _CURL.search(bare)) and int(match[1]) in _CURL_CODES:
        kind, phase = _CURL_CODES[int(match[1])]
        return Finding(kind=kind, message=shown, code=f"curl {match[1]}", phase=phase)
    code = exit_code(bare)
    kind = EXITS.get(code or 0) or by_words(text) or (Kind.ERROR_TEXT if code else None)
    if kind is None:
        return None
    return Finding(kind=kind, message=shown, code="" if code is None else str(code))


def exit_code(text: str) -> int | None:
    """Return the exit code a text tells, as shells and our own tools write it."""
    match = _EXIT.search(text)
    return int(match[1] or match[2]) if match else None


def by_words(text: str) -> Kind | None:
    """Return the kind that the words of `text` mean, if they mean one."""
    bare = _bare(text)
    if (match := _CURL.search(bare)) and int(match[1]) in _CURL_CODES:
        return _CURL_CODES[int(match[1])][0]
    if (match := _RPC.search(bare)) and match[1] in _RPC_CODES:
        return _RPC_CODES[match[1]]
    if kind := model.by_words(bare):
        return kind
    return next((kind for pattern, kind in PHRASES if pattern.search(bare)), None)


def _bare(text: str) -> str:
    return _PLACES.sub(" ", text[:4_000])

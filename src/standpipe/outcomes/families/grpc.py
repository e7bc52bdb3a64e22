"""gRPC: status codes, which its Python client keeps behind a method and shows in the message.

Rule: a status that the server chose is an answer; UNAVAILABLE and INTERNAL may also be said by the channel.
"""

import re

from standpipe.outcomes.finding import Finding
from standpipe.outcomes.outcome import Kind, Phase

STATUSES = {
    "INVALID_ARGUMENT": Kind.BAD_INPUT,
    "OUT_OF_RANGE": Kind.BAD_INPUT,
    "FAILED_PRECONDITION": Kind.BAD_INPUT,
    "UNIMPLEMENTED": Kind.BAD_INPUT,
    "NOT_FOUND": Kind.NOT_FOUND,
    "ALREADY_EXISTS": Kind.CONFLICT,
    "ABORTED": Kind.CONFLICT,
    "UNAUTHENTICATED": Kind.CREDENTIAL,
    "PERMISSION_DENIED": Kind.FORBIDDEN,
    "RESOURCE_EXHAUSTED": Kind.RATE_LIMITED,
    "UNAVAILABLE": Kind.OVERLOADED,
    "DEADLINE_EXCEEDED": Kind.TIMED_OUT,
    "INTERNAL": Kind.SERVER_ERROR,
    "UNKNOWN": Kind.SERVER_ERROR,
    "DATA_LOSS": Kind.SERVER_ERROR,
}
_UNSURE = (Kind.OVERLOADED, Kind.TIMED_OUT, Kind.SERVER_ERROR)
# Python says `StatusCode.NOT_FOUND`, Go says `rpc error: code = NotFound`.
_STATUS = re.compile(r"StatusCode\.([A-Z_]{2,30})|rpc error: code = (\w{2,30})")
_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_LASTING = re.compile(r"per ?day|per ?month|daily|monthly", re.IGNORECASE)
_UNREACHED = re.compile(
    r"failed to connect to (?:all|remote)|connection refused|DNS resolution failed|name resolution",
    re.IGNORECASE,
)


def in_text(text: str, shown: str) -> Finding | None:
    """Read the status that a text of a gRPC client shows."""
    match = _STATUS.search(text) if "StatusCode." in text or "rpc error" in text else None
    if match is None:
        return None
    status = match[1] or _CAPITAL.sub("_", match[2]).upper()
    kind = STATUSES.get(status)
    if kind is None:
        return None
    if kind is Kind.RATE_LIMITED and _LASTING.search(text):
        kind = Kind.QUOTA
    if kind is Kind.OVERLOADED and _UNREACHED.search(text):
        kind = Kind.NOT_SENT
    return Finding(
        kind=kind,
        message=shown,
        code=status,
        phase=Phase.RECEIVED
        if kind not in _UNSURE and kind is not Kind.NOT_SENT
        else Phase.UNKNOWN,
        answered=kind not in _UNSURE and kind is not Kind.NOT_SENT,
    )

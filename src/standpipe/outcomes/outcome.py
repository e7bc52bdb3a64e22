"""What an attempt can turn out to be.

Rule 1: `Failed` means that it did not happen, or that what came back is useless; `Unknown` means that nobody knows.
Rule 2: the kind says what can be done about it; the strings are a contract (`report.failures[].kind`).
"""

from enum import StrEnum

from msgspec import Struct


class Kind(StrEnum):
    """Why it failed, in terms of what can be done about it."""

    CREDENTIAL = "credential"
    FORBIDDEN = "forbidden"
    LOGIN_PAGE = "login_page"
    BOT_CHECK = "bot_check"
    RATE_LIMITED = "rate_limited"
    QUOTA = "quota"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    NOT_SENT = "not_sent"
    TIMED_OUT = "timed_out"
    IN_DOUBT = "in_doubt"
    CONFLICT = "conflict"
    NOT_FOUND = "not_found"
    BAD_INPUT = "bad_input"
    UNKNOWN_TOOL = "unknown_tool"
    TOOL_BUG = "tool_bug"
    HTML = "html"
    SCHEMA = "schema"
    TRUNCATED = "truncated"
    ERROR_TEXT = "error_text"
    ENVIRONMENT = "environment"
    CONTEXT_OVERFLOW = "context_overflow"
    REFUSAL = "refusal"
    CUT = "cut"
    MODEL_SILENT = "model_silent"
    BUDGET = "budget"
    DENIED = "denied"
    LOOP = "loop"
    NO_PROGRESS = "no_progress"
    GAVE_UP = "gave_up"
    CHECKLIST = "checklist"
    UNGOVERNED_CALL = "ungoverned_call"
    OTHER = "other"


class Phase(StrEnum):
    """How far a request got. `UNKNOWN` counts as sent."""

    NOT_SENT = "not_sent"
    SENT = "sent"
    RECEIVED = "received"
    PARSED = "parsed"
    UNKNOWN = "unknown"


class Succeeded(Struct, frozen=True, tag="succeeded"):
    """It happened, and this came back."""

    value: object
    by: str = "tool"  # tool | verify | human | alternate tool's name


class Failed(Struct, frozen=True, tag="failed", omit_defaults=True):
    """It did not happen, or what came back is of no use.

    `code` is the status, errno or code word of the failure; `host` where it happened, if known;
    `retry_after_seconds` what the other side asked for, if anything.
    """

    kind: Kind
    message: str
    code: str = ""
    phase: Phase = Phase.UNKNOWN
    host: str = ""
    retry_after_seconds: float | None = None


class Unknown(Struct, frozen=True, tag="unknown", omit_defaults=True):
    """It may have happened; only the other side knows. `kind` says how we lost sight of it."""

    message: str
    kind: Kind = Kind.IN_DOUBT
    blocker: str = ""


class Refused(Struct, frozen=True, tag="refused", omit_defaults=True):
    """It was not tried. With a `blocker` it is held, and a human may still say yes."""

    reason: str
    blocker: str = ""


Outcome = Succeeded | Failed | Unknown | Refused

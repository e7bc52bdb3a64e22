"""What model providers say: codes, phrases, and the exceptions of their clients."""

import re

from standpipe.actions import Fault
from standpipe.outcomes.finding import Finding
from standpipe.outcomes.outcome import Kind, Phase
from standpipe.outcomes.reading import body, called, fields, json_of, word

# Codes are compared without case and punctuation: `insufficient_quota` is `InsufficientQuota`.
CODES = {
    "insufficientquota": Kind.QUOTA,
    "billinghardlimitreached": Kind.QUOTA,
    "billingnotactive": Kind.QUOTA,
    "billingerror": Kind.QUOTA,
    "creditbalancetoolow": Kind.QUOTA,
    "overloadederror": Kind.OVERLOADED,
    "engineoverloaded": Kind.OVERLOADED,
    "modeloverloaded": Kind.OVERLOADED,
    "contextlengthexceeded": Kind.CONTEXT_OVERFLOW,
    "modelcontextwindowexceeded": Kind.CONTEXT_OVERFLOW,
    "stringabovemaxlength": Kind.CONTEXT_OVERFLOW,
    "requesttoolarge": Kind.CONTEXT_OVERFLOW,
    "refusal": Kind.REFUSAL,
    "contentfilter": Kind.REFUSAL,
    "contentpolicyviolation": Kind.REFUSAL,
    "responsibleaipolicyviolation": Kind.REFUSAL,
    "modelnotfound": Kind.NOT_FOUND,
    "invalidapikey": Kind.CREDENTIAL,
    "authenticationerror": Kind.CREDENTIAL,
    "permissionerror": Kind.FORBIDDEN,
    "apierror": Kind.SERVER_ERROR,
    "timeouterror": Kind.SERVER_ERROR,
}
PHRASES = (
    (
        re.compile(
            r"maximum context length|prompt is too long|exceeds? (?:the )?context (?:limit|window)"
            r"|context[_ ]length[_ ]exceeded|input is too long for|too many tokens in (?:the )?prompt",
            re.IGNORECASE,
        ),
        Kind.CONTEXT_OVERFLOW,
    ),
    (
        re.compile(
            r"exceeded your current quota|insufficient_quota|credit balance is too low|billing hard limit"
            r"|_spend_limit_|(?:monthly|daily) (?:\w+ )?(?:quota|spend|limit) (?:\w+ )?(?:exceeded|reached)"
            r"|out of credits|payment required",
            re.IGNORECASE,
        ),
        Kind.QUOTA,
    ),
    (re.compile(r"\boverloaded(?:_error)?\b", re.IGNORECASE), Kind.OVERLOADED),
    (re.compile(r"content[_ ]filter|content management policy", re.IGNORECASE), Kind.REFUSAL),
)
_TYPES = {
    "pydantic_ai.ContentFilterError": Kind.REFUSAL,
    "pydantic_ai.IncompleteToolCall": Kind.CUT,
    "pydantic_ai.UnexpectedModelBehavior": Kind.SCHEMA,
    "pydantic_ai.UsageLimitExceeded": Kind.BUDGET,
    "openai.LengthFinishReasonError": Kind.CUT,
    "openai.ContentFilterFinishReasonError": Kind.REFUSAL,
    "openai.APIResponseValidationError": Kind.SCHEMA,
    "anthropic.APIResponseValidationError": Kind.SCHEMA,
}
_PACKAGES = ("openai", "anthropic", "pydantic_ai")


def find(fault: Fault) -> Finding | None:
    """Read the exceptions of model clients that carry no HTTP status."""
    if fault.module.partition(".")[0] not in _PACKAGES:
        return None
    for name in called(fault):
        if name in _TYPES:
            return _finding(_TYPES[name], fault, code=fault.type)
    # An error event inside a 200 stream arrives as a plain APIError: only its code says what it is.
    for code in (*_event_codes(fault), word(fault, "code"), word(fault, "type")):
        if kind := by_code(code):
            return _finding(kind, fault, code=code)
    return None


def by_code(code: str) -> Kind | None:
    """Return what a provider's code means."""
    return CODES.get(re.sub(r"[^a-z0-9]", "", code.lower()))


def by_words(text: str) -> Kind | None:
    """Return what a provider's sentence means, where it means only one thing."""
    return next((kind for pattern, kind in PHRASES if pattern.search(text)), None)


def _event_codes(fault: Fault) -> list[str]:
    event = fields(json_of(body(fault)))
    inner = fields(event.get("error")) or event
    values = (inner.get("code"), inner.get("type"))
    return [value for value in values if isinstance(value, str)]


def _finding(kind: Kind, fault: Fault, *, code: str) -> Finding:
    return Finding(
        kind=kind, message=fault.message, code=code, phase=Phase.RECEIVED, answered=False
    )

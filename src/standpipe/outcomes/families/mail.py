"""Mail: SMTP replies, POP, IMAP and FTP refusals.

Rule 1: a reply is an answer. A server that says 4xx or 5xx has not taken the message.
Rule 2: a server that hangs up says nothing: after the final dot of DATA the mail may be on its way.
"""

import re

from standpipe.actions import Fault
from standpipe.outcomes.finding import Finding
from standpipe.outcomes.outcome import Kind, Phase
from standpipe.outcomes.reading import called, number, word

REPLIES = {
    421: Kind.OVERLOADED,
    450: Kind.RATE_LIMITED,
    451: Kind.RATE_LIMITED,
    452: Kind.OVERLOADED,
    454: Kind.OVERLOADED,
    530: Kind.CREDENTIAL,
    534: Kind.CREDENTIAL,
    535: Kind.CREDENTIAL,
    538: Kind.CREDENTIAL,
}
_RECIPIENTS = "smtplib.SMTPRecipientsRefused"
_ENHANCED = re.compile(r"\b[45]\.(\d{1,3})\.(\d{1,3})\b")
_REPLY = re.compile(r"\b([45]\d\d)\b")
_BEFORE_MAIL = (
    "smtplib.SMTPConnectError",
    "smtplib.SMTPHeloError",
    "smtplib.SMTPNotSupportedError",
)
_AUTH = re.compile(
    r"\[AUTH\]|AUTHENTICATIONFAILED|authentication failed|invalid credentials|login incorrect",
    re.IGNORECASE,
)
_SECURITY, _AUTH_DETAILS = "7", ("8", "9", "0")


def find(fault: Fault) -> Finding | None:
    """Read a fault of smtplib, poplib, imaplib or ftplib."""
    names = list(called(fault))
    packages = {name.partition(".")[0] for name in names}
    if "smtplib" in packages or "aiosmtplib" in packages:
        return _smtp(fault, names)
    if packages & {"poplib", "imaplib", "ftplib"}:
        return _mailbox(fault)
    return None


def _smtp(fault: Fault, names: list[str]) -> Finding:
    code = number(fault, "smtp_code", "code")
    phase = Phase.NOT_SENT if any(name in _BEFORE_MAIL for name in names) else Phase.UNKNOWN
    if _RECIPIENTS in names:
        return _finding(fault, Kind.BAD_INPUT, code or _first_reply(fault.message), phase)
    if "smtplib.SMTPAuthenticationError" in names:
        return _finding(fault, Kind.CREDENTIAL, code, Phase.NOT_SENT)
    if "smtplib.SMTPNotSupportedError" in names:
        return _finding(fault, Kind.ENVIRONMENT, code, phase)
    if code is not None and code > 0:
        return _finding(fault, _by_reply(code, fault.message), code, phase)
    if "run connect() first" in fault.message or phase is Phase.NOT_SENT:
        return _finding(fault, Kind.NOT_SENT, None, Phase.NOT_SENT)
    return _finding(fault, Kind.SERVER_ERROR, None, phase)


def _mailbox(fault: Fault) -> Finding | None:
    if _AUTH.search(fault.message) or fault.message.startswith("530"):
        return _finding(fault, Kind.CREDENTIAL, _first_reply(fault.message), Phase.UNKNOWN)
    if fault.message.startswith("550"):
        return _finding(fault, Kind.NOT_FOUND, 550, Phase.UNKNOWN)
    return None


def _by_reply(code: int, text: str) -> Kind:
    if code in REPLIES:
        return REPLIES[code]
    enhanced = _ENHANCED.search(text)
    if enhanced and enhanced[1] == _SECURITY and enhanced[2] not in _AUTH_DETAILS:
        return Kind.FORBIDDEN
    return Kind.OVERLOADED if code < 500 else Kind.BAD_INPUT  # noqa: PLR2004 -- 4yz is transient


def _first_reply(text: str) -> int | None:
    match = _REPLY.search(text)
    return int(match[1]) if match else None


def _finding(fault: Fault, kind: Kind, code: int | None, phase: Phase) -> Finding:
    reply = word(fault, "smtp_error") or fault.message
    said = f"SMTP {code}: " if code and str(code) not in reply else ""
    return Finding(
        kind=kind,
        message=f"{fault.type}: {said}{reply}",
        code=str(code) if code else fault.type,
        phase=phase,
        answered=bool(code),
    )

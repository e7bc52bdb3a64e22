"""Mail: SMTP replies, POP, IMAP and FTP refusals.

Rule 1: a reply is an answer. A server that says 4xx or 5xx has not taken the message.
Rule 2: a server that hangs up says nothing: after the final dot of DATA the mail may be on its way.
"""

import re

from msgspec.structs import replace

from standpipe.outcomes.finding import Finding
from standpipe.outcomes.outcome import Kind, Phase
from standpipe.outcomes.reading import Link, number, word

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
FTP_REPLIES = {
    425: Kind.NOT_SENT,  # no data connection could be opened
    426: Kind.SERVER_ERROR,  # the data connection broke
    430: Kind.CREDENTIAL,
    450: Kind.CONFLICT,  # the file is busy
    530: Kind.CREDENTIAL,
    532: Kind.CREDENTIAL,
    550: Kind.NOT_FOUND,
    552: Kind.ENVIRONMENT,  # their disk is full
    553: Kind.BAD_INPUT,
}
_OPENING_REPLY = re.compile(r"([45]\d\d)[ -]")
_SHOWN_REPLY = re.compile(r"\(([45]\d\d), b?['\"]")
_ENHANCED = re.compile(r"\b[45]\.(\d{1,3})\.(\d{1,3})\b")
_REPLY = re.compile(r"\b([45]\d\d)\b")
_BEFORE_MAIL = frozenset(
    {"SMTPConnectError", "SMTPHeloError", "SMTPNotSupportedError", "SMTPNotSupported", "SMTPConnectTimeoutError",
     "SMTPConnectResponseError"}
)  # fmt: skip
_SLOW = frozenset({"SMTPTimeoutError", "SMTPReadTimeoutError"})
_UNSUPPORTED = frozenset({"SMTPNotSupportedError", "SMTPNotSupported"})
_SMTP = frozenset({"smtplib", "aiosmtplib"})
_MAILBOXES = frozenset(
    {"poplib", "imaplib", "ftplib", "aioimaplib", "aioftp", "imapclient", "imap_tools"}
)
_AUTH = re.compile(
    r"\[AUTH\]|AUTHENTICATIONFAILED|authentication failed|invalid credentials|login incorrect|login failed|not logged in",
    re.IGNORECASE,
)
_SECURITY, _AUTH_DETAILS = "7", ("8", "9", "0")


def find(link: Link) -> Finding | None:
    """Read a fault of smtplib, poplib, imaplib or ftplib, or of their asynchronous relatives."""
    if not _SMTP.isdisjoint(link.packages):
        return _smtp(link, frozenset(name.rpartition(".")[2] for name in link.names))
    if not _MAILBOXES.isdisjoint(link.packages):
        return _mailbox(link)
    return None


def replied(code: int, text: str, shown: str) -> Finding:
    """Say what a reply of a mail server means that stands in a text."""
    return Finding(
        kind=by_reply(code, text),
        message=shown,
        code=str(code),
        phase=Phase.RECEIVED,
        answered=True,
    )


def by_reply(code: int, text: str) -> Kind:
    """Return what an SMTP or FTP reply means."""
    if code in REPLIES:
        return REPLIES[code]
    enhanced = _ENHANCED.search(text)
    if enhanced and enhanced[1] == _SECURITY and enhanced[2] not in _AUTH_DETAILS:
        return Kind.FORBIDDEN
    return Kind.OVERLOADED if code < 500 else Kind.BAD_INPUT  # noqa: PLR2004 -- 4yz is transient


def _smtp(link: Link, types: frozenset[str]) -> Finding:
    code = number(link.fault, "smtp_code", "code") or _opening_reply(link.message)
    before = not _BEFORE_MAIL.isdisjoint(types) or "run connect() first" in link.message
    phase = Phase.NOT_SENT if before else Phase.UNKNOWN
    if "SMTPRecipientsRefused" in types or "SMTPRecipientRefused" in types:
        return _finding(link, Kind.BAD_INPUT, code or _first_reply(link.message), phase)
    if "SMTPAuthenticationError" in types:
        return _finding(link, Kind.CREDENTIAL, code, Phase.NOT_SENT)
    if not _UNSUPPORTED.isdisjoint(types):
        return _finding(link, Kind.ENVIRONMENT, code, phase)
    if code is not None and code > 0:
        return _finding(link, by_reply(code, link.message), code, phase)
    if before:
        return _finding(link, Kind.NOT_SENT, None, Phase.NOT_SENT)
    slow = not _SLOW.isdisjoint(types) or "timed out" in link.message
    return _finding(link, Kind.TIMED_OUT if slow else Kind.SERVER_ERROR, None, phase)


def _opening_reply(text: str) -> int | None:
    """Return the reply of `(552, b'too big')`, as `smtplib` shows what it raises."""
    match = _SHOWN_REPLY.match(text)
    return int(match[1]) if match else None


def _mailbox(link: Link) -> Finding | None:
    said = link.message
    if _AUTH.search(said):
        found = _finding(link, Kind.CREDENTIAL, _first_reply(said), Phase.RECEIVED)
        return replace(found, answered=True)
    if "imaplib.IMAP4.abort" in link.names or "imaplib.abort" in link.names:
        return _finding(link, Kind.SERVER_ERROR, None, Phase.UNKNOWN)
    match = _OPENING_REPLY.match(said)
    if match is None:
        return None
    code = int(match[1])
    return _finding(link, FTP_REPLIES.get(code) or by_reply(code, said), code, Phase.UNKNOWN)


def _first_reply(text: str) -> int | None:
    match = _REPLY.search(text)
    return int(match[1]) if match else None


def _finding(link: Link, kind: Kind, code: int | None, phase: Phase) -> Finding:
    reply = word(link.fault, "smtp_error") or link.message
    said = f"SMTP {code}: " if code and str(code) not in reply else ""
    return Finding(
        kind=kind,
        message=f"{link.fault.type}: {said}{reply}",
        code=str(code) if code else link.fault.type,
        phase=phase,
        answered=bool(code),
    )

"""Read a Maildir, send by SMTP.

Rule 1: a mail goes to all its recipients or to none.
Rule 2: an error says how far it got. `phase` is `not_sent` until the last line of the mail goes out,
    and again when the server answers that it does not take it; else it is `sent`: nobody knows.
Rule 3: what the model writes never becomes a header line.
"""

import mailbox
import re
import smtplib
import ssl
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage, MIMEPart
from email.parser import BytesParser
from email.policy import SMTP, default
from email.utils import formatdate
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Struct
from typing_extensions import TypedDict

from standpipe.errors import ConfigError
from standpipe.execution.tools import surroundings, tool
from standpipe.ids import natural
from standpipe.policy.egress import is_loopback
from standpipe.tools.phases import Reached, phases

BODY_CHARACTERS_MAX = 200_000
MAIL_BYTES_MAX = 25 * 1024 * 1024
SMTP_SECONDS = 25.0  # ends before the tool's own deadline, and so with a phase
_PORTS = {"smtp": 25, "smtps": 465}
_RECIPIENTS_MAX = 50
_ADDRESS = re.compile(
    r"(?=.{3,254}\Z)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
)
_MESSAGE_ID = re.compile(r"[A-Za-z0-9_+=-]+(?:\.[A-Za-z0-9_+=-]+)*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Receipt(TypedDict):
    """What is known of a mail that the server took."""

    message_id: str
    accepted: list[str]


class _Mail(Struct, frozen=True):
    smtp: str = ""
    user: str | None = None
    password: str = ""
    sender: str = msgspec.field(name="from", default="")
    maildir: str = ""
    sent: str = ""


@tool(effect="read", control=[], local=True)
def mail_list() -> list[dict[str, str]]:
    """List the mails of the inbox: id, from, subject, date."""
    box = _inbox()
    return [
        {"id": id_, **_headings(message, "from", "subject", "date")}
        for id_, message in (
            (id_, _parsed(box, key, headers_only=True)) for id_, key in _ids(box).items()
        )
    ]


@tool(effect="read", control=[], local=True, tells="mail {id}", expected=["not_found"])
def mail_read(id: str) -> dict[str, object]:  # noqa: A002 -- the name in the contract
    """Read one mail of the inbox as text.

    Args:
        id: as mail_list shows it
    """
    box = _inbox()
    ids = _ids(box)
    if id not in ids:
        known = f"the inbox has 1 to {len(ids)}" if ids else "the inbox is empty"
        raise FileNotFoundError(f"no mail `{id}`: {known}")
    message = _parsed(box, ids[id])
    attachments = [
        part.get_filename() or part.get_content_type() for part in message.iter_attachments()
    ]
    return {
        **_headings(message, "from", "to", "subject", "date"),
        "body": _body(message),
        "attachments": attachments,
    }


def was_sent(  # called with every argument of the tool
    to: list[str],  # noqa: ARG001 -- the id says it all
    subject: str,  # noqa: ARG001 -- the id says it all
    body: str,  # noqa: ARG001 -- the id says it all
    message_id: str,
) -> bool | None:
    """Say whether the server filed this mail among those it took; None if it keeps no such folder."""
    settings = _settings()
    folder = Path(surroundings().home, settings.sent)
    if not settings.sent or not folder.is_dir():
        return None
    wanted = _header_of(message_id)
    box = mailbox.Maildir(folder, create=False)
    return any(_parsed(box, key, headers_only=True)["message-id"] == wanted for key in box.keys())  # noqa: SIM118 -- iterating a Maildir yields its messages


@tool(
    effect="once",
    control=["to"],
    idempotency_key="message_id",
    verify=was_sent,
    verify_after_seconds=30,  # a server accepts first and files a copy later
    reversible=False,
    timeout=30,
    tells="mail to {to}",
)
def send_email(to: list[str], subject: str, body: str, *, message_id: str) -> Receipt:
    """Send one mail as plain text.

    Args:
        to: bare addresses, without names
        subject: one line
        body: plain text
        message_id: filled by the runtime; names this mail for ever
    """
    with phases() as reached:
        settings = _settings()
        message = _message(settings, to, subject, body, message_id)
        _deliver(_server(settings), settings, to, message, reached)
    return {"message_id": _header_of(message_id), "accepted": list(to)}


def _settings() -> _Mail:
    return msgspec.convert(surroundings().settings.get("mail", {}), _Mail)


def _missing(name: str, example: str) -> ConfigError:
    return ConfigError(
        f"standpipe.toml: [mail] has no `{name}`", hint=f'add `{name} = "{example}"` under [mail]'
    )


# Reading


def _inbox() -> mailbox.Maildir:
    settings = _settings()
    if not settings.maildir:
        raise _missing("maildir", "mail/inbox")
    folder = Path(surroundings().home, settings.maildir)
    if not (folder / "new").is_dir() and not (folder / "cur").is_dir():
        raise ConfigError(
            f"standpipe.toml: [mail] maildir `{settings.maildir}` is not a Maildir",
            hint="it needs the folders `cur` and `new`",
        )
    return mailbox.Maildir(folder, create=False)


def _ids(box: mailbox.Maildir) -> dict[str, str]:
    """Number the mails; a name in a Maildir starts with the time of delivery, so new mails come last; one that is deleted shifts those after it."""
    keys = sorted(box.keys(), key=natural)
    return {str(number): key for number, key in enumerate(keys, start=1)}


def _parsed(box: mailbox.Maildir, key: str, *, headers_only: bool = False) -> EmailMessage:
    with box.get_file(key) as opened:
        content = opened.read(MAIL_BYTES_MAX)
    parser = BytesParser(_class=EmailMessage, policy=default)
    return parser.parsebytes(content, headersonly=headers_only)


def _headings(message: EmailMessage, *names: str) -> dict[str, str]:
    return {name: _heading(message, name) for name in names}


def _heading(message: EmailMessage, name: str) -> str:
    try:
        return str(message.get(name, ""))
    except Exception:  # noqa: BLE001 -- a header of a stranger; the parser of 3.11 raises nearly anything
        return "[cannot be read]"


def _body(message: EmailMessage) -> str:
    part = message.get_body(preferencelist=("plain", "html"))
    if part is None:
        return ""
    text = _content(part)
    if part.get_content_subtype() == "html":
        text = _text_of(text)
    if len(text) > BODY_CHARACTERS_MAX:
        return f"{text[:BODY_CHARACTERS_MAX]}\n[cut: {len(text) - BODY_CHARACTERS_MAX} more characters]"
    return text


def _content(part: MIMEPart) -> str:
    try:
        return str(part.get_content())
    except (LookupError, ValueError):  # a charset nobody knows, or a broken encoding
        raw = part.get_payload(decode=True)
        return raw.decode(errors="replace") if isinstance(raw, bytes) else ""


class _Text(HTMLParser):
    """Collect what stands between the tags."""

    _BREAKS = frozenset({"br", "p", "div", "tr", "li", "h1", "h2", "h3", "blockquote"})
    _SILENT = frozenset({"script", "style", "head"})

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._silent: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self._SILENT:
            self._silent.append(tag)
        elif tag in self._BREAKS:
            self.parts.append("\n")
        link = dict(attrs).get("href") if tag == "a" else None
        if link:
            self.parts.append(f"<{link}> ")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._silent:
            self._silent.remove(tag)

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(data)


def _text_of(html: str) -> str:
    reader = _Text()
    reader.feed(html)
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.parts).splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


# Sending


@dataclass(frozen=True, slots=True)
class _Server:
    host: str
    port: int
    user: str
    tls: bool

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host)


def _server(settings: _Mail) -> _Server:
    if not settings.smtp:
        raise _missing("smtp", "mail.example.com:587")
    text = settings.smtp if "://" in settings.smtp else f"smtp://{settings.smtp}"
    parts = urlsplit(text)
    try:
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        port = 0
    if not port or parts.scheme not in _PORTS or not parts.hostname or parts.password is not None:
        raise ConfigError(
            "standpipe.toml: [mail] smtp is not of the form host:port or smtps://user@host:port",
            hint="a password comes from the environment, never from this file",
        )
    user = unquote(parts.username or "") or settings.user or ""
    return _Server(parts.hostname, port, user, parts.scheme == "smtps")


def _header_of(message_id: str) -> str:
    if not _MESSAGE_ID.fullmatch(message_id):
        raise ValueError(f"message id {message_id!r} is not letters, digits and dots")
    return f"<{message_id}@standpipe>"


def _message(
    settings: _Mail, to: list[str], subject: str, body: str, message_id: str
) -> EmailMessage:
    if not settings.sender:
        raise _missing("from", "agent@example.com")
    if not 0 < len(to) <= _RECIPIENTS_MAX:
        raise ValueError(f"`to` has {len(to)} addresses, not 1 to {_RECIPIENTS_MAX}")
    for address in to:
        if not _ADDRESS.fullmatch(address):
            raise ValueError(
                f"`to` holds {address!r}, which is not a mail address\nhint: write name@host and nothing else"
            )
    if _CONTROL.search(subject):
        raise ValueError(
            "`subject` holds a line break or control character\nhint: write it on one line"
        )
    message = EmailMessage(policy=SMTP)
    message["Message-ID"] = _header_of(message_id)
    message["From"] = settings.sender
    message["To"] = [Address(addr_spec=address) for address in to]
    message["Subject"] = subject
    message["Date"] = formatdate()
    message.set_content(body)
    return message


def _deliver(
    server: _Server, settings: _Mail, to: list[str], message: EmailMessage, reached: Reached
) -> None:
    with _connected(server) as smtp:
        _secure(smtp, server, settings)
        _accepted(smtp.mail(message["From"].addresses[0].addr_spec), smtplib.SMTPResponseException)
        _recipients(smtp, to)
        smtp.putcmd("data")
        _accepted(smtp.getreply(), smtplib.SMTPDataError, code=354)
        content = message.as_bytes()
        smtp.send(re.sub(rb"(?m)^\.", b"..", content))
        reached.phase = "sent"
        smtp.send(b".\r\n" if content.endswith(b"\r\n") else b"\r\n.\r\n")
        answer = smtp.getreply()
        if answer[0] != -1:  # -1: not an answer; the connection ended in the middle of it
            reached.phase = "not_sent"  # unless it says that it took it
        _accepted(answer, smtplib.SMTPDataError)


@contextmanager
def _connected(server: _Server) -> Generator[smtplib.SMTP]:
    if server.tls:
        context = ssl.create_default_context()
        smtp = smtplib.SMTP_SSL(server.host, server.port, timeout=SMTP_SECONDS, context=context)
    else:
        smtp = smtplib.SMTP(server.host, server.port, timeout=SMTP_SECONDS)
    try:
        yield smtp
        with suppress(smtplib.SMTPException, OSError):
            smtp.quit()  # the mail is delivered whatever comes of this
    finally:
        smtp.close()


def _secure(smtp: smtplib.SMTP, server: _Server, settings: _Mail) -> None:
    smtp.ehlo_or_helo_if_needed()
    secure = server.tls or server.loopback
    if not secure and smtp.has_extn("starttls"):
        smtp.starttls(context=ssl.create_default_context())
        smtp.ehlo()
        secure = True
    if not server.user:
        return
    if not secure:
        raise ConfigError(
            f"`{server.host}:{server.port}` offers no encryption, so the password was not sent",
            hint="use smtps://user@host:465, or a port that offers STARTTLS, under [mail]",
        )
    smtp.login(server.user, settings.password)


def _recipients(smtp: smtplib.SMTP, to: list[str]) -> None:
    refused: dict[str, tuple[int, bytes]] = {}
    for address in to:
        answer = smtp.rcpt(address)
        if answer[0] not in (250, 251):
            refused[address] = answer
    if not refused:
        return
    error = smtplib.SMTPRecipientsRefused(refused)
    error.smtp_code = next(iter(refused.values()))[0]  # pyright: ignore[reportAttributeAccessIssue] -- as its siblings have it
    raise error


def _accepted(
    answer: tuple[int, bytes], error: type[smtplib.SMTPResponseException], *, code: int = 250
) -> None:
    if answer[0] != code:
        raise error(*answer)

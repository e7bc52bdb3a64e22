import asyncio
import mailbox
import smtplib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from standpipe.actions import Effect, Raised, Tool
from standpipe.errors import ConfigError
from standpipe.execution.faults import fault_of
from standpipe.execution.tools import Surroundings, settle_in
from standpipe.outcomes.classify import judge
from standpipe.outcomes.outcome import Failed, Kind, Outcome, Phase, Unknown
from standpipe.tools.mail import mail_list, mail_read, send_email, was_sent


class Post:
    """A real server's mind: what it accepts, and the folder where it files what it took."""

    def __init__(self, sent: Path) -> None:
        self.sent = mailbox.Maildir(sent)
        self.envelopes: list[Envelope] = []
        self.answer: str | None = "250 taken"  # None: hang up after the mail was taken
        self.banned = "banned@example.com"

    async def handle_RCPT(  # noqa: N802 -- the name aiosmtpd calls
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address == self.banned:
            return "550 not here"
        envelope.rcpt_tos.append(address)
        return "250 fine"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 -- see above
        if self.answer is not None and not self.answer.startswith("250"):
            return self.answer
        assert isinstance(envelope.content, bytes)
        self.envelopes.append(envelope)
        self.sent.add(envelope.content)
        if self.answer is None:
            assert isinstance(server.transport, asyncio.WriteTransport)
            server.transport.abort()
            return "250 nobody hears this"
        return self.answer


class AnyPort(Controller):
    """aiosmtpd's controller, on a port the system chooses."""

    port: int

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def served(post: Post, **options: Any) -> Generator[str]:
    controller = AnyPort(post, hostname="127.0.0.1", port=0, **options)
    controller.start()
    yield f"127.0.0.1:{controller.port}"
    controller.stop()


@pytest.fixture
def post(tmp_path: Path) -> Generator[Post]:
    post = Post(tmp_path / "sent")
    with served(post) as address:
        live(tmp_path, smtp=address, sent="sent")
        yield post


def live(home: Path, **mail: str) -> None:
    settings = {"mail": {"from": "Shop <agent@example.com>", "maildir": "inbox", **mail}}
    settle_in(Surroundings(home=str(home), workspace=str(home / "workspace"), settings=settings))


def send(
    to: list[str], subject: str = "Hi", body: str = "text", message_id: str = "r1.1.1"
) -> object:
    return send_email(to, subject, body, message_id=message_id)


def deliver(home: Path, content: bytes | EmailMessage) -> str:
    box = mailbox.Maildir(home / "inbox")
    return box.add(content if isinstance(content, bytes) else content.as_bytes())


def letter(**parts: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = parts.get("sender", "Anna <anna@example.com>")
    message["To"] = "shop@example.com"
    message["Subject"] = parts.get("subject", "Grüße")
    message["Date"] = "Sun, 22 Nov 2026 07:00:00 +0000"
    message.set_content(parts.get("body", "Where is it?\n"))
    return message


def test_a_mail_arrives_once_with_its_id(post: Post) -> None:
    receipt = send(["a@example.com", "b@example.com"], subject="Grüße", body=".first\nlast ü")
    assert receipt == {
        "message_id": "<r1.1.1@standpipe>",
        "accepted": ["a@example.com", "b@example.com"],
    }
    (envelope,) = post.envelopes
    assert envelope.rcpt_tos == ["a@example.com", "b@example.com"]
    assert envelope.mail_from == "agent@example.com"
    (taken,) = list(post.sent)
    assert taken["message-id"] == "<r1.1.1@standpipe>"
    assert taken["from"] == "Shop <agent@example.com>"
    payload = taken.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.decode().split() == [".first", "last", "ü"]


def test_one_refused_recipient_means_that_nobody_gets_it(post: Post) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        send(["a@example.com", post.banned])
    assert post.envelopes == []
    assert vars(refused.value)["phase"] == "not_sent"
    assert vars(refused.value)["smtp_code"] == 550


def test_a_server_that_says_no_to_the_text_has_not_sent_it(post: Post) -> None:
    post.answer = "554 spam"
    with pytest.raises(smtplib.SMTPDataError) as refused:
        send(["a@example.com"])
    assert (vars(refused.value)["phase"], refused.value.smtp_code) == ("not_sent", 554)
    assert was_sent(["a@example.com"], "Hi", "text", "r1.1.1") is False


def test_a_server_that_hangs_up_after_the_last_line_leaves_it_in_doubt_until_verified(
    post: Post,
) -> None:
    post.answer = None
    with pytest.raises(smtplib.SMTPServerDisconnected) as lost:
        send(["a@example.com"])
    assert vars(lost.value)["phase"] == "sent"
    assert was_sent(["a@example.com"], "Hi", "text", "r1.1.1") is True
    assert was_sent(["a@example.com"], "Hi", "text", "r1.1.2") is False


def test_a_server_that_is_not_there_has_sent_nothing(tmp_path: Path) -> None:
    live(tmp_path, smtp="127.0.0.1:1")
    with pytest.raises(ConnectionRefusedError) as refused:
        send(["a@example.com"])
    assert vars(refused.value)["phase"] == "not_sent"


def test_without_a_folder_of_sent_mail_nobody_can_tell(tmp_path: Path) -> None:
    live(tmp_path)
    assert was_sent(["a@example.com"], "Hi", "text", "r1.1.1") is None
    live(tmp_path, sent="gone")
    assert was_sent(["a@example.com"], "Hi", "text", "r1.1.1") is None


@pytest.mark.parametrize(
    "address",
    [
        "a@example.com\r\nBcc: b@example.com",
        "a@example.com\n",
        "a@example.com, b@example.com",
        "Anna <a@example.com>",
        "a@@example.com",
        "a b@example.com",
        "dаna@example.com",  # noqa: RUF001 -- the Cyrillic letter is the point
        "a@example.com>",
        "a\u200b@example.com",
        "@example.com",
        "a@",
        "",
        ("a" * 250) + "@example.com",
    ],
)
def test_what_is_not_exactly_one_address_is_refused(address: str, tmp_path: Path) -> None:
    live(tmp_path, smtp="127.0.0.1:1")
    with pytest.raises(ValueError, match="not a mail address"):
        send(["ok@example.com", address])


def test_a_mail_without_recipients_or_with_a_crowd_is_refused(tmp_path: Path) -> None:
    live(tmp_path, smtp="127.0.0.1:1")
    for to in ([], ["a@example.com"] * 51):
        with pytest.raises(ValueError, match=f"{len(to)} addresses"):
            send(to)


@pytest.mark.parametrize(
    "subject", ["Hi\r\nBcc: b@example.com", "Hi\nX: y", "Hi\rthere", "a\u2028b", "\0"]
)
def test_a_subject_never_becomes_a_header(subject: str, tmp_path: Path) -> None:
    live(tmp_path, smtp="127.0.0.1:1")
    with pytest.raises(ValueError, match="`subject` holds"):
        send(["a@example.com"], subject=subject)
    with pytest.raises(ValueError, match="message id"):
        send(["a@example.com"], message_id=f"r1{subject}")


def test_missing_settings_are_said(tmp_path: Path) -> None:
    live(tmp_path)
    with pytest.raises(ConfigError, match="`smtp`"):
        send(["a@example.com"])
    live(tmp_path, smtp="localhost:25", **{"from": ""})
    with pytest.raises(ConfigError, match="`from`"):
        send(["a@example.com"])
    for smtp in ("imap://x:1", "smtp://u:pw@host", "host:99999", "smtp://"):
        live(tmp_path, smtp=smtp)
        with pytest.raises(ConfigError, match="not of the form") as wrong:
            send(["a@example.com"])
        assert "pw" not in str(wrong.value)
    with pytest.raises(ConfigError, match="inbox"):
        mail_list()


def test_a_login_uses_the_user_of_the_url_and_the_secret(tmp_path: Path) -> None:
    seen: list[tuple[bytes, bytes]] = []

    def check(
        server: object, session: object, envelope: object, mechanism: str, pair: LoginPassword
    ) -> AuthResult:
        seen.append((pair.login, pair.password))
        return AuthResult(success=pair.password == b"right", handled=False)

    post = Post(tmp_path / "sent")
    right, wrong = {"password": "right"}, {"password": "wrong"}
    with served(post, authenticator=check, auth_require_tls=False) as address:
        url = f"smtp://agent%40shop@{address}"
        live(tmp_path, smtp=url, **right)
        send(["a@example.com"])
        live(tmp_path, smtp=url, **wrong)
        with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            send(["a@example.com"])
    assert seen[0] == (b"agent@shop", b"right")
    assert (vars(refused.value)["phase"], refused.value.smtp_code) == ("not_sent", 535)
    assert len(post.envelopes) == 1


def test_the_inbox_is_listed_in_order_and_read(tmp_path: Path) -> None:
    live(tmp_path)
    first = deliver(tmp_path, letter(subject="First"))
    deliver(tmp_path, letter(sender="bert@example.com"))
    assert mail_list() == [
        {"id": "1", "from": "Anna <anna@example.com>", "subject": "First", "date": "Sun, 22 Nov 2026 07:00:00 +0000"},
        {"id": "2", "from": "bert@example.com", "subject": "Grüße", "date": "Sun, 22 Nov 2026 07:00:00 +0000"},
    ]  # fmt: skip
    box = mailbox.Maildir(tmp_path / "inbox")
    seen = box[first]
    seen.set_subdir("cur")
    seen.set_flags("S")
    box[first] = seen
    assert mail_list()[0]["subject"] == "First"
    assert mail_read("1")["to"] == "shop@example.com"
    assert mail_read("2")["body"] == "Where is it?\n"
    with pytest.raises(FileNotFoundError, match="no mail `3`: the inbox has 1 to 2"):
        mail_read("3")


def test_an_html_mail_is_read_as_text_with_its_links(tmp_path: Path) -> None:
    live(tmp_path)
    message = letter()
    message.set_content(
        "<head><title>t</title></head><style>p{}</style><p>Dear&nbsp;shop,<br>see <a href='https://x.example'>here</a>"
        "<script>alert(1)</script></p>",
        subtype="html",
    )
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="bill.pdf")
    deliver(tmp_path, message)
    read = mail_read("1")
    assert read["body"] == "Dear shop,\nsee <https://x.example> here"
    assert read["attachments"] == ["bill.pdf"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no header at all",
        b"Subject: =?nope?b?!!?=\nFrom: <<>>\nContent-Type: text/plain; charset=klingon\n\n\xff\xfe",
        b'Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/html; charset=""\n\n<p',
        b"To: \xff\xfe\nDate: yesterday\nContent-Transfer-Encoding: base64\n\n@@@",
    ],
)
def test_a_broken_mail_is_read_all_the_same(raw: bytes, tmp_path: Path) -> None:
    live(tmp_path)
    deliver(tmp_path, raw)
    assert len(mail_list()) == 1
    assert isinstance(mail_read("1")["body"], str)


def test_reading_leaves_the_mail_where_it_is(
    tmp_path: Path, make_tree: Callable[[Path], list[str]]
) -> None:
    live(tmp_path)
    deliver(tmp_path, letter())
    before = make_tree(tmp_path)
    mail_list()
    mail_read("1")
    assert make_tree(tmp_path) == before


@pytest.fixture
def make_tree() -> Callable[[Path], list[str]]:
    return lambda root: sorted(str(path) for path in root.rglob("*"))


def judged(**mail: str | list[str]) -> Outcome:
    arguments: dict[str, Any] = {"to": ["a@example.com"], **mail}
    with pytest.raises(Exception) as raised:  # noqa: PT011 -- what it means is what is tested
        send(**arguments)
    return judge(Tool(name="send_email", effect=Effect.ONCE), Raised(fault_of(raised.value)))


class Rude(Post):
    """A server that hangs up in the middle."""

    async def handle_MAIL(  # noqa: N802 -- the name aiosmtpd calls
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        assert isinstance(server.transport, asyncio.WriteTransport)
        server.transport.abort()
        return "250 nobody hears this"


def test_a_server_that_hangs_up_before_the_text_has_sent_nothing(tmp_path: Path) -> None:
    with served(Rude(tmp_path / "sent")) as address:
        live(tmp_path, smtp=address)
        outcome = judged()
    assert isinstance(outcome, Failed)
    assert outcome.phase is Phase.NOT_SENT


def test_a_server_that_hangs_up_after_the_last_line_stays_in_doubt(post: Post) -> None:
    post.answer = None
    assert isinstance(judged(), Unknown)


def test_a_mail_that_cannot_be_written_is_not_in_doubt(tmp_path: Path) -> None:
    live(tmp_path, smtp="127.0.0.1:1")
    for mail, kind in (
        ({"subject": "a\nb"}, Kind.BAD_INPUT),
        ({"to": ["nobody"]}, Kind.BAD_INPUT),
        ({}, Kind.NOT_SENT),
    ):
        outcome = judged(**mail)
        assert isinstance(outcome, Failed)
        assert (outcome.kind, outcome.phase) == (kind, Phase.NOT_SENT)
    live(tmp_path)
    outcome = judged()
    assert isinstance(outcome, Failed)
    assert outcome.kind is Kind.ENVIRONMENT

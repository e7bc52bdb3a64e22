import smtplib
import sqlite3
from collections.abc import Callable

import pytest

from standpipe.actions import Fault, Raised, Tool
from standpipe.outcomes.classify import classify, judge
from standpipe.outcomes.outcome import Failed, Kind, Phase, Unknown

Make = Callable[..., Tool]
Convert = Callable[[BaseException], Fault]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (smtplib.SMTPAuthenticationError(535, "5.7.8 bad credentials"), Kind.CREDENTIAL),
        (
            smtplib.SMTPSenderRefused(530, b"5.7.0 authenticate first", "a@b.example"),
            Kind.CREDENTIAL,
        ),
        (smtplib.SMTPSenderRefused(550, b"5.7.1 relaying denied", "a@b.example"), Kind.FORBIDDEN),
        (smtplib.SMTPDataError(554, "rejected"), Kind.BAD_INPUT),
        (smtplib.SMTPDataError(451, "4.7.1 greylisted"), Kind.RATE_LIMITED),
        (smtplib.SMTPDataError(421, "try later"), Kind.OVERLOADED),
        (smtplib.SMTPConnectError(421, "too many"), Kind.OVERLOADED),
        (smtplib.SMTPRecipientsRefused({"x@y.example": (550, b"no such user")}), Kind.BAD_INPUT),
        (smtplib.SMTPNotSupportedError("STARTTLS not supported"), Kind.ENVIRONMENT),
    ],
)
def test_a_reply_of_a_mail_server_is_an_answer(
    error: BaseException, kind: Kind, tool: Make, as_fault: Convert
) -> None:
    outcome = judge(tool("once"), Raised(as_fault(error)))
    assert isinstance(outcome, Failed)
    assert outcome.kind is kind


def test_a_mail_server_that_hangs_up_leaves_the_mail_in_doubt(
    tool: Make, as_fault: Convert
) -> None:
    error = smtplib.SMTPServerDisconnected("Connection unexpectedly closed")
    assert isinstance(judge(tool("once"), Raised(as_fault(error))), Unknown)


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("select * from nowhere", Kind.NOT_FOUND),
        ("select nothing from t", Kind.BAD_INPUT),
        ("selec 1", Kind.BAD_INPUT),
        ("insert into t values (1)", Kind.CONFLICT),
        ("insert into t values (null)", Kind.BAD_INPUT),
        ("select ?", Kind.BAD_INPUT),
    ],
)
def test_sqlite_says_no_and_nothing_happened(
    sql: str, kind: Kind, tool: Make, as_fault: Convert
) -> None:
    database = sqlite3.connect(":memory:")
    database.execute("create table t (id integer not null unique)")
    database.execute("insert into t values (1)")
    with pytest.raises(sqlite3.Error) as caught:
        database.execute(sql)
    database.close()
    outcome = judge(tool("once"), Raised(as_fault(caught.value)))
    assert isinstance(outcome, Failed)
    assert outcome.kind is kind


@pytest.mark.parametrize(
    ("state", "kind", "answered"),
    [
        ("23505", Kind.CONFLICT, True),
        ("23502", Kind.BAD_INPUT, True),
        ("28P01", Kind.CREDENTIAL, True),
        ("42501", Kind.FORBIDDEN, True),
        ("42P01", Kind.NOT_FOUND, True),
        ("53300", Kind.OVERLOADED, True),
        ("08001", Kind.NOT_SENT, True),
        ("08006", Kind.SERVER_ERROR, False),
        ("40003", Kind.OTHER, False),
        ("57P01", Kind.SERVER_ERROR, False),
    ],
)
def test_sqlstate_says_what_and_whether_it_happened(
    state: str, kind: Kind, answered: bool, tool: Make
) -> None:
    fault = Fault(
        type="Error", module="psycopg.errors", message="no", attributes={"sqlstate": state}
    )
    assert classify(tool(), fault).kind is kind
    outcome = judge(tool("once"), Raised(fault))
    assert isinstance(outcome, Failed) is answered


def test_mysql_tells_its_number_in_the_message(tool: Make) -> None:
    fault = Fault(type="IntegrityError", module="pymysql.err", message='(1062, "Duplicate entry")')
    failed = classify(tool(), fault)
    assert (failed.kind, failed.code, failed.phase) == (Kind.CONFLICT, "1062", Phase.PARSED)

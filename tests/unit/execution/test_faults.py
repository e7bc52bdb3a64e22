import errno
import io
import smtplib
import urllib.error
from collections.abc import Callable
from email.message import Message
from enum import Enum
from http import HTTPStatus
from types import SimpleNamespace

import httpx
import msgspec
import pytest

from standpipe.actions import Fault
from standpipe.execution.faults import as_json, fault_of, least_size


def raised(act: Callable[[], object]) -> BaseException:
    try:
        act()
    except BaseException as error:  # noqa: BLE001 -- whatever it is, it is what the test is about
        return error
    pytest.fail("nothing was raised")


def failing(error: BaseException) -> Fault:
    def act() -> None:
        raise error

    return fault_of(raised(act))


class Carrying(Exception):  # noqa: N818 -- stands for classes of other people
    """An exception with whatever attributes a test hangs on it."""

    def __init__(self, message: str = "", **attributes: object) -> None:
        super().__init__(message)
        vars(self).update(attributes)


def test_an_operating_system_error_keeps_number_and_file() -> None:
    fault = failing(FileNotFoundError(errno.ENOENT, "no such file", "a.txt"))
    assert (fault.type, fault.module) == ("FileNotFoundError", "builtins")
    assert (fault.attributes["errno"], fault.attributes["filename"]) == (errno.ENOENT, "a.txt")
    assert fault.bases[0] == "builtins.OSError"


def test_an_answer_of_httpx_is_read() -> None:
    request = httpx.Request("GET", "https://api.example.com/orders")
    response = httpx.Response(
        429,
        headers={"Retry-After": "3", "Set-Cookie": "session=abc"},
        text="slow down" * 1000,
        request=request,
    )
    fault = fault_of(raised(response.raise_for_status))
    assert fault.attributes["status_code"] == 429
    assert fault.headers["retry-after"] == "3"
    assert "set-cookie" not in fault.headers
    assert fault.body.startswith("slow down")
    assert len(fault.body) == 4096
    assert fault.url == "https://api.example.com/orders"


def test_a_request_that_never_left_names_its_url() -> None:
    request = httpx.Request("GET", "https://api.example.com/orders")
    fault = failing(httpx.ConnectError("refused", request=request))
    assert fault.url == "https://api.example.com/orders"
    assert "httpx.TransportError" in fault.bases


def test_a_property_that_raises_is_left_out() -> None:
    fault = failing(httpx.ConnectError("refused"))  # its `request` is a property that raises
    assert (fault.message, fault.url) == ("refused", "")


def test_an_error_of_urllib_is_its_own_answer() -> None:
    headers = Message()
    headers["Retry-After"] = "7"
    error = urllib.error.HTTPError(
        "http://api.example.com/", 503, "busy", headers, io.BytesIO(b"later")
    )
    fault = failing(error)
    error.close()
    assert (fault.attributes["status_code"], fault.body) == (503, "later")
    assert fault.headers == {"retry-after": "7"}


def test_an_error_of_smtplib_keeps_its_code() -> None:
    fault = failing(smtplib.SMTPDataError(550, b"no such user"))
    assert (fault.attributes["smtp_code"], fault.attributes["smtp_error"]) == (550, "no such user")


def test_an_error_of_botocore_keeps_code_and_status() -> None:
    response = {
        "Error": {"Code": "SlowDown", "Message": "reduce your rate"},
        "ResponseMetadata": {"HTTPStatusCode": 503, "HTTPHeaders": {"X-Id": "1"}},
    }
    fault = failing(Carrying("rate", response=response))
    assert (fault.attributes["code"], fault.attributes["status_code"]) == ("SlowDown", 503)
    assert (fault.body, fault.headers) == ("reduce your rate", {"x-id": "1"})


def test_only_scalars_are_kept_and_long_ones_are_cut() -> None:
    class Colour(Enum):
        RED = "red"

    fault = failing(
        Carrying(
            status=HTTPStatus.GONE, code=Colour.RED, sqlstate=b"23505", thing=[1], long="x" * 999
        )
    )
    assert fault.attributes["status"] == 410
    assert (fault.attributes["code"], fault.attributes["sqlstate"]) == ("red", "23505")
    assert "thing" not in fault.attributes
    assert len(str(fault.attributes["long"])) == 512


def test_causes_contexts_and_groups_are_kept() -> None:
    def act() -> None:
        raise ExceptionGroup("two", [ValueError("a"), OSError("b")]) from KeyError("inner")

    fault = fault_of(raised(act))
    assert fault.cause is not None
    assert fault.cause.type == "KeyError"
    assert [each.type for each in fault.group] == ["ValueError", "OSError"]


def test_a_suppressed_context_is_left_out() -> None:
    def act() -> None:
        try:
            int("x")
        except ValueError:
            raise KeyError("outer") from None

    def careless() -> None:
        try:
            int("x")
        except ValueError:
            raise KeyError("outer")  # noqa: B904 -- the context is what this is about

    assert fault_of(raised(act)).cause is None
    assert (fault_of(raised(careless)).cause or Fault("", "")).type == "ValueError"


def test_a_circle_of_causes_ends() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    fault = failing(one)
    assert fault.cause is not None
    assert fault.cause.cause is None


def test_own_code_says_whose_line_raised() -> None:
    mine = raised(lambda: int("x"))
    theirs = raised(lambda: as_json(object()))
    assert fault_of(mine, own_file=__file__).own_code
    assert not fault_of(theirs, own_file=__file__).own_code
    assert not fault_of(mine, own_file="").own_code


def test_the_place_is_the_innermost_line_of_the_tool() -> None:
    def fetch() -> object:
        return msgspec.json.decode(b"[")

    line = fetch.__code__.co_firstlineno + 1
    fault = fault_of(raised(fetch), own_file=__file__)
    assert fault.place.startswith(f"test_faults.py:{line} in ")
    assert fault.place.endswith("fetch")
    assert fault_of(raised(fetch)).place == ""


def test_a_group_that_holds_itself_many_times_is_read_in_no_time() -> None:
    group: ExceptionGroup[Exception] = ExceptionGroup("leaf", [ValueError("a")])
    for _ in range(20):
        group = ExceptionGroup("all", [group] * 16)
    assert len(str(failing(group))) < 100_000


@pytest.mark.parametrize(
    ("value", "size"), [("abc", 3), ({"a": ["b", 1]}, 6), (b"ab", 2), ([], 0), (None, 1)]
)
def test_a_value_takes_at_least_so_much(value: object, size: int) -> None:
    assert least_size(value, enough=100) == size
    assert least_size(value, enough=100) <= len(msgspec.json.encode(value))


def test_measuring_ends_where_it_is_enough() -> None:
    endless: list[object] = []
    endless.append(endless)
    laughs: list[object] = ["ha"]
    for _ in range(20):
        laughs = [laughs] * 10
    assert least_size(endless, enough=1000) == 1001
    assert least_size(laughs, enough=1000) < 2000


def test_an_exception_whose_text_cannot_be_made_is_still_told() -> None:
    class Mute(Exception):  # noqa: N818 -- stands for classes of other people
        def __str__(self) -> str:
            raise RuntimeError

    assert failing(Mute()).message == ""


def test_text_that_is_not_unicode_can_be_encoded() -> None:
    fault = failing(ValueError("a\ud800b"))
    assert msgspec.json.decode(msgspec.json.encode(fault), type=Fault).message == "a?b"


class Mail(msgspec.Struct):
    to: str


@pytest.mark.parametrize(
    ("value", "json"),
    [
        ({"a": (1, 2.5, None)}, {"a": [1, 2.5, None]}),
        (Mail("a@example.com"), {"to": "a@example.com"}),
        ([Mail("a@example.com")], [{"to": "a@example.com"}]),
        (b"text", "text"),
    ],
)
def test_results_become_json(value: object, json: object) -> None:
    assert as_json(value) == json


@pytest.mark.parametrize("value", [object(), b"\xff", SimpleNamespace(a=1)])
def test_what_json_has_no_words_for_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is not JSON"):
        as_json(value)


def test_a_circle_is_refused() -> None:
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(ValueError, match=r"[Cc]ircular"):
        as_json(circle)

import pytest

from standpipe.governor import literals
from standpipe.governor.fingerprint import fingerprints, template
from standpipe.outcomes.outcome import Failed, Kind, Unknown


@pytest.mark.parametrize(
    ("message", "shape"),
    [
        ("\x1b[31mfatal\x1b[0m: no branch 'x'", "fatal: no branch <*>"),
        ('Traceback (most recent call last):\n  File "a.py", line 3\nValueError: bad 17', "valueerror: bad <*>"),
        ("401 - {'error': {'code': 'expired', 'request_id': 'r-17'}}", "401 - code expired"),
        ('500 {"detail": "at 2026-11-22T07:00:00Z", "code": "23505"}', "500 code 23505 detail at <*>"),
        ("Client error '404 Not Found' for url 'https://x.example/7'", "client error '404 not found' for url <*>"),
        ("[Errno 13] Permission denied: '/srv/a b.txt'", "[errno 13] permission denied: <*>"),
        ("curl: (6) Could not resolve host: x.example.org", "curl: (6) could not resolve host: <*>"),
        ("mail from a.b@x.example refused: 550 5.7.1 no", "mail from <*> refused: 550 5.7.1 no"),
        ("job 3f2504e0-4f89-41d3-9a0c-0305e82c3301 on 10.0.0.7:80 died", "job <*> on <*> died"),
        ("psycopg.errors.UniqueViolation: key", "psycopg.errors.uniqueviolation: key"),
        ("Couldn't open organization's file", "couldn't open organization's file"),
        ("SSLError(1, 'it has not been signed')", "sslerror(1, it has not been signed )"),
        ("'NoneType' object has no attribute 'x'", "'nonetype' object has no attribute <*>"),
        ('relation "x" does not exist\nLINE 1: SELECT * FROM x\n       ^\n', "relation <*> does not exist"),
        ("name 'x' is not defined. Did you mean: 'y'?", "name <*> is not defined"),
        ("error[E0425]: cannot find value `x`\n --> a.rs:7:1\n", "error[e0425]: cannot find value <*>"),
        ("SQLSTATE[HY000] [2002] no", "sqlstate[hy000] [<*>] no"),
        ("ORA-00942: no such table", "ora-00942: no such table"),
        ("404, message='Not Found', url='http://a.example/x'", "404, message=<*>, url=<*>"),
        ('{"email": ["is no valid address"]}', "is no valid address"),
        ('{"statusCode": 503, "name": "shop", "id": 7}', "statuscode 503"),
        ("\\x1b[31mfatal\\x1b[0m: no", "fatal: no"),
        ("Nov 22 07:00:00 it died", "<*> it died"),
        ("KeyError: \"['total'] not found in axis\"", "keyerror: <*> not found in axis"),
        ("KeyError: 'Worksheet north does not exist.'", "keyerror: worksheet <*> does not exist."),
        ("KeyError: 'order total'", "keyerror: <*>"),
        ("KeyError: 'There\\'s no \"x\"'", "keyerror: there's no <*>"),
        ("ResponseError('too many 503 error responses')", "responseerror('too many 503 error responses')"),
        ("ValueError: 411 rows are too many", "valueerror: <*> rows are too many"),
        ("length of values (411) does not match", "length of values (<*>) does not match"),
        ("429 quota used up", "429 quota used up"),
        ("a.c:1:10: fatal error: b.h: no such file", "<*> at line: fatal error: <*>: no such file"),
        ("cc1: fatal error: b.c: no such file", "<*>: fatal error: <*>: no such file"),
        ("error: cannot find symbol\n  symbol:   class ShopDune\n", "error: cannot find symbol symbol: class <*>"),
        ("no such image: shop-7:latest", "no such image: <*>"),
        ("invalid api key: sk_test_***c924", "invalid api key: <*>"),
    ],
)  # fmt: skip
def test_only_what_varies_is_masked(message: str, shape: str) -> None:
    assert template(message, {}) == shape


def test_bodies_that_differ_in_their_status_stay_apart() -> None:
    shapes = {
        template(f"{{'status': {status}, 'id': 'a{status}'}}", {}) for status in (401, 404, 500)
    }
    assert len(shapes) == 3


def test_the_calls_own_arguments_are_masked_in_every_spelling() -> None:
    arguments = {"query": {"name": "größe a", "ids": ["weekly-report"]}}
    for said in ("größe a", "gr%C3%B6%C3%9Fe%20a", "weekly-report", "weekly_report"):
        assert template(f"no row for {said} here", arguments) == "no row for <*> here"


def test_a_short_argument_masks_no_word_it_happens_to_be_part_of() -> None:
    assert template("authentication failed", {"user": "auth"}) == "authentication failed"


def test_a_long_hostile_message_is_cut_and_read_in_one_pass() -> None:
    for text in (
        "{[" * 50_000,
        "'" * 50_000,
        "a." * 50_000,
        "/" * 50_000,
        "a" * 100_000,
        "<*>" * 9_999,
    ):
        assert len(template(text, {"a": text})) <= 400


def test_three_names_for_three_questions() -> None:
    def named(tool: str, argument: str, host: str) -> tuple[str, str, str]:
        failed = Failed(Kind.CREDENTIAL, f"HTTP 401 from {host} for {argument}", "401", host=host)
        marks = fingerprints(tool, {"id": argument}, failed)
        return marks.instance, marks.site, marks.cause

    here = named("look", "order-17", "a.example")
    other_argument = named("look", "order-18", "a.example")
    other_host = named("look", "order-17", "b.example")
    other_tool = named("find", "order-17", "a.example")
    assert [a == b for a, b in zip(here, other_argument, strict=True)] == [False, True, True]
    assert [a == b for a, b in zip(here, other_host, strict=True)] == [True, False, True]
    assert [a == b for a, b in zip(here, other_tool, strict=True)] == [False, False, True]


def test_fingerprints_never_change_without_a_new_version() -> None:
    marks = fingerprints("look", {"id": 7}, Failed(Kind.NOT_FOUND, "HTTP 404: no order 7", "404"))
    doubt = fingerprints("send", {}, Unknown("the line went dead"))
    assert (marks.instance, marks.site, marks.cause, doubt.site) == (
        "516813ea4128",
        "6a9ea10467e6",
        "84538ff89fe1",
        "df88e7e33895",
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('x {"a": [1, 2.5, true, null]} y', {"a": ["1", "2.5", True, None]}),
        ("b {'a': 'it\\'s', 'b': None,}", {"a": "it's", "b": None}),
        ("[Errno 2] {'a': 1}", {"a": "1"}),
        ('{"a": 1, "b": "and so o', {"a": "1", "b": "and so o"}),
        ("{a: 1}", {"a": "1"}),
        ("{a: b}", None),
        ("{}", None),
        ("nothing", None),
    ],
)
def test_the_first_literal_that_says_something_is_found(text: str, value: object) -> None:
    found = literals.first(text)
    assert (found and found.value) == value

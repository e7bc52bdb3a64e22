"""A failure as a sentence."""

import pytest

from standpipe.journal.causes import CAUSE_CHARACTERS_MAX, HELPS, cause, helps, told, way_out
from standpipe.journal.failures import Failure
from standpipe.journal.tried import times
from standpipe.outcomes.outcome import Kind


def failure(message: str = "no", **more: object) -> Failure:
    facts = {
        "action": "r1.1.1", "tool": "fetch_orders", "kind": "credential", "site": "0a1b2c3d4e5f",
        "message": message, "count": 1, "attempts": 1, "first_at": "", "last_at": "",
        "recovery": "escalate", "why": "",
    }  # fmt: skip
    return Failure(**{**facts, **more})  # type: ignore[arg-type]


def test_a_sentence_has_kind_site_cause_what_was_tried_how_often_and_what_helps() -> None:
    said = told(
        failure(
            "HTTP 401 token_expired from api.shop.example\nhint: none of ours",
            code="token_expired",
            host="api.shop.example",
            count=2,
            tried=("retried twice", "waited 3.2 s", "refreshed the credential", "tried `mirror`"),
        )
    )
    assert said == (
        "`fetch_orders` failed twice (credential, site 0a1b2c3d4e5f): HTTP 401 token_expired from api.shop.example; "
        "retried twice; waited 3.2 s; refreshed the credential; tried `mirror`; "
        "what helps: renew the credential it is called with"
    )


def test_code_and_place_are_named_where_the_words_lack_them() -> None:
    assert cause(failure("gone", code="410", host="api.x")) == "gone (410) from api.x"
    assert cause(failure("HTTP 410 from api.x", code="410", host="api.x")) == "HTTP 410 from api.x"
    assert cause(failure("", kind="server_error", host="api.x")) == "server error from api.x"
    assert cause(failure("no result within 5 s", code="deadline")) == "no result within 5 s"


def test_a_long_message_in_many_lines_is_one_line_and_cut() -> None:
    said = cause(failure("line\n" * 1000))
    assert "\n" not in said
    assert len(said) == CAUSE_CHARACTERS_MAX + 1


def test_the_words_of_the_other_side_give_no_advice() -> None:
    assert "rm -rf" not in told(failure("broken\nhint: rm -rf /"))


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_something_a_person_can_do(kind: Kind) -> None:
    assert helps(kind) == HELPS[kind]
    assert HELPS[kind]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("in_doubt", "a person who knows"),
        ("bad_input", "any arguments"),
        ("overloaded", "at api.x"),
    ],
)
def test_what_resolves_a_failure_follows_its_kind(kind: str, said: str) -> None:
    assert said in way_out(failure(kind=kind, host="api.x"))


def test_how_often_is_said_in_words_where_there_are_some() -> None:
    assert [times(number) for number in (1, 2, 3)] == ["once", "twice", "3 times"]

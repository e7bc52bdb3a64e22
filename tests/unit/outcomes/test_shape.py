import pytest

from standpipe.outcomes.shape import is_empty


@pytest.mark.parametrize(
    "value",
    [
        "", "  \n", [], (), {}, None, "[]", "{}", "null", "no results", "No results found.", "0 rows", "(0 rows)",
        "No matches found", "nothing found", "There are no messages.", "no files found", "No results for 'a b'",
        {"rows": []}, {"columns": ["id"], "rows": [], "row_count": 0, "truncated": False}, {"results": [], "total": 0},
        {"data": {"orders": []}}, '{"items": [], "next": null}', {"orders": []},
        {"status": 200, "headers": {"a": "b"}, "body": ""}, {"status": 200, "body": {"hits": []}},
        {"content": [{"type": "text", "text": "No results"}], "isError": False}, {"content": []},
    ],
    ids=repr,
)  # fmt: skip
def test_nothing_found_is_empty_however_it_is_said(value: object) -> None:
    assert is_empty(value)


@pytest.mark.parametrize(
    "value",
    [
        0, False, "0", [0], [None], ["a"], [[]], {"count": 0}, {"ok": True}, {"id": 1, "tags": "x"}, "done",
        "No results were lost in the move", "not found in the index, so I added it", {"rows": [[1]]},
        {"results": [], "items": [1]}, {"content": [{"type": "text", "text": "a"}]}, "no", '{"total": 3}',
        {"orders": [1], "errors": []},
    ],
    ids=repr,
)  # fmt: skip
def test_an_answer_is_not_empty_because_it_is_small(value: object) -> None:
    assert not is_empty(value)

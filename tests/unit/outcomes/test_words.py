"""What programs and libraries say when nothing else tells: `sentences.jsonl` holds the kinds a careful reader would accept."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from standpipe.actions import Fault, Returned, Tool
from standpipe.outcomes.classify import classify, judge
from standpipe.outcomes.evidence import error
from standpipe.outcomes.outcome import Failed, Kind, Succeeded

Make = Callable[..., Tool]
GOLDEN = Path(__file__).parents[2] / "golden" / "sentences.jsonl"


class Sentence(msgspec.Struct):
    kinds: list[Kind]
    message: str
    type: str = ""
    module: str = ""


ROWS = [msgspec.json.decode(line, type=Sentence) for line in GOLDEN.read_text().splitlines()]
SAID = [row for row in ROWS if not row.type]
RAISED = [row for row in ROWS if row.type]


@pytest.mark.parametrize("row", SAID, ids=lambda row: row.message[:100])
def test_a_sentence_means_the_same_raised_and_returned(row: Sentence, tool: Make) -> None:
    assert classify(tool(), Fault("ToolError", row.message, "tools")).kind in row.kinds
    outcome = judge(tool(), Returned(f"Error: {row.message}"))
    assert isinstance(outcome, Failed)
    assert outcome.kind in row.kinds


@pytest.mark.parametrize(
    "row", RAISED, ids=lambda row: f"{row.module}.{row.type}:{row.message[:60]}"
)
def test_a_name_and_a_sentence_are_read_together(row: Sentence, tool: Make) -> None:
    assert classify(tool(), error(row.type, row.message, row.module).fault).kind in row.kinds


@pytest.mark.parametrize("row", SAID, ids=lambda row: row.message[:100])
def test_a_log_that_holds_the_sentence_is_data(row: Sentence, tool: Make) -> None:
    log = f"2026-11-22 07:00:00 INFO start\n2026-11-22 07:00:01 Error: {row.message}\n"
    assert judge(tool(), Returned(log)) == Succeeded(log)


@pytest.mark.parametrize(
    "text", ["took 500 ms", "read 404 bytes of 429", "order 403 is open", "v4.29.503", "404.5 km"]
)
def test_a_number_without_its_word_is_no_status(text: str, tool: Make) -> None:
    assert classify(tool(), Fault("E", text, "x")).kind is Kind.OTHER

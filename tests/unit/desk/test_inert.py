import json
import unicodedata
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from standpipe.desk.inert import inert, markdown

HOSTILE = json.loads(Path(__file__).with_name("hostile.json").read_text(encoding="utf-8"))
TEXTS: list[str] = HOSTILE["text"]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_no_control_character_reaches_a_terminal(text: str) -> None:
    shown = inert(text)
    assert not [c for c in shown if unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp", "Cs"}]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_markdown_makes_no_element_of_a_foreign_text(text: str) -> None:
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    tokens = parser.parse(f"- {markdown(text)}\n")
    kinds = {token.type for token in tokens} | {
        child.type for token in tokens for child in token.children or ()
    }
    allowed = {"bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close",
               "paragraph_open", "paragraph_close", "inline", "text", "text_special"}  # fmt: skip
    assert kinds <= allowed


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_markdown_shows_every_character_of_a_foreign_text(text: str) -> None:
    tokens = MarkdownIt("commonmark").parse(f"- {markdown(text)}\n")
    shown = "".join(child.content for token in tokens for child in token.children or ())
    assert shown == inert(text).strip()


def test_bidi_controls_are_shown_as_their_code_point() -> None:
    assert inert("x\u202etxt.exe") == "x⟨U+202E⟩txt.exe"


def test_a_long_text_is_cut_and_says_so() -> None:
    long = HOSTILE["long"]
    shown = inert(long["character"] * long["repeat"])
    assert len(shown) <= long["must_render_at_most_characters"]
    assert shown.endswith("(200,000 characters; `--json` has them all)")


def test_a_text_that_grows_when_it_is_escaped_stays_within_the_limit() -> None:
    assert len(inert("\u202e" * 1999)) <= 2000


def test_ordinary_text_is_left_alone() -> None:
    assert inert("Grüße an 田中 😀 — 3 < 4") == "Grüße an 田中 😀 — 3 < 4"

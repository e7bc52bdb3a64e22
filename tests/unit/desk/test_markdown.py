import json
import unicodedata
from pathlib import Path
from typing import Any

import msgspec
import pytest
from markdown_it import MarkdownIt

from standpipe.actions import Effect
from standpipe.desk.markdown import report_as_markdown
from standpipe.desk.report import Report, report
from standpipe.desk.sections import page
from standpipe.governor.recovery import Escalate
from standpipe.journal.entries import Check, Checked, LessonRecorded, Noted, SegmentEnded
from standpipe.outcomes.outcome import Failed, Kind

TEXTS: list[str] = json.loads(Path(__file__).with_name("hostile.json").read_text(encoding="utf-8"))[
    "text"
]


async def hostile_report(told: Any, text: str) -> Report:
    await told.propose("r1.1.1", "send_email", {"to": [text], "subject": text}, why=text)
    await told.settle("r1.1.1", "send_email")
    await told.propose("r1.2.1", "http_get", {"url": text}, effect=Effect.READ)
    failed = Failed(Kind.SERVER_ERROR, text)
    await told.settle("r1.2.1", "http_get", failed, recovery=Escalate(text), site="s1")
    await told.say("n", Noted("agent", text, text, (text,)))
    await told.say("c", Checked((Check(text, passed=False, evidence=text),)))
    await told.say("L", LessonRecorded("L-1", text, 2, "lesson"))
    await told.ask("b1", action="r1.1.1")
    await told.say("1", SegmentEnded("blocked", text))
    return report(await told.entries())


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
async def test_nothing_in_a_report_acts_in_markdown(told: Any, text: str) -> None:
    made = report_as_markdown(await hostile_report(told, text))
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(made)
    inner = [child for token in tokens for child in token.children or ()]
    assert {child.type for child in inner} <= {"text", "text_special", "code_inline", "softbreak"}
    assert not {token.type for token in tokens} & {
        "html_block",
        "table_open",
        "fence",
        "code_block",
        "hr",
    }
    headings = [
        tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "heading_open"
    ]
    assert headings[1:] == [
        "Needs you",
        "Happened outside",
        "Decisions",
        "Failures",
        "Checklist",
        "Lessons",
        "Usage",
    ]
    assert not [c for c in made if c != "\n" and unicodedata.category(c) in {"Cc", "Cf", "Cs"}]


async def test_what_needs_a_person_comes_first_and_empty_parts_are_left_out(told: Any) -> None:
    await told.ask("b1")
    await told.say("1", SegmentEnded("blocked", "may I?"))
    made = report_as_markdown(report(await told.entries()))
    assert made.index("## Needs you") < made.index("## Usage")
    assert "`standpipe answer b1 yes|no`" in made
    assert [line for line in made.splitlines() if line.startswith("## ")] == [
        "## Needs you",
        "## Usage",
    ]


async def test_seconds_are_no_numbered_list(told: Any) -> None:
    made = report_as_markdown(report(await told.entries()))
    assert "- 1.0 s, price unknown" in made


async def test_a_lost_run_says_how_to_go_on(told: Any) -> None:
    laid = page(report(await told.entries(), alive=False))
    assert laid.sections[0].rows[0].commands == ("standpipe resume r1",)


def test_a_report_written_by_others_in_the_shape_of_the_contract_is_read() -> None:
    text = """{"run":"R7","agent":"mailer","task":"T-3","status":"blocked","summary":"s",
    "started_at":"2026-11-22T07:00:19Z","ended_at":null,
    "blocked_on":[{"id":"A7","kind":"approval","ask":"Send?","why":"first mail","default":"park",
    "action":{"tool":"send_email","arguments":{"to":["dana@example.com"]}},"expires_at":"2026-11-23T07:00:19Z"}],
    "failures":[{"id":"F7","tool":"sql_query","kind":"server_error","fingerprint":"00","count":2,"message":"500",
    "first_at":"t","last_at":"t","recovery":"Escalate","why":"twice"}],
    "effects":[{"action":"X7","tool":"send_email","summary":"1 mail","why":"asked","reversible":false,
    "outcome":"Succeeded","at":"t"}],
    "files":[{"path":"a.md","change":"created","added":1,"removed":0,"why":"w","action":"X8"}],
    "decisions":[{"at":"t","by":"human","what":"x","why":"y","alternatives":["z"]}],
    "checklist":[{"name":"n","passed":true,"evidence":"e"}],"lessons":[],
    "usage":{"model_calls":1,"tool_calls":1,"attempts":1,"input_tokens":1,"output_tokens":1,"cost_usd":0.1,
    "wall_seconds":1.0}}"""
    made = msgspec.json.decode(text, type=Report)
    assert "standpipe answer A7 yes|no" in report_as_markdown(made)

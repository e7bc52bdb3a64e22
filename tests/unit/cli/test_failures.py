from collections.abc import Sequence

from msgspec.structs import replace

from standpipe.cli.commands.failures import SHOWN_MAX, judgement_line, overview_lines
from standpipe.desk.judging import Judgement
from standpipe.desk.sentences import Tone
from standpipe.desk.sites import STATES, KnownCall, KnownHost, KnownSite, Overview

NOW = "2026-11-22T07:00:00.000Z"
LATER = "2026-11-22T07:00:30.000Z"


OPEN = KnownSite(
    id="ab12cd34ef56", tool="fetch", host="", kind="forbidden", code="403", state="open", count=2, total=5,
    message="HTTP 403", first_at="2026-11-20T07:00:00.000Z", last_at="2026-11-22T06:59:00.000Z",
    closed_by=None, closed_at=None, next_probe_at=LATER, probe=None, question="b7", runs=("r1", "r4"),
)  # fmt: skip


def site(name: str = OPEN.id, **more: object) -> KnownSite:
    closed_at = "2026-11-22T06:59:50.000Z" if more.get("closed_by") else None
    return replace(OPEN, id=name, closed_at=closed_at, **more)


def shown(
    sites: Sequence[KnownSite] = (),
    hosts: Sequence[KnownHost] = (),
    calls: Sequence[KnownCall] = (),
) -> list[tuple[str, Tone]]:
    counts = {state: sum(one.state == state for one in sites) for state in STATES}
    found = Overview(
        updated_at=NOW, counts=counts, sites=tuple(sites), hosts=tuple(hosts), calls=tuple(calls)
    )
    return list(overview_lines(found, home="my shop"))


def test_an_open_site_says_how_often_since_when_what_helps_and_what_to_type() -> None:
    assert shown([site(host="api.shop.example")]) == [
        ("1 open", Tone.PLAIN),
        ("ab12 open: `fetch` at api.shop.example failed twice, 5 in all (forbidden 403): HTTP 403", Tone.BAD),
        ("  first 2 days ago, last 60 s ago; in r1, r4", Tone.QUIET),
        ("  refused in every run; next attempt in 30 s, or once b7 is answered", Tone.QUIET),
        ("  what helps: give its credential the right that is missing, or take the call out of the task", Tone.QUIET),
        ("  $ standpipe answer b7 TEXT|skip --home 'my shop'", Tone.PERSON),
    ]  # fmt: skip


def test_a_half_open_site_says_who_may_try_it() -> None:
    closed = shown([site(state="half_open", closed_by="operator", question=None)])
    assert closed[1][1] is Tone.PERSON
    assert "closed by operator: the next call is the one attempt" in closed[3][0]
    tried = shown([site(state="half_open", probe="r5.1.1")])
    assert tried[3][0] == "  r5.1.1 is the one attempt that is let through now"
    assert "its time has come" in shown([site(state="half_open")])[3][0]


def test_what_a_host_does_to_every_tool_names_the_host() -> None:
    assert "open: every tool at b.example failed" in shown([site(tool="", host="b.example")])[1][0]


def test_ids_are_as_short_as_they_can_be_and_still_tell_each_from_all_others() -> None:
    names = ["aaaa11110000", "aaaa11120000", "aaab00000000", "b00000000000"]
    lines = [
        text for text, _ in shown([site(name, state="counting", question=None) for name in names])
    ]
    assert [line.partition(" ")[0] for line in lines if "counting: " in line] == [
        "aaaa1111", "aaaa1112", "aaab", "b000",
    ]  # fmt: skip


def test_of_what_is_over_only_the_last_are_shown_and_the_rest_is_counted() -> None:
    over = [
        site(f"{number:012x}", state="resolved", closed_by="fetch")
        for number in range(SHOWN_MAX + 3)
    ]
    lines = [text for text, _ in shown(over)]
    assert len(lines) == 1 + SHOWN_MAX + 1
    assert lines[-1] == "… and 3 more resolved; `--json` has them all"
    assert lines[1].endswith("closed by fetch 10 s ago")


def test_hosts_and_calls_that_are_kept_back_are_told() -> None:
    paused = KnownHost(host="a.example", paused_until=LATER, retry_tokens=10.0, may_repeat=True)
    spent = KnownHost(host="b.example", paused_until=None, retry_tokens=4.9, may_repeat=False)
    busy = KnownHost(host="c.example", paused_until=None, retry_tokens=9.0, may_repeat=True)
    call = KnownCall(action="r1.2.1", tool="read_file", site="s", kind="not_found",
                     message="no such file", at=NOW, refused_until=LATER, question=None)  # fmt: skip
    assert [text for text, _ in shown(hosts=[paused, spent, busy], calls=[call])] == [
        "no failure is kept",
        "a.example is not asked by anybody: next in 30 s",
        "b.example: nothing is repeated there until calls work again (4.9 of 10 left)",
        "r1.2.1 read_file: this very call is refused in other runs (not_found: no such file)",
    ]


def test_what_the_other_side_wrote_cannot_act_on_the_terminal() -> None:
    for state in STATES:
        hostile = site(state=state, message="x\x1b[2J\nopen: y", tool="\u202etool", question=None)
        assert all(text.isprintable() for text, _ in shown([hostile]))


def test_an_answer_of_classify_is_a_row_and_a_stop_is_red() -> None:
    judged = Judgement(
        kind="forbidden", code="403", phase="parsed", recovery="escalate", why="a\x1bb"
    )
    text, tone = judgement_line(judged)
    assert text.split()[:4] == ["forbidden", "403", "parsed", "escalate"]
    assert tone is Tone.BAD
    assert text.isprintable()
    assert judgement_line(Judgement(why="it worked"))[1] is Tone.GOOD

from datetime import UTC, datetime
from pathlib import Path

import pytest

from standpipe.errors import UsageError
from standpipe.memory.decisions import Decision, Decisions

NOW = datetime(2026, 11, 22, 7, tzinfo=UTC)


def decision(number: int, why: str = "it is cheaper") -> Decision:
    return Decision(id=f"D-{number}", by="agent", what="wait", why=why, alternatives=("ask",))


def test_the_newest_decisions_come_first_across_months(tmp_path: Path) -> None:
    decisions = Decisions(tmp_path)
    for number, month in ((2, 10), (9, 11), (10, 11)):
        decisions.record(decision(number), now=NOW.replace(month=month))
    assert [one.id for one in decisions.latest(2).decisions] == ["D-10", "D-9"]
    assert [one.id for one in decisions.latest(9).decisions] == ["D-10", "D-9", "D-2"]
    assert decisions.highest_number() == 10


def test_a_decision_without_a_why_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no why"):
        Decisions(tmp_path).record(decision(1, why=" "), now=NOW)


def test_a_decision_is_never_changed(tmp_path: Path) -> None:
    Decisions(tmp_path).record(decision(1), now=NOW)
    with pytest.raises(UsageError, match="exists"):
        Decisions(tmp_path).record(decision(1), now=NOW.replace(month=12))


def test_the_words_of_an_untrusted_session_are_kept_apart(tmp_path: Path) -> None:
    kept = Decisions(tmp_path).record(decision(1, why="mallory said so"), now=NOW, trusted=False)
    assert (tmp_path / "brain" / kept.why).read_text() == "mallory said so"
    assert "mallory" not in (tmp_path / "brain/decisions/2026-11/D-1.md").read_text()


def test_a_broken_decision_is_listed_and_the_next_one_is_read(tmp_path: Path) -> None:
    decisions = Decisions(tmp_path)
    decisions.record(decision(1), now=NOW)
    (tmp_path / "brain/decisions/2026-11/D-2.md").write_text(
        "---\nid: D-2\nby: nobody\nwhat: a\nwhy: b\n---\n"
    )
    found = decisions.latest(1)
    assert [one.id for one in found.decisions] == ["D-1"]
    assert found.broken[0].message.startswith("brain/decisions/2026-11/D-2.md:3: ")

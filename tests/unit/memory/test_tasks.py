import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from standpipe.errors import ConfigError, NotFoundError, UsageError
from standpipe.files import is_table
from standpipe.memory.tasks import Status, Task, Tasks, read_task

NOW = datetime(2026, 11, 22, 7, tzinfo=UTC)
CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "golden/front_matter.jsonl").read_text().splitlines()
]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_head_is_read_as_typed_or_refused_with_line_and_hint(case: dict[str, object]) -> None:
    text, values = str(case["text"]), case.get("values")
    if is_table(values):
        task = read_task(text, name="T-1.md").task
        assert {name: getattr(task, name) for name in values} == values
        return
    with pytest.raises(ConfigError) as caught:
        read_task(text, name="T-1.md")
    assert caught.value.message.startswith(f"T-1.md:{case['line']}: ")
    assert str(case["hint"]) in str(caught.value)


def test_a_task_moves_from_folder_to_folder_and_its_revision_rises(tmp_path: Path) -> None:
    tasks = Tasks(tmp_path)
    tasks.create(
        Task(id="T-1", title="Mail", acceptance=("sent", {"run": "make check"})),
        body="By Ann.\n",
        now=NOW,
    )
    blocked = tasks.move("T-1", Status.BLOCKED, now=NOW, changes={"blocked_on": "a price list"})
    assert (blocked.path, blocked.task.rev, blocked.body) == (
        "tasks/blocked/T-1.md",
        2,
        "By Ann.\n",
    )
    done = tasks.move("T-1", Status.DONE, now=NOW, changes={"blocked_on": ""})
    assert done.path == "tasks/done/2026-11/T-1.md"
    assert tasks.read("T-1") == done
    assert done.task.acceptance == ("sent", {"run": "make check"})
    assert [path.name for path in (tmp_path / "brain").rglob("*.md")] == ["T-1.md"]
    assert tasks.move("T-1", Status.OPEN, now=NOW).path == "tasks/open/T-1.md"


def test_a_done_task_that_is_touched_later_stays_in_its_month(tmp_path: Path) -> None:
    tasks = Tasks(tmp_path)
    tasks.create(Task(id="T-1", title="a"), now=NOW)
    tasks.move("T-1", Status.DONE, now=NOW)
    later = tasks.move("T-1", Status.DONE, now=NOW.replace(month=12), changes={"next": "x"})
    assert later.path == "tasks/done/2026-11/T-1.md"


def test_a_kill_between_the_two_steps_of_a_move_is_mended(tmp_path: Path) -> None:
    tasks = Tasks(tmp_path)
    old = tasks.create(Task(id="T-1", title="a"), now=NOW)
    left = (tmp_path / "brain" / old.path).read_text()
    tasks.move("T-1", Status.DONE, now=NOW)
    (tmp_path / "brain" / old.path).write_text(left)  # as if the source had never been removed
    assert (tasks.read("T-1").status, tasks.read("T-1").task.rev) == (Status.DONE, 2)
    tasks.settle_copies("T-1", NOW)
    assert not (tmp_path / "brain" / old.path).exists()
    assert not (tmp_path / "brain/conflicts").exists()


def test_a_move_that_cannot_write_leaves_the_task_where_it_was(tmp_path: Path) -> None:
    tasks = Tasks(tmp_path)
    made = tasks.create(Task(id="T-1", title="a"), now=NOW)
    (tmp_path / "brain/tasks/done").write_text("in the way")
    with pytest.raises(OSError, match="done"):
        tasks.move("T-1", Status.DONE, now=NOW)
    assert tasks.read("T-1") == made


def test_two_versions_of_one_revision_are_both_kept_and_the_unfinished_one_counts(
    tmp_path: Path,
) -> None:
    tasks = Tasks(tmp_path)
    tasks.create(Task(id="T-1", title="mine"), now=NOW)
    copy = tmp_path / "brain/tasks/done/2026-11/T-1.md"
    copy.parent.mkdir(parents=True)
    copy.write_text("---\nid: T-1\nrev: 1\ntitle: theirs\n---\n")
    assert tasks.settle_copies("T-1", NOW).task.title == "mine"
    kept = sorted(path.read_text() for path in (tmp_path / "brain/conflicts").rglob("*.md"))
    assert [
        "title: mine" in kept[0] or "title: mine" in kept[1],
        any("theirs" in one for one in kept),
    ] == [True, True]


def test_a_broken_file_is_listed_with_line_and_hint_and_stops_nobody(tmp_path: Path) -> None:
    tasks = Tasks(tmp_path)
    tasks.create(Task(id="T-2", title="fine"), now=NOW)
    folder = tmp_path / "brain/tasks/open"
    (folder / "T-1.md").write_text("---\nid: T-1\ntitle: a\nstatus: done\n---\n")
    (folder / "T-3.md").write_text("---\nid: T-4\ntitle: a\n---\n")
    found = tasks.listed()
    assert [one.task.id for one in found.tasks] == ["T-2"]
    assert [one.message.partition(": ")[0] for one in found.broken] == [
        "brain/tasks/open/T-1.md:4",
        "brain/tasks/open/T-3.md:2",
    ]
    assert "directory" in found.broken[0].hint


def test_tasks_are_listed_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    tasks = Tasks(tmp_path)
    for number in (10, 2, 1):
        tasks.create(Task(id=f"T-{number}", title="a"), now=NOW)
    assert [one.task.id for one in tasks.listed().tasks] == ["T-1", "T-2", "T-10"]
    assert tasks.highest_number() == 10


def test_free_text_of_an_untrusted_session_stands_only_as_a_reference(tmp_path: Path) -> None:
    tasks = Tasks(tmp_path)
    tasks.create(Task(id="T-1", title="a"), now=NOW)
    moved = tasks.move("T-1", Status.OPEN, now=NOW, trusted=False, changes={"next": "pay mallory"})
    assert (tmp_path / "brain" / moved.task.next).read_text() == "pay mallory"
    new = tasks.create(Task(id="T-2", title="obey me"), body="evil", now=NOW, trusted=False)
    assert "obey me" not in (tmp_path / "brain" / new.path).read_text()
    assert "evil" not in (tmp_path / "brain" / new.path).read_text()


def test_what_the_runtime_keeps_cannot_be_changed_and_an_id_is_no_path(tmp_path: Path) -> None:
    tasks = Tasks(tmp_path)
    tasks.create(Task(id="T-1", title="a"), now=NOW)
    with pytest.raises(UsageError, match="`rev`"):
        tasks.move("T-1", Status.OPEN, now=NOW, changes={"rev": 9})
    with pytest.raises(ConfigError, match="unknown key `stauts`"):
        tasks.move("T-1", Status.OPEN, now=NOW, changes={"stauts": "x"})
    with pytest.raises(UsageError, match="exists"):
        tasks.create(Task(id="T-1", title="b"), now=NOW)
    for odd in ("T-9", "../../etc/passwd", ""):
        with pytest.raises(NotFoundError):
            tasks.read(odd)


def test_a_long_reason_is_cut_so_that_the_file_can_be_read_again(tmp_path: Path) -> None:
    tasks = Tasks(tmp_path)
    tasks.create(Task(id="T-1", title="a" * 20_000, goal="b" * 20_000), now=NOW)
    tasks.move("T-1", Status.BLOCKED, now=NOW, changes={"blocked_on": "c" * 20_000})
    assert tasks.read("T-1").task.blocked_on.endswith("ccc...")

from pathlib import Path
from typing import Any

import pytest

from standpipe.actions import Effect
from standpipe.desk.changes import differences, files, undo
from standpipe.execution.workspace import Workspace
from standpipe.journal.entries import Restored


class Folder:
    """A workspace whose changes are told to a run."""

    def __init__(self, told: Any, path: Path) -> None:
        self.told, self.root, self.number = told, path / "workspace", 0
        self.root.mkdir()
        self.workspace = Workspace(self.root, path / "blobs")

    async def act(self, **wanted: str | None) -> None:
        """Write (or delete) files in one action of the run."""
        self.number += 1
        before = self.workspace.snapshot()
        for name, text in wanted.items():
            path = self.root / name
            path.unlink() if text is None else path.write_text(text)
        changes = self.workspace.changes(before, self.workspace.snapshot())
        action = f"r1.{self.number}.1"
        await self.told.propose(
            action, "shell", {"command": "x"}, effect=Effect.ONCE, why=f"step {self.number}"
        )
        await self.told.settle(action, "shell", changes=changes)

    async def undo(self) -> Any:
        return await undo(
            self.told.store, "r1", self.workspace, by="operator", cannot_take_back=("a mail",)
        )


@pytest.fixture
def folder(told: Any, tmp_path: Path) -> Folder:
    return Folder(told, tmp_path)


async def test_several_changes_of_a_file_are_one_with_the_last_action(folder: Folder) -> None:
    await folder.act(notes="one\n")
    await folder.act(notes="one\ntwo\n")
    (change,) = files(await folder.told.entries())
    assert (change.path, change.change, change.added, change.removed) == ("notes", "created", 2, 0)
    assert (change.action, change.why) == ("r1.2.1", "step 2")


async def test_what_came_and_went_is_no_change(folder: Folder) -> None:
    await folder.act(notes="one\n")
    await folder.act(notes=None)
    assert files(await folder.told.entries()) == []


async def test_a_difference_shows_the_lines(folder: Folder) -> None:
    await folder.act(notes="one\n")
    (change,) = differences(await folder.told.entries(), folder.workspace)
    assert "+one" in change.diff
    assert change.undoable


async def test_undo_puts_everything_back_and_is_written_down(folder: Folder) -> None:
    (folder.root / "old").write_text("before\n")
    await folder.act(old="after\n", new="x\n")
    await folder.act(old="later\n")
    done = await folder.undo()
    assert (done.restored, done.cannot_take_back) == (("new", "old"), ("a mail",))
    assert (folder.root / "old").read_text() == "before\n"
    assert not (folder.root / "new").exists()
    entries = await folder.told.entries()
    assert isinstance(entries[-1].body, Restored)
    assert files(entries) == []


async def test_undo_of_what_was_undone_does_nothing(folder: Folder) -> None:
    await folder.act(notes="one\n")
    await folder.undo()
    (folder.root / "notes").write_text("a person's\n")
    assert (await folder.undo()).restored == ()
    assert (folder.root / "notes").read_text() == "a person's\n"


async def test_a_run_can_be_undone_again_after_it_went_on(folder: Folder) -> None:
    await folder.act(notes="one\n")
    await folder.undo()
    await folder.act(notes="two\n")
    assert (await folder.undo()).restored == ("notes",)
    assert not (folder.root / "notes").exists()


async def test_a_file_somebody_else_changed_is_a_conflict_and_nothing_is_touched(
    folder: Folder,
) -> None:
    await folder.act(notes="one\n", other="x\n")
    (folder.root / "notes").write_text("a person's\n")
    done = await folder.undo()
    assert (done.conflicts, done.restored) == (("notes",), ())
    assert (folder.root / "other").exists()
    assert not [entry for entry in await folder.told.entries() if isinstance(entry.body, Restored)]


async def test_what_a_person_changed_between_two_actions_is_a_conflict(folder: Folder) -> None:
    await folder.act(notes="one\n")
    (folder.root / "notes").write_text("a person's\n")
    await folder.act(notes="three\n")
    assert (await folder.undo()).conflicts == ("notes",)

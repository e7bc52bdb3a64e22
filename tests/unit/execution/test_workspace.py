import os
import stat
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from standpipe.actions import Change
from standpipe.execution.undo.blobs import Blobs
from standpipe.execution.undo.tree import Entry, Limits
from standpipe.execution.workspace import Workspace

Act = Callable[[Path], object]
LONG_AGO_NS = -60_000_000_000  # as if every file had been written a minute before the walk


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    root.mkdir()
    return root


@pytest.fixture
def workspace(root: Path, tmp_path: Path) -> Workspace:
    return Workspace(root, tmp_path / "blobs")


def changed(workspace: Workspace, act: Callable[[], object]) -> tuple[Change, ...]:
    before = workspace.snapshot()
    act()
    return workspace.changes(before, workspace.snapshot())


def picture(root: Path) -> dict[str, tuple[int, bytes]]:
    """Everything below `root`, read in the plainest way there is."""
    found: dict[str, tuple[int, bytes]] = {}
    for path in sorted(root.rglob("*")):
        mode = path.lstat().st_mode
        content = b""
        if stat.S_ISLNK(mode):
            content = os.fsencode(path.readlink())
        elif stat.S_ISREG(mode):
            content = path.read_bytes()
        found[str(path.relative_to(root))] = (mode, content)
    return found


def test_a_folder_nobody_touched_keeps_its_name(root: Path, workspace: Workspace) -> None:
    (root / "a.txt").write_text("one")
    assert workspace.snapshot() == workspace.snapshot()


def test_a_missing_workspace_is_an_empty_one(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "none", tmp_path / "blobs")
    assert workspace.changes(workspace.snapshot(), workspace.snapshot()) == ()


def test_a_workspace_that_is_itself_a_link_is_walked(root: Path, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(root)
    workspace = Workspace(tmp_path / "way", tmp_path / "blobs")
    assert [c.path for c in changed(workspace, (root / "a").touch)] == ["a"]


def test_changes_say_what_happened_with_the_lines_that_came_and_went(
    root: Path, workspace: Workspace
) -> None:
    (root / "kept.txt").write_text("same\n")
    (root / "edited.txt").write_text("one\ntwo\nthree\n")
    (root / "gone.txt").write_text("a\nb\n")

    def act() -> None:
        (root / "edited.txt").write_text("one\n2\nthree\nfour\n")
        (root / "gone.txt").unlink()
        (root / "new.txt").write_text("x\ny\nz")

    told = [(c.path, c.change, c.added, c.removed) for c in changed(workspace, act)]
    assert told == [
        ("edited.txt", "modified", 2, 1),
        ("gone.txt", "deleted", 0, 2),
        ("new.txt", "created", 3, 0),
    ]


def test_a_write_that_hides_its_time_and_size_is_seen(
    root: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("standpipe.execution.workspace._SETTLED_NS", LONG_AGO_NS)
    file = root / "a.txt"
    file.write_text("one")
    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)

    def act() -> None:
        while file.stat().st_ctime_ns == before:  # the clock of the file system has to move first
            file.write_text("two")
            os.utime(file, ns=times)

    before = file.stat().st_ctime_ns
    assert [change.path for change in changed(workspace, act)] == ["a.txt"]


def test_a_write_in_the_same_instant_as_the_walk_is_seen(
    root: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the clock of the file system had stood still.
    monkeypatch.setattr(Entry, "has_stat", lambda _entry, _now: True)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    (root / "a.txt").write_text("one")
    changes = changed(workspace, lambda: (root / "a.txt").write_text("two"))
    assert [change.path for change in changes] == ["a.txt"]


def test_a_settled_file_is_not_read_again(
    root: Path, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "a.txt").write_text("one")
    monkeypatch.setattr("standpipe.execution.workspace._SETTLED_NS", LONG_AGO_NS)
    first = workspace.snapshot()
    for blob in (tmp_path / "blobs").glob("??/*"):
        if blob.name != first:
            blob.unlink()
    assert workspace.snapshot() == first
    again = Workspace(root, tmp_path / "blobs")  # another process starts where this one stopped
    assert again.snapshot() == first
    assert [path.name for path in (tmp_path / "blobs").glob("??/*")] == [first]


def test_copies_are_no_hard_links(root: Path, workspace: Workspace, tmp_path: Path) -> None:
    (root / "a.txt").write_text("one")
    changes = changed(workspace, lambda: (root / "b.txt").write_text("two"))
    with (root / "b.txt").open("r+b") as file:
        file.write(b"TWO")
    assert (tmp_path / "blobs" / changes[0].after[:2] / changes[0].after).read_bytes() == b"two"
    assert (root / "a.txt").stat().st_nlink == 1


def _edit(root: Path) -> None:
    (root / "text.txt").write_text("changed\n")


def _bytes(root: Path) -> None:
    (root / "raw.bin").write_bytes(bytes(range(256)) * 3)


def _mode(root: Path) -> None:
    (root / "text.txt").chmod(0o700)


def _folder_mode(root: Path) -> None:
    (root / "folder").chmod(0o700)


def _link(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").symlink_to("elsewhere")


def _link_to_file(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").write_text("now a file")


def _file_to_folder(root: Path) -> None:
    (root / "text.txt").unlink()
    (root / "text.txt").mkdir()
    (root / "text.txt" / "inside").write_text("x")


def _folder_to_file(root: Path) -> None:
    _delete_folder(root)
    (root / "folder").write_text("a file now")


def _folder_to_link(root: Path) -> None:
    _delete_folder(root)
    (root / "folder").symlink_to("empty")


def _delete_folder(root: Path) -> None:
    (root / "folder" / "deep" / "file.txt").unlink()
    (root / "folder" / "deep").rmdir()
    (root / "folder").rmdir()


def _delete_empty(root: Path) -> None:
    (root / "nothing.txt").unlink()
    (root / "empty").rmdir()


def _create(root: Path) -> None:
    (root / "new" / "er").mkdir(parents=True)
    (root / "new" / "er" / "file").write_text("x")
    (root / "new" / "void").write_text("")


def _rename(root: Path) -> None:
    (root / "folder").rename(root / "renamed")


@pytest.mark.parametrize(
    "act",
    [
        _edit, _bytes, _mode, _folder_mode, _link, _link_to_file, _file_to_folder, _folder_to_file,
        _folder_to_link, _delete_folder, _delete_empty, _create, _rename,
    ],
)  # fmt: skip
def test_undo_puts_everything_back_to_the_byte_and_undo_of_undo_is_redo(
    act: Act, root: Path, workspace: Workspace
) -> None:
    (root / "text.txt").write_text("first\n")
    (root / "text.txt").chmod(0o640)
    (root / "raw.bin").write_bytes(b"\0\xff\xfe")
    (root / "nothing.txt").touch()
    (root / "link").symlink_to("text.txt")
    (root / "empty").mkdir()
    (root / "folder" / "deep").mkdir(parents=True)
    (root / "folder" / "deep" / "file.txt").write_text("deep")
    (root / "folder").chmod(0o750)
    was = picture(root)

    changes = changed(workspace, lambda: act(root))
    done = picture(root)
    assert done != was

    undone = changed(workspace, lambda: workspace.restore(changes))
    assert picture(root) == was
    assert workspace.restore(undone).conflicts == ()
    assert picture(root) == done


def test_several_changes_go_back_to_the_state_before_the_first(
    root: Path, workspace: Workspace
) -> None:
    (root / "a.txt").write_text("1")
    first = changed(workspace, lambda: (root / "a.txt").write_text("2"))
    second = changed(workspace, lambda: (root / "a.txt").write_text("3"))
    third = changed(workspace, lambda: (root / "b.txt").write_text("new"))
    fourth = changed(workspace, (root / "b.txt").unlink)
    restored = workspace.restore([*first, *second, *third, *fourth])
    assert restored.paths == ("a.txt",)
    assert picture(root) == {"a.txt": ((root / "a.txt").stat().st_mode, b"1")}


def test_one_file_a_person_changed_keeps_undo_from_touching_any(
    root: Path, workspace: Workspace
) -> None:
    (root / "a.txt").write_text("1")
    (root / "b.txt").write_text("1")

    def act() -> None:
        (root / "a.txt").write_text("2")
        (root / "b.txt").write_text("2")

    changes = changed(workspace, act)
    (root / "b.txt").write_text("mine")
    restored = workspace.restore(changes)
    assert (restored.paths, restored.conflicts) == ((), ("b.txt",))
    assert (root / "a.txt").read_text() == "2"


def test_a_change_by_a_person_between_two_actions_is_a_conflict(
    root: Path, workspace: Workspace
) -> None:
    first = changed(workspace, lambda: (root / "a.txt").write_text("1"))
    (root / "a.txt").write_text("mine")
    second = changed(workspace, lambda: (root / "a.txt").write_text("2"))
    assert workspace.restore([*first, *second]).conflicts == ("a.txt",)
    assert workspace.restore(second).conflicts == ()
    assert (root / "a.txt").read_text() == "mine"


def test_a_file_somebody_put_into_a_new_folder_keeps_the_folder(
    root: Path, workspace: Workspace
) -> None:
    changes = changed(workspace, partial(_create, root))
    (root / "new" / "mine.txt").write_text("mine")
    assert workspace.restore(changes).conflicts == ("new/mine.txt",)
    assert (root / "new" / "er" / "file").exists()


def test_a_file_whose_folder_is_gone_is_a_conflict(root: Path, workspace: Workspace) -> None:
    (root / "folder").mkdir()
    (root / "folder" / "a.txt").write_text("1")
    (root / "z.txt").write_text("1")

    def act() -> None:
        (root / "folder" / "a.txt").unlink()
        (root / "z.txt").write_text("2")

    changes = changed(workspace, act)
    (root / "folder").rmdir()
    assert workspace.restore(changes).conflicts == ("folder/a.txt",)
    assert (root / "z.txt").read_text() == "2"


@pytest.mark.parametrize("path", ["folder/a.txt", "folder/deep/a.txt"])
def test_undo_never_writes_through_a_link(
    path: str, root: Path, workspace: Workspace, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (root / "folder" / "deep").mkdir(parents=True)
    (root / path).write_text("1")
    changes = changed(workspace, (root / path).unlink)
    (root / "folder").rename(root / "moved")
    (root / "folder").symlink_to(outside)
    assert workspace.restore(changes).conflicts == (path,)
    assert [each.name for each in outside.rglob("*")] == ["deep"]


def test_a_folder_nobody_may_write_comes_back_as_it_was(root: Path, workspace: Workspace) -> None:
    (root / "sealed").mkdir()
    (root / "sealed").chmod(0o550)
    changes = changed(workspace, (root / "sealed").rmdir)
    workspace.restore(changes)
    assert stat.S_IMODE((root / "sealed").stat().st_mode) == 0o550


def test_a_walk_never_follows_a_link(root: Path, workspace: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("secret")

    def act() -> None:
        (root / "way").symlink_to(outside)
        (root / "file").symlink_to(outside / "secret.txt")

    changes = changed(workspace, act)
    assert [change.path for change in changes] == ["file", "way"]
    blobs = [path.read_bytes() for path in (tmp_path / "blobs").glob("??/*")]
    assert b"secret" not in blobs


def test_a_restore_that_was_killed_half_way_can_be_repeated(
    root: Path, workspace: Workspace
) -> None:
    (root / "a.txt").write_text("1")
    (root / "b.txt").write_text("1")

    def act() -> None:
        (root / "a.txt").write_text("2")
        (root / "b.txt").write_text("2")

    changes = changed(workspace, act)
    (root / "a.txt").write_text("1")  # as far as the killed one came
    assert workspace.restore(changes).conflicts == ()
    assert ((root / "a.txt").read_text(), (root / "b.txt").read_text()) == ("1", "1")


@pytest.mark.parametrize("path", ["../out.txt", "/etc/out.txt", "a/../../out.txt", "."])
def test_a_change_that_points_outside_is_a_conflict(
    path: str, root: Path, workspace: Workspace
) -> None:
    forged = Change(path, "created", after="0" * 64, mode_after=0o100644)
    assert workspace.restore([forged]).conflicts == (path,)


def test_a_lost_copy_is_a_conflict(root: Path, workspace: Workspace, tmp_path: Path) -> None:
    (root / "a.txt").write_text("1")
    changes = changed(workspace, lambda: (root / "a.txt").write_text("2"))
    (tmp_path / "blobs" / changes[0].before[:2] / changes[0].before).unlink()
    assert workspace.restore(changes).conflicts == ("a.txt",)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(file_bytes=10), "larger than 10 bytes"),
        (Limits(total_bytes=10), "the workspace is larger than 10 bytes"),
        (Limits(files=0), "the workspace has more than 0 files"),
    ],
)
def test_what_is_too_much_to_keep_is_listed_as_not_undoable(
    limits: Limits, reason: str, root: Path, tmp_path: Path
) -> None:
    workspace = Workspace(root, tmp_path / "blobs", limits=limits)
    changes = changed(workspace, lambda: (root / "big.txt").write_text("more than ten bytes"))
    assert [(c.path, c.undoable, c.reason) for c in changes] == [("big.txt", False, reason)]
    assert workspace.restore(changes).conflicts == ("big.txt",)
    assert reason in workspace.diff(changes[0])


def test_what_is_no_file_is_listed_and_never_opened(root: Path, workspace: Workspace) -> None:
    changes = changed(workspace, lambda: os.mkfifo(root / "pipe"))
    assert [(c.path, c.undoable) for c in changes] == [("pipe", False)]


@pytest.mark.skipif(sys.platform == "darwin", reason="APFS takes only UTF-8 names")
def test_a_name_that_is_not_text_is_listed_and_not_undoable(
    root: Path, workspace: Workspace
) -> None:
    def act() -> None:
        Path(os.fsdecode(os.fsencode(root) + b"/\xff.txt")).write_text("x")

    changes = changed(workspace, act)
    assert [(c.path, c.undoable) for c in changes] == [("\\xff.txt", False)]


def test_a_diff_is_a_unified_diff(root: Path, workspace: Workspace) -> None:
    (root / "a.txt").write_text("one\ntwo\n")
    changes = changed(workspace, lambda: (root / "a.txt").write_text("one\n2"))
    assert workspace.diff(changes[0]) == (
        "--- a/a.txt\n+++ b/a.txt\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n\\ No newline at end of file\n"
    )


def test_a_diff_names_what_is_no_text(root: Path, workspace: Workspace) -> None:
    def act() -> None:
        (root / "a.bin").write_bytes(b"\0\1\2")
        (root / "b").mkdir()

    file, folder = changed(workspace, act)
    assert workspace.diff(file) == "binary a.bin created: 0 -> 3 bytes\n"
    assert workspace.diff(folder) == "folder b created\n"


def test_a_diff_shows_a_change_of_mode(root: Path, workspace: Workspace) -> None:
    (root / "a.sh").write_text("x\n")
    (root / "a.sh").chmod(0o644)
    changes = changed(workspace, lambda: (root / "a.sh").chmod(0o755))
    assert workspace.diff(changes[0]) == "mode 100644 -> 100755\n"


def test_a_tree_that_a_power_cut_has_emptied_is_written_again(
    root: Path, workspace: Workspace, tmp_path: Path
) -> None:
    (root / "a").write_text("a")
    tree = workspace.snapshot()
    Blobs(tmp_path / "blobs").path(tree).write_bytes(b"")
    again = Workspace(root, tmp_path / "blobs")
    assert again.snapshot() == tree
    assert Blobs(tmp_path / "blobs").path(tree).read_bytes()


def test_a_copy_that_finds_no_room_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    blobs = Blobs(tmp_path / "blobs")
    monkeypatch.setattr(Blobs, "_publish", no_room)
    with pytest.raises(OSError, match="No space"):
        blobs.keep_bytes(b"content")
    assert list(blobs.root.iterdir()) == []

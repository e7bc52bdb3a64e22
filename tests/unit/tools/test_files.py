import json
import os
import socket
from collections.abc import Generator
from pathlib import Path

import pytest

from standpipe.execution.tools import Surroundings, settle_in
from standpipe.tools import files
from standpipe.tools.beneath import beneath
from standpipe.tools.files import delete_file, edit_file, list_files, read_file, write_file

PROBES = json.loads((Path(__file__).parents[2] / "golden/probes.json").read_text())


@pytest.fixture(params=[False, True], ids=["openat2", "portable"])
def workspace(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "home" / "workspace"
    folder.mkdir(parents=True)
    settle_in(
        Surroundings(
            home=str(folder.parent), workspace=str(folder), settings={"portable": request.param}
        )
    )
    return folder


@pytest.fixture
def traps(workspace: Path, tmp_path: Path) -> Generator[Path]:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_text("private")
    (workspace.parent / "standpipe.toml").write_text("private")
    (workspace / "link-to-outside").symlink_to(outside / "x")
    (workspace / "link-to-outside-dir").symlink_to(outside)
    os.link(outside / "x", workspace / "hardlink-to-outside")
    os.mkfifo(workspace / "fifo-in-workspace")
    here = Path.cwd()
    os.chdir(workspace)  # the path of a socket is limited to 108 bytes
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket-in-workspace")
        os.chdir(here)
        yield workspace


def seen(root: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(root)): (path.stat().st_nlink, path.read_bytes())
        for path in root.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("probe", PROBES["files"], ids=range(len(PROBES["files"])))
def test_no_probe_path_is_read_written_edited_or_deleted(
    probe: str, traps: Path, tmp_path: Path
) -> None:
    path = probe.replace("{W}", str(traps)).replace("{O}", str(tmp_path / "outside"))
    before = seen(tmp_path)
    for attempt in (
        lambda: read_file(path),
        lambda: write_file(path, "mine"),
        lambda: edit_file(path, "private", "mine"),
        lambda: delete_file(path),
    ):
        with pytest.raises((PermissionError, ValueError)):
            attempt()
    assert seen(tmp_path) == before


@pytest.mark.parametrize("path", PROBES["allowed"]["files"])
def test_an_ordinary_path_is_written_read_edited_and_deleted(path: str, workspace: Path) -> None:
    assert write_file(path, "eins\r\nzwei\n") == {"path": path, "bytes": 12 - 1, "created": True}
    assert read_file(path) == "eins\r\nzwei\n"
    edit_file(path, "zwei", "drei")
    assert (workspace / path).read_bytes() == b"eins\r\ndrei\n"
    assert write_file(path, "")["created"] is False
    delete_file(path)
    assert not (workspace / path).exists()


@pytest.mark.parametrize("path", ["link", "folder/deep/x", "loop"])
def test_no_link_is_followed_even_to_a_file_with_one_name(
    path: str, workspace: Path, tmp_path: Path
) -> None:
    (tmp_path / "outside/deep").mkdir(parents=True)
    (tmp_path / "outside/deep/x").write_text("private")
    (workspace / "link").symlink_to(tmp_path / "outside/deep/x")
    (workspace / "folder").symlink_to("../../outside")
    (workspace / "loop").symlink_to("loop")
    before = seen(tmp_path / "outside")
    for attempt in (
        lambda: read_file(path),
        lambda: write_file(path, "mine"),
        lambda: delete_file(path),
    ):
        with pytest.raises(PermissionError, match=f"`{path}`"):
            attempt()
    assert seen(tmp_path / "outside") == before


def test_a_linked_folder_is_not_listed_through(traps: Path) -> None:
    with pytest.raises(PermissionError, match="link-to-outside-dir"):
        list_files("link-to-outside-dir")
    with pytest.raises(PermissionError):
        list_files("..")


def test_a_folder_that_turns_into_a_link_between_look_and_open_is_refused(traps: Path) -> None:
    (traps / "dir").mkdir()
    portable = bool(files.surroundings().settings["portable"])
    with beneath(str(traps), "dir/x", portable=portable) as place:
        (traps / "dir").rename(traps / "gone")
        (traps / "dir").symlink_to(traps.parent.parent / "outside")
        assert place.status() is None  # still the folder that was opened, not what lies there now


def test_a_file_that_turns_into_a_link_before_it_is_opened_is_refused(traps: Path) -> None:
    portable = bool(files.surroundings().settings["portable"])
    (traps / "a").write_text("fine")
    with beneath(str(traps), "a", portable=portable) as place:
        place.regular()
        (traps / "a").unlink()
        (traps / "b").write_text("it has one name, so only the link is wrong")
        (traps / "a").symlink_to("b")
        with pytest.raises(PermissionError, match="goes through a link"):
            place.open(portable=portable)


def test_a_list_names_folders_with_a_slash(workspace: Path) -> None:
    write_file("b/c.txt", "")
    write_file("a.txt", "")
    assert list_files() == ["a.txt", "b/"]
    assert list_files("b") == list_files("./b/") == ["c.txt"]


def test_a_long_list_says_how_much_is_missing(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LIST_MAX", 2)
    for name in "abcd":
        write_file(name, "")
    assert list_files() == ["a", "b", "[cut: 2 more names in `.`]"]


def test_a_missing_file_names_its_neighbours(workspace: Path) -> None:
    write_file("reports/summary.txt", "x")
    with pytest.raises(FileNotFoundError, match=r"no `reports/sumary.txt`.*\n.*`summary.txt`"):
        read_file("reports/sumary.txt")
    with pytest.raises(FileNotFoundError, match=r"no `report/summary.txt`.*\n.*`reports`"):
        read_file("report/summary.txt")
    with pytest.raises(FileNotFoundError):
        edit_file("nothing", "a", "b")
    with pytest.raises(FileNotFoundError):
        delete_file("nothing")


def test_an_edit_that_fits_not_exactly_once_changes_nothing(workspace: Path) -> None:
    write_file("a", "aaa b")
    with pytest.raises(ValueError, match=r"stands 2 times in `a`"):
        edit_file("a", "aa", "x")
    with pytest.raises(ValueError, match=r"stands 0 times in `a`"):
        edit_file("a", "c", "x")
    with pytest.raises(ValueError, match="`old` is empty"):
        edit_file("a", "", "x")
    assert read_file("a") == "aaa b"


def test_a_file_keeps_its_mode(workspace: Path) -> None:
    write_file("run.sh", "one")
    (workspace / "run.sh").chmod(0o750)
    write_file("run.sh", "two")
    edit_file("run.sh", "two", "three")
    assert (workspace / "run.sh").stat().st_mode & 0o777 == 0o750


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_file("a", "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_file("a", "new")
    assert seen(workspace) == {"a": (1, b"old")}


def test_a_long_file_is_cut_at_a_character_and_says_so(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "READ_BYTES_MAX", 5)
    write_file("a", "aaääää")
    assert read_file("a") == "aaä\n[cut: this is the first 5 of 10 bytes of `a`]"
    with pytest.raises(ValueError, match="10 bytes"):
        edit_file("a", "aa", "b")
    write_file("b", "aaaä")
    assert read_file("b") == "aaaä"


def test_what_is_not_text_is_refused(workspace: Path) -> None:
    (workspace / "photo").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(ValueError, match="not UTF-8 text"):
        read_file("photo")
    with pytest.raises(ValueError, match="not valid Unicode"):
        write_file("a", "\ud800")
    assert list_files() == ["photo"]


@pytest.mark.parametrize(
    "path", ["a\u202eb", "a\u200bb", "a\nb", "a\x1bb", "\U000e0041", "", ".", "a/./", "\ud800"]
)
def test_a_path_nobody_can_read_is_refused(path: str, workspace: Path) -> None:
    if path == "a/./":
        write_file(path, "x")
        assert list_files() == ["a"]
        return
    with pytest.raises(ValueError, match="path"):
        write_file(path, "x")


def test_a_repository_is_not_written_into(workspace: Path) -> None:
    (workspace / ".git").mkdir()
    for path in (".git/hooks/pre-commit", ".GIT/config"):
        with pytest.raises(PermissionError, match=r"\.git"):
            write_file(path, "x")


def test_a_folder_is_neither_read_nor_deleted(workspace: Path) -> None:
    write_file("a/b", "")
    for attempt in (lambda: read_file("a"), lambda: delete_file("a"), lambda: write_file("a", "")):
        with pytest.raises(IsADirectoryError, match="`a` is a folder"):
            attempt()
    with pytest.raises(PermissionError, match="not a folder"):
        write_file("a/b/c", "")

"""What differs between two trees, in lines and as text."""

import difflib
from collections import Counter

from msgspec import Struct

from standpipe.actions import Change
from standpipe.execution.undo.blobs import Blobs
from standpipe.execution.undo.tree import Entry, Tree

_NOTHING = Entry(0)
_DIFF_LINES_MAX = 5_000  # difflib is quadratic; beyond this lines are counted, not aligned
_TEXT_BYTES_MAX = 2 * 1024 * 1024
_NO_NEWLINE = "\\ No newline at end of file"


class Lines(Struct, frozen=True):
    """How many lines came and went."""

    added: int = 0
    removed: int = 0


def changes_between(before: Tree, after: Tree, blobs: Blobs) -> tuple[Change, ...]:
    """Return one change per path that differs, in the order of the paths."""
    return tuple(
        _change(path, before.get(path, _NOTHING), after.get(path, _NOTHING), blobs)
        for path in sorted(before.keys() | after.keys())
        if not before.get(path, _NOTHING).is_same(after.get(path, _NOTHING))
    )


def unified(change: Change, blobs: Blobs) -> str:
    """Return the change as a unified diff; what is no text is named with its size."""
    head = _mode_lines(change)
    if not change.undoable:
        return "\n".join([f"{change.path} {change.change}: {change.reason}", *head, ""])
    if not change.before and not change.after:  # only folders have no content
        return "\n".join([f"folder {change.path} {change.change}", *head, ""])
    before, after = blobs.read(change.before), blobs.read(change.after)
    if not (_is_text(before) and _is_text(after)):
        sizes = f"{len(before)} -> {len(after)} bytes"
        return "\n".join([f"binary {change.path} {change.change}: {sizes}", *head, ""])
    old = f"a/{change.path}" if change.mode_before else "/dev/null"
    new = f"b/{change.path}" if change.mode_after else "/dev/null"
    body = difflib.unified_diff(_lines(before), _lines(after), old, new)
    return "\n".join([*head, *(_terminated(line) for line in body), ""])


def _change(path: str, before: Entry, after: Entry, blobs: Blobs) -> Change:
    reason = before.reason or after.reason
    lines = Lines() if reason else _counted(blobs.read(before.digest), blobs.read(after.digest))
    return Change(
        path=path,
        change=_word(before, after),
        before=before.digest,
        after=after.digest,
        added=lines.added,
        removed=lines.removed,
        mode_before=before.mode,
        mode_after=after.mode,
        undoable=not reason,
        reason=reason,
    )


def _word(before: Entry, after: Entry) -> str:
    if not before.mode:
        return "created"
    return "modified" if after.mode else "deleted"


def _counted(before: bytes, after: bytes) -> Lines:
    if before == after or not (_is_text(before) and _is_text(after)):
        return Lines()
    old, new = _lines(before), _lines(after)
    if len(old) + len(new) > _DIFF_LINES_MAX:
        return Lines((Counter(new) - Counter(old)).total(), (Counter(old) - Counter(new)).total())
    marks = [line[0] for line in difflib.unified_diff(old, new, n=0)][2:]
    return Lines(marks.count("+"), marks.count("-"))


def _is_text(content: bytes) -> bool:
    if len(content) > _TEXT_BYTES_MAX or b"\0" in content:
        return False
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _lines(content: bytes) -> list[str]:
    """Split at line feeds only: a form feed or U+2028 inside a line is content."""
    text = content.decode("utf-8")
    return [part + "\n" for part in text.split("\n")[:-1]] + (
        [] if text.endswith("\n") or not text else [text.rpartition("\n")[2]]
    )


def _terminated(line: str) -> str:
    return line.removesuffix("\n") if line.endswith("\n") else f"{line}\n{_NO_NEWLINE}"


def _mode_lines(change: Change) -> list[str]:
    before, after = change.mode_before, change.mode_after
    if not before or not after or before == after:
        return []
    return [f"mode {before:o} -> {after:o}"]

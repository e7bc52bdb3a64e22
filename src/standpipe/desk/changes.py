"""The files a run changed, whoever wrote them, and how to take that back.

Rule 1: people see the net effect per path; what came and went again is no change.
Rule 2: undo is all or nothing: a file somebody else has changed since is a conflict, and nothing is touched.
Rule 3: undo is an entry like everything else. Killed half-way, it is simply asked for again.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from standpipe.actions import Change
from standpipe.execution.workspace import Workspace
from standpipe.journal.entries import Draft, Entry, Proposed, Reconciled, Restored, Settled
from standpipe.journal.store import Store


class FileChange(Struct, frozen=True, kw_only=True):
    """What became of one path, with the last action that touched it."""

    path: str
    change: str  # created | modified | deleted
    added: int
    removed: int
    why: str
    action: str


class Difference(FileChange, frozen=True, kw_only=True):
    """The same, with its lines and whether it can be taken back."""

    undoable: bool
    reason: str
    diff: str


class Undone(Struct, frozen=True, kw_only=True):
    """What `undo` came to; with conflicts, nothing was touched."""

    run: str
    restored: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    cannot_take_back: tuple[str, ...] = ()


def files(entries: Iterable[Entry]) -> list[FileChange]:
    """Return the net change of every path a run touched."""
    return [_told(net) for net in _nets(entries).values() if not _is_nothing(net.change)]


def differences(entries: Iterable[Entry], workspace: Workspace) -> list[Difference]:
    """Return the net change of every path with its diff."""
    return [
        Difference(
            path=told.path,
            change=told.change,
            added=told.added,
            removed=told.removed,
            why=told.why,
            action=told.action,
            undoable=net.change.undoable,
            reason=net.change.reason,
            diff=_diff(workspace, net.change),
        )
        for net in _nets(entries).values()
        if not _is_nothing(net.change)
        for told in (_told(net),)
    ]


async def undo(
    store: Store, run: str, workspace: Workspace, *, by: str, cannot_take_back: Sequence[str] = ()
) -> Undone:
    """Put every file of a run back to the byte, or name what stands in the way."""
    entries = await store.read(run)
    nets = [net.change for net in _nets(entries).values() if not _is_nothing(net.change)]
    left = tuple(cannot_take_back)
    if not nets:
        return Undone(run=run, cannot_take_back=left)
    done = workspace.restore(nets)
    if done.conflicts:
        return Undone(run=run, conflicts=done.conflicts, cannot_take_back=left)
    number = 1 + sum(isinstance(entry.body, Restored) for entry in entries)
    body = Restored(tuple(_inverse(change) for change in nets), by)
    await store.post(run, [Draft(f"undo#{number}", body)])
    return Undone(run=run, restored=tuple(change.path for change in nets), cannot_take_back=left)


class _Net(Struct, frozen=True):
    change: Change
    why: str
    action: str


def _nets(entries: Iterable[Entry]) -> dict[str, _Net]:
    why: dict[str, str] = {}
    nets: dict[str, _Net] = {}
    for entry in entries:
        match entry.body:
            case Proposed() as body:
                why[entry.action] = body.why
            case Settled(changes=changes) | Reconciled(changes=changes) | Restored(changes=changes):
                for change in changes:
                    known = nets.get(change.path)
                    if known and _ends_alike(known.change, change):
                        continue  # told before its process was killed, and again after
                    joined = _joined(known.change, change) if known else change
                    nets[change.path] = _Net(joined, why.get(entry.action, ""), entry.action)
            case _:
                pass
    return dict(sorted(nets.items()))


def _ends_alike(first: Change, then: Change) -> bool:
    return (first.after, first.mode_after) == (then.after, then.mode_after)


def _joined(first: Change, then: Change) -> Change:
    """Return two changes of one path as one."""
    torn = (first.after, first.mode_after) != (then.before, then.mode_before)
    word = _word(first.mode_before, then.mode_after)
    return replace(
        then,
        change=word,
        before=first.before,
        mode_before=first.mode_before,
        added=first.added + then.added,
        removed=first.removed + then.removed,
        undoable=first.undoable and then.undoable and not torn,
        reason=first.reason
        or then.reason
        or ("somebody else changed it in between" if torn else ""),
    )


def _word(mode_before: int, mode_after: int) -> str:
    if not mode_before:
        return "created"
    return "modified" if mode_after else "deleted"


def _is_nothing(change: Change) -> bool:
    return (change.before, change.mode_before) == (change.after, change.mode_after)


def _told(net: _Net) -> FileChange:
    """Say it in lines; over several changes of one file they are the lines that were touched."""
    change = net.change
    added, removed = change.added, change.removed
    match change.change:
        case "created":
            added, removed = max(added - removed, 0), 0
        case "deleted":
            added, removed = 0, max(removed - added, 0)
        case _:
            pass
    return FileChange(
        path=change.path,
        change=change.change,
        added=added,
        removed=removed,
        why=net.why,
        action=net.action,
    )


def _diff(workspace: Workspace, change: Change) -> str:
    try:
        return workspace.diff(change)
    except OSError:  # the copies are kept for 30 days
        return f"{change.path} {change.change}: the copies are gone\n"


def _inverse(change: Change) -> Change:
    return replace(
        change,
        change=_word(change.mode_after, change.mode_before),
        before=change.after,
        after=change.before,
        added=change.removed,
        removed=change.added,
        mode_before=change.mode_after,
        mode_after=change.mode_before,
    )

"""Check that a journal says what was written: dense numbers, unbroken chains, legal steps.

Rule 1: what is hashed is what lies there, never what we make of it: a shape that gains a default field
leaves old chains whole, and a column that somebody edited does not pass by being read kindly.
"""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from standpipe.errors import BrokenJournalError, StateError
from standpipe.journal.chain import GENESIS, Stored, decode, link
from standpipe.journal.entries import kind_of
from standpipe.journal.states import State, step
from standpipe.journal.store import Store


class Verdict(Struct, frozen=True):
    """What `journal verify` found; `broken` is empty when it is whole."""

    streams: int
    entries: int
    broken: tuple[str, ...]

    @property
    def whole(self) -> bool:
        return not self.broken


async def verify(store: Store) -> Verdict:
    """Read every stream from the beginning and check each link."""
    names = await store.streams()
    broken: list[str] = []
    count = 0
    heads: dict[str, set[str]] = {}
    for name in names:
        rows = await store.stored(name)
        count += len(rows)
        broken += _faults(name, rows)
        heads[name] = {row.hash for row in rows}
    broken += await _cut_off(store, heads)
    return Verdict(len(names), count, tuple(broken))


async def must_be_whole(store: Store, run: str) -> None:
    """Check a run before anything is done because of what its record says.

    Raises:
        BrokenJournalError: it is not what was written.
    """
    rows = await store.stored(run)
    faults = _faults(run, rows)
    faults += await _cut_off(store, {run: {row.hash for row in rows}}, only=run)
    if faults:
        raise BrokenJournalError(
            f"the record of `{run}` cannot be trusted: {faults[0]}",
            hint="`standpipe journal verify` lists what is damaged; restore .standpipe/ from a backup",
        )


async def _cut_off(
    store: Store, heads: Mapping[str, set[str]], *, only: str | None = None
) -> list[str]:
    """Name the streams whose end is gone: a chain cannot tell, a seal can."""
    try:
        sealed = await store.sealed()
    except BrokenJournalError as error:
        return [error.message]
    known = {name: head for name, head in sealed.items() if only in {None, name}}
    gone = [name for name, head in known.items() if head not in heads.get(name, set())]
    return [f"{name}: entries at its end are missing, which a seal still knows" for name in gone]


def _faults(name: str, rows: Sequence[Stored]) -> list[str]:
    prev, states, faults = GENESIS, dict[str, State](), list[str]()
    for number, row in enumerate(rows, 1):
        if row.seq != number:
            faults.append(f"{name}: entry {number} is missing")
        if (row.prev, row.hash) != (prev, _link(row, prev)):
            faults.append(f"{name}/{row.seq}: {row.kind} is not what was written")
        faults += _unreadable(name, row, states)
        prev = row.hash
    return faults


def _link(row: Stored, prev: str) -> str:
    try:
        return link(
            run=row.run, seq=row.seq, epoch=row.epoch, key=row.key, kind=row.kind, v=row.v,
            at=row.at, data=row.data, prev=prev,
        )  # fmt: skip
    except msgspec.MsgspecError:
        return ""


def _unreadable(name: str, row: Stored, states: dict[str, State]) -> list[str]:
    try:
        body = decode(row.data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return [f"{name}/{row.seq}: {row.kind} cannot be read: {error}"]
    if kind_of(body) != row.kind:
        return [f"{name}/{row.seq}: it says `{kind_of(body)}` and is filed as `{row.kind}`"]
    if row.kind.startswith("action."):
        action = row.key.partition("#")[0]
        try:
            states[action] = step(states.get(action, State.NEW), body, action=action)
        except StateError as error:
            return [f"{name}/{row.seq}: {error.message}"]
    return []

"""Check that a journal says what was written: dense numbers, unbroken chains, legal steps."""

from collections.abc import Mapping

from msgspec import Struct

from standpipe.errors import BrokenJournalError, StateError
from standpipe.journal.entries import GENESIS, Entry, encode, link
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
        try:
            entries = await store.read(name)
        except BrokenJournalError as error:
            broken.append(f"{name}: {error.message}")
            continue
        count += len(entries)
        broken += _faults(name, list(entries))
        heads[name] = {entry.hash for entry in entries}
    broken += await _cut_off(store, heads)
    return Verdict(len(names), count, tuple(broken))


async def must_be_whole(store: Store, run: str) -> None:
    """Check a run before anything is done because of what its record says.

    Raises:
        BrokenJournalError: it is not what was written.
    """
    faults = _faults(run, list(await store.read(run)))
    faults += await _cut_off(
        store, {run: {entry.hash for entry in await store.read(run)}}, only=run
    )
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


def _faults(name: str, entries: list[Entry]) -> list[str]:
    prev, states, faults = GENESIS, dict[str, State](), list[str]()
    for number, entry in enumerate(entries, 1):
        own = link(
            run=entry.run, seq=entry.seq, epoch=entry.epoch, key=entry.key, kind=entry.kind,
            v=entry.v, at=entry.at, data=encode(entry.body), prev=prev,
        )  # fmt: skip
        if entry.seq != number:
            faults.append(f"{name}: entry {number} is missing")
        if (entry.prev, entry.hash) != (prev, own):
            faults.append(f"{name}/{entry.seq}: {entry.kind} is not what was written")
        if action := entry.action:
            try:
                states[action] = step(states.get(action, State.NEW), entry.body, action=action)
            except StateError as error:
                faults.append(f"{name}/{entry.seq}: {error.message}")
        prev = entry.hash
    return faults

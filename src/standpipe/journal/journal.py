"""The record of one run, as its owner writes it.

Rule 1: a sentence that the table of states does not allow is refused before it is written.
Rule 2: what others posted (answers, cancel) is seen at the next `refresh`.
Rule 3: whoever wants to tell people what happens listens here; listeners see only what is on disk.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from standpipe.errors import FencedError
from standpipe.journal.entries import Body, Draft, Entry
from standpipe.journal.states import State, step
from standpipe.journal.store import Seen, Store

Listener = Callable[[Entry], None]


@dataclass(slots=True)
class Journal:
    """Append and read one run under one epoch."""

    store: Store
    run: str
    epoch: int
    listeners: list[Listener] = field(default_factory=list[Listener])
    entries: list[Entry] = field(default_factory=list[Entry])
    _stories: dict[str, list[Entry]] = field(default_factory=dict[str, list[Entry]])
    _by_kind: dict[type[Body], list[Entry]] = field(default_factory=dict[type[Body], list[Entry]])
    _states: dict[str, State] = field(default_factory=dict[str, State])

    async def refresh(self) -> Sequence[Entry]:
        """Read what others wrote since the last look; return all entries."""
        after = self.entries[-1].seq if self.entries else 0
        for entry in await self.store.read(self.run, after):
            self._take(entry)
        if self.entries and self.entries[-1].epoch > self.epoch:
            raise FencedError(
                f"run `{self.run}` is at epoch {self.entries[-1].epoch}, this process at {self.epoch}",
                hint="another process went on with it; this one stops",
            )
        return self.entries

    async def append(self, *drafts: Draft, seen: Seen | None = None) -> None:
        """Write sentences, all or none, and be sure they are on disk; `seen` are the rows they rest on.

        Raises:
            StateError: the table of states does not allow one of them.
            FencedError: this run has a newer owner.
            StaleError: somebody changed a row that was `seen`; decide again.
            JournalError: it cannot be written; nothing may happen.
        """
        self._check(drafts)
        written = await self.store.append(self.run, self.epoch, drafts, seen=seen)
        expected = self.entries[-1].seq + 1 if self.entries else 1
        own = [entry for entry in written if entry.run == self.run]
        if [entry.seq for entry in own] == list(range(expected, expected + len(own))):
            for entry in own:
                self._take(entry)
        else:  # somebody posted in between, or it was there already
            await self.refresh()

    def story(self, action: str) -> Sequence[Entry]:
        """Return the entries about one action."""
        return self._stories.get(action, ())

    def under_way(self) -> list[str]:
        """Return the actions that may be happening: their intent is written, and no outcome yet."""
        return [action for action, state in self._states.items() if state is State.INTENDED]

    def of(self, *kinds: type[Body]) -> Sequence[Entry]:
        """Return the entries of these kinds, in their order: a fold over few need not look at all."""
        if len(kinds) == 1:
            return self._by_kind.get(kinds[0], ())
        found = [entry for kind in kinds for entry in self._by_kind.get(kind, ())]
        return sorted(found, key=_place)

    def _check(self, drafts: Sequence[Draft]) -> None:
        states: dict[str, State] = {}
        for draft in drafts:
            action = draft.key.partition("#")[0]
            known = states.get(action, self._states.get(action, State.NEW))
            states[action] = step(known, draft.body, action=action)

    def _take(self, entry: Entry) -> None:
        if self.entries and entry.seq <= self.entries[-1].seq:
            return  # another call in flight has read it already
        self.entries.append(entry)
        self._by_kind.setdefault(type(entry.body), []).append(entry)
        if action := entry.action:
            self._stories.setdefault(action, []).append(entry)
            known = self._states.get(action, State.NEW)
            self._states[action] = step(known, entry.body, action=action)
        for listener in tuple(self.listeners):
            try:
                listener(entry)
            except Exception:  # noqa: BLE001 -- whoever only watches must not stop what is under way
                self.listeners.remove(listener)


def _place(entry: Entry) -> int:
    return entry.seq

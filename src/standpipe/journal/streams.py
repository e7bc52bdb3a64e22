"""Check one stream, entry by entry: dense numbers, an unbroken chain, legal steps, rows that say the same.

Rule 1: every byte is hashed; a body is read only where the table of states or a row depends on it.
Rule 2: an entry of a newer version is no damage; what follows from its content is not checked.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec
from msgspec import UNSET, Struct, UnsetType

from standpipe.errors import BrokenJournalError
from standpipe.journal.chain import GENESIS, Stored, entry_of, is_known, link_of
from standpipe.journal.entries import Entry
from standpipe.journal.projections import BLOCKERS, RUNS, blocker_rows, run_rows
from standpipe.journal.snapshot import Head, Tombstone
from standpipe.journal.states import STEPS, word_of
from standpipe.journal.upcasters import version_of

# Kinds that change of a row only what is counted here, or what is shown while a run works.
_AT_WORK = frozenset({"model.requested", "model.responded", "model.failed", "model.refused"})
_ELSEWHERE = frozenset({"wake_at", "waiters"})  # follow from entries of other runs, too
_UNCOMPARED = _ELSEWHERE | {"doing", "doing_since", "trouble", "cost_usd"}


class Finding(Struct, frozen=True):
    """One thing that is not what was written. `seq` 0: the stream as a whole; `sound`: entries before it."""

    run: str
    seq: int
    what: str
    sound: int = 0

    @property
    def line(self) -> str:
        """Return it as one line."""
        where = f"{self.run}/{self.seq}" if self.seq else self.run
        before = "1 entry" if self.sound == 1 else f"{self.sound} entries"
        kept = f"; {before} before it sound" if self.seq else ""
        return f"{where}: {self.what}{kept}" if where else self.what


class _Tag(Struct):
    type: str


class _Glance(Struct):
    """What the table of states needs of a body."""

    type: str
    decision: _Tag | UnsetType = UNSET
    outcome: _Tag | UnsetType = UNSET
    verdict: str | UnsetType = UNSET


# The table of states in plain text: an enum hashes itself in Python, which is a third of the time.
_STEPS = {
    state.value: {word: after.value for word, after in steps.items()}
    for state, steps in STEPS.items()
}
_FIELDS = msgspec.json.Decoder(dict[str, object])
_GLANCE = msgspec.json.Decoder(_Glance)
_PLAIN_WORDS = {
    "action.proposed": "proposed",
    "action.intended": "intended",
    "action.in_doubt": "in_doubt",
}


@dataclass(slots=True)
class StreamCheck:
    """Take the entries of one stream in their order, and remember what is wrong."""

    run: str
    secret: bytes = b""
    sealed: str = ""  # the head that a seal covers: it must come by
    seq: int = 0
    head: str = GENESIS
    at: str = ""
    newer: str = ""
    findings: list[Finding] = field(default_factory=list[Finding])
    seal_met: bool = False
    kinds: Counter[str] = field(default_factory=Counter[str])
    rows: dict[tuple[str, str], bytes] = field(default_factory=dict[tuple[str, str], bytes])
    _states: dict[str, str] = field(default_factory=dict[str, str])
    _sound: int | None = None

    @property
    def count(self) -> int:
        """Return how many entries came."""
        return self.kinds.total()

    def begin_after(self, buried: Tombstone) -> None:
        """Begin where the archive of a run ends."""
        self.seq, self.head = buried.seq, buried.head
        self.seal_met = buried.head == self.sealed

    def feed(self, stored: Iterable[Stored]) -> None:
        """Check the next entries."""
        for one in stored:
            kind, own = one.kind, one.hash
            fits = one.seq == self.seq + 1 and one.prev == self.head
            if link_of(one, self.secret) != own or not fits:
                self._misplaced(one)
            if own == self.sealed:
                self.seal_met = True
            self.seq, self.head, self.at = one.seq, own, one.at
            self.kinds[kind] += 1
            if kind not in _AT_WORK and not self.newer:
                self._meaning(one)

    def end(self, head: Head | None) -> None:
        """Check that the stream ends where it ended when it was written."""
        if self.sealed and not self.seal_met:
            self._ends_too_soon("which a seal still knows")
        elif head and head.seq > self.seq:
            self._ends_too_soon(f"up to {head.seq}")
        elif head and (head.seq, head.hash) != (self.seq, self.head):
            self.found(self.seq + 1, "the table of runs knows another end of this stream")

    def differing(self, kept: Mapping[tuple[str, str], bytes]) -> None:
        """Compare the rows of this run with what its entries say."""
        if self.newer or self.findings:
            return  # what the entries say is not known
        for (view, key), said in self.rows.items():
            try:
                stands = _FIELDS.decode(kept[view, key])
            except KeyError:
                self._row(view, key, "is missing")
            except msgspec.DecodeError as error:
                self._row(view, key, f"cannot be read: {error}")
            else:
                self._compare(view, key, _FIELDS.decode(said), stands)

    def _misplaced(self, one: Stored) -> None:
        if one.seq != self.seq + 1:
            self._gap(one.seq)
        if link_of(one, self.secret) != one.hash:
            self.found(one.seq, f"{one.kind} is not what was written")
        elif one.prev != self.head:
            self.found(one.seq, f"{one.kind} does not follow the entry before it")

    def _gap(self, seq: int) -> None:
        first, last = self.seq + 1, seq - 1
        if last < first:
            self.found(seq, f"an entry stands at {seq} that was not written there")
        else:
            which = f"entry {first} is" if first == last else f"entries {first} to {last} are"
            self.found(first, f"{which} missing")

    def _ends_too_soon(self, who_knows: str) -> None:
        self.found(self.seq + 1, f"entries at its end are missing, {who_knows}")

    def found(self, seq: int, what: str) -> None:
        """Remember what is wrong at `seq`, and how much before it is not."""
        if self._sound is None:
            self._sound = max(seq - 1, 0)
        self.findings.append(Finding(self.run, seq, what, self._sound))

    def _meaning(self, one: Stored) -> None:
        if not is_known(one):
            self.newer = f"{one.run}/{one.seq}: {one.kind} of version {one.v}"
            return
        try:
            if one.kind.startswith("action."):
                self._step(one)
            else:
                self._fold(entry_of(one))
        except BrokenJournalError as error:
            self.found(one.seq, error.message)
        except (msgspec.DecodeError, UnicodeError) as error:
            self.found(one.seq, f"{one.kind} cannot be read: {error}")

    def _step(self, one: Stored) -> None:
        action = one.key.partition("#")[0]
        state, word = self._states.get(action, "new"), _word(one)
        if after := _STEPS[state].get(word):
            self._states[action] = after
        else:
            self.found(one.seq, f"`{word}` cannot follow `{state}` for action `{action}`")

    def _fold(self, entry: Entry) -> None:
        for update in [*run_rows(entry, self._look), *blocker_rows(entry, self._look)]:
            own = update.view == BLOCKERS or update.key == self.run
            if own:
                self.rows[update.view, update.key] = msgspec.json.encode(update.row)

    def _look(self, view: str, key: str) -> bytes | None:
        return self.rows.get((view, key))

    def _compare(
        self, view: str, key: str, said: Mapping[str, object], kept: Mapping[str, object]
    ) -> None:
        if view == RUNS:
            said = {**said, **self._counted()}
        if not said.keys() <= kept.keys():
            return  # an older version folded it, by the rules it had
        for name in sorted(said.keys() - _UNCOMPARED):
            if said[name] != kept[name]:
                self._row(view, key, f"says {name} {kept[name]!r}, its entries {said[name]!r}")
                return

    def _counted(self) -> Mapping[str, object]:
        """Return what of the row of the run was counted instead of folded."""
        return {
            "model_calls": self.kinds["model.responded"],
            "actions": self.kinds["action.proposed"],
            "last_at": self.at,
        }

    def _row(self, view: str, key: str, what: str) -> None:
        self.findings.append(Finding(self.run, 0, f"the row {view}/{key} {what}"))


def _word(one: Stored) -> str:
    """Return the word under which the table of states knows an entry."""
    if word := _PLAIN_WORDS.get(one.kind):
        return word
    if one.v != version_of(one.kind):
        return word_of(entry_of(one).body) or ""
    seen = _GLANCE.decode(one.data)
    said = seen.decision if one.kind == "action.decided" else seen.outcome
    if isinstance(said, _Tag):
        return said.type
    return seen.verdict if isinstance(seen.verdict, str) else ""

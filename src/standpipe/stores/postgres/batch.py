"""Several writes as one: what they would change, computed from rows that somebody else fetched.

Rule 1: nothing here talks to a server. What is needed and not at hand is noted in `missing`; it is
fetched, and everything is computed again. Folds are pure, so twice is as good as once.
Rule 2: a write that is refused changes nothing, and its neighbours never notice.
"""

from collections import ChainMap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from standpipe.errors import FencedError, NotFoundError, OwnedError, StaleError
from standpipe.ids import HOME
from standpipe.journal.chain import GENESIS, place
from standpipe.journal.entries import Draft, Entry, RunCreated, kind_of
from standpipe.journal.folds import project
from standpipe.journal.store import Seen
from standpipe.stores.writer import Failure

CALLER, LEASE, SERIES = "@caller", "@lease", "@series"  # tables that are asked like a projection
Place = tuple[str, str, str]  # run, key, kind: an entry says it once
Result = str | int | Sequence[Entry]


class Stream(msgspec.Struct, frozen=True):
    """Where a run stands."""

    epoch: int = 0
    seq: int = 0
    head: str = GENESIS


@dataclass(slots=True)
class Rows:
    """Rows by their names; None where there is none."""

    streams: dict[str, Stream | None] = field(default_factory=dict[str, Stream | None])
    entries: dict[Place, Entry | None] = field(default_factory=dict[Place, Entry | None])
    views: dict[tuple[str, str], bytes | None] = field(
        default_factory=dict[tuple[str, str], bytes | None]
    )
    created: dict[str, RunCreated] = field(default_factory=dict[str, RunCreated])

    def update(self, other: "Rows") -> None:
        """Take over what `other` knows."""
        self.streams.update(other.streams)
        self.entries.update(other.entries)
        self.views.update(other.views)
        self.created.update(other.created)

    def __bool__(self) -> bool:
        return bool(self.streams or self.entries or self.views)


@dataclass(slots=True)
class Batch:
    """The state of one computation. `all_new`: take it that nothing of it was said before."""

    at: str
    known: Rows
    all_new: bool
    secret: bytes = b""
    changed: Rows = field(default_factory=Rows)
    missing: Rows = field(default_factory=Rows)
    results: list[Result | Failure] = field(default_factory=list[Result | Failure])
    sent: Result | Failure | None = (
        None  # of the write at hand: nobody knows whether it was written
    )
    _own: Rows = field(default_factory=Rows)  # of the write at hand, dropped when it is refused

    def add(self, write: "Write", sent: "Result | Failure | None" = None) -> None:
        """Compute one write on top of those before it; `sent`: what came of it when it was sent before."""
        self.sent, self._own = sent, Rows()
        try:
            self.results.append(write.on(self))
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is told to who asked, alone
            self.results.append(Failure(error))
        else:
            self.changed.update(self._own)

    @property
    def certain(self) -> bool:
        """Whether everything that was looked up so far was there; else nothing is to be refused."""
        return not self.missing

    def stream(self, run: str) -> Stream:
        """Return where a stream stands; the stream of the home begins with its first entry."""
        known = ChainMap(self._own.streams, self.changed.streams, self.known.streams)
        if run not in known:
            self.missing.streams[run] = None
            return Stream()
        stream = known[run]
        if stream is None and run != HOME:
            raise NotFoundError(f"no run `{run}`", hint="`standpipe status` lists them")
        return stream or Stream()

    def entry(self, place: Place) -> Entry | None:
        """Return what was said there before."""
        known = ChainMap(self._own.entries, self.changed.entries, self.known.entries)
        if place not in known and not self.all_new:
            self.missing.entries[place] = None
        return known.get(place)

    def row(self, view: str, key: str) -> bytes | None:
        """Return a row of a projection, or of a table that is asked like one."""
        known = ChainMap(self._own.views, self.changed.views, self.known.views)
        if (view, key) not in known:
            self.missing.views[view, key] = None
        return known.get((view, key))

    def begin(self, run: str, stream: Stream, created: RunCreated | None = None) -> None:
        """Put a stream where the next entry is to be written."""
        self._own.streams[run] = stream
        if created is not None:
            self._own.created[run] = created

    def put(self, view: str, key: str, row: bytes) -> None:
        """Change a row."""
        self._own.views[view, key] = row

    def say(self, run: str, drafts: Sequence[Draft]) -> list[Entry]:
        """Place drafts at the end of their streams, with the rows they change."""
        return [self._placed(draft, draft.run or run) for draft in drafts]

    def _placed(self, draft: Draft, run: str) -> Entry:
        at = (run, draft.key, kind_of(draft.body))
        if (known := self.entry(at)) is not None:
            return known
        stream = self.stream(run)
        entry = place(
            draft, run=run, seq=stream.seq + 1, epoch=stream.epoch, at=self.at, prev=stream.head,
            secret=self.secret,
        )  # fmt: skip
        self._own.entries[at] = entry
        self._own.streams[run] = Stream(entry.epoch, entry.seq, entry.hash)
        for update in project(entry, self.row):
            self.put(update.view, update.key, msgspec.json.encode(update.row))
        return entry


class Write(Protocol):
    """One thing a caller wants written, all or nothing."""

    def on(self, batch: Batch, /) -> Result: ...


@dataclass(slots=True, frozen=True)
class Number:
    """Draw the next number of a series."""

    series: str

    def on(self, batch: Batch) -> int:
        number = int(batch.row(SERIES, self.series) or 0) + 1
        batch.put(SERIES, self.series, str(number).encode())
        return number


@dataclass(slots=True, frozen=True)
class Create:
    """Begin a run under an id that was drawn for it alone, so that trying again makes no second one."""

    run: str
    body: RunCreated

    def on(self, batch: Batch) -> str:
        caller = self.body.caller_id
        known = batch.row(CALLER, caller) if caller else None
        if known is not None:
            return known.decode()
        if batch.sent and batch.entry((self.run, self.run, kind_of(self.body))):
            return self.run
        batch.begin(self.run, Stream(), self.body)
        if caller:
            batch.put(CALLER, caller, self.run.encode())
        batch.say(self.run, [Draft(self.run, self.body)])
        return self.run


@dataclass(slots=True, frozen=True)
class Begin:
    """Raise the epoch of a run."""

    run: str
    draft: Draft
    owner: str

    def on(self, batch: Batch) -> int:
        stream = batch.stream(self.run)
        if stream.epoch == batch.sent and self._was_written(batch, stream.epoch):
            return stream.epoch
        owner = (batch.row(LEASE, self.run) or b"").decode() if self.owner else ""
        if owner not in ("", self.owner):
            raise OwnedError(
                f"run `{self.run}` is being worked on by worker `{owner}`",
                hint="`standpipe status` shows it; `standpipe cancel RUN` ends it",
            )
        epoch = stream.epoch + 1
        batch.begin(self.run, Stream(epoch, stream.seq, stream.head))
        batch.say(self.run, [Draft(str(epoch), self.draft.body)])
        return epoch

    def _was_written(self, batch: Batch, epoch: int) -> bool:
        known = batch.entry((self.run, str(epoch), kind_of(self.draft.body)))
        return known is not None and known.body == self.draft.body


@dataclass(slots=True, frozen=True)
class Append:
    """Write as the owner of a run."""

    run: str
    epoch: int
    drafts: Sequence[Draft]
    seen: Seen

    def on(self, batch: Batch) -> Sequence[Entry]:
        now = batch.stream(self.run).epoch
        if now != self.epoch and batch.certain:
            raise FencedError(
                f"run `{self.run}` is at epoch {now}, this process at {self.epoch}",
                hint="another process went on with it; this one stops",
            )
        if batch.sent is None or not self._was_written(batch):
            for (view, key), row in self.seen.items():
                if batch.row(view, key) != row and batch.certain:
                    raise StaleError(
                        f"the row {view}/{key} has changed",
                        hint="somebody else was faster; decide again",
                    )
        return batch.say(self.run, self.drafts)

    def _was_written(self, batch: Batch) -> bool:
        """What it was decided on has then changed by this very write."""
        places = [(draft.run or self.run, draft.key, kind_of(draft.body)) for draft in self.drafts]
        found = [batch.entry(place) for place in places]  # all, so that all are fetched at once
        return None not in found


@dataclass(slots=True, frozen=True)
class Post:
    """Write as anybody else."""

    run: str
    drafts: Sequence[Draft]

    def on(self, batch: Batch) -> Sequence[Entry]:
        batch.stream(self.run)
        return batch.say(self.run, self.drafts)

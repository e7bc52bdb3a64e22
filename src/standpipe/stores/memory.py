"""A store that forgets everything when the process ends; it obeys the same suite as SQLite."""

from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from standpipe.clock import Clock, stamp
from standpipe.errors import FencedError, NotFoundError, StaleError
from standpipe.ids import HOME, natural, run_id
from standpipe.journal import seals
from standpipe.journal.chain import GENESIS, Stored, encode, place
from standpipe.journal.entries import Draft, Entry, RunCreated, kind_of
from standpipe.journal.folds import project
from standpipe.journal.projections import RUNS, RunRow
from standpipe.journal.seals import Seal
from standpipe.journal.store import Seen


class MemoryStore:
    """Keep entries in lists; a transaction is a copy of what it touches."""

    def __init__(self, clock: Clock, *, secret: bytes = b"") -> None:
        self._clock = clock
        self._secret = secret
        self._streams: dict[str, list[Entry]] = {HOME: []}
        self._epochs: dict[str, int] = {HOME: 0}
        self._callers: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._rows: dict[tuple[str, str], bytes] = {}
        self._seals: list[Seal] = []

    async def create(self, created: RunCreated) -> str:
        if created.caller_id and created.caller_id in self._callers:
            return self._callers[created.caller_id]
        run = run_id(await self.number("run"))
        self._streams[run], self._epochs[run] = [], 0
        if created.caller_id:
            self._callers[created.caller_id] = run
        self._write(run, [Draft(run, created)])
        return run

    async def start_segment(self, run: str, draft: Draft, *, owner: str = "") -> int:
        del owner  # nobody else can be here
        self._known(run)
        self._epochs[run] += 1
        epoch = self._epochs[run]
        self._write(run, [Draft(str(epoch), draft.body)])
        return epoch

    async def due(self, queue: str, limit: int = 100) -> Sequence[str]:
        now, named = stamp(self._clock.now()), queue or "default"
        rows = [msgspec.json.decode(row, type=RunRow) for row in (await self.rows(RUNS)).values()]
        due = [row for row in rows if (row.queue or "default") == named and _may_go_on(row, now)]
        due.sort(key=lambda row: (-row.priority, row.wake_at, natural(row.id)))
        return [row.id for row in due[:limit]]

    async def append(
        self, run: str, epoch: int, drafts: Sequence[Draft], *, seen: Seen | None = None
    ) -> Sequence[Entry]:
        self._known(run)
        if epoch != self._epochs[run]:
            raise FencedError(
                f"run `{run}` is at epoch {self._epochs[run]}, this process at {epoch}",
                hint="another process went on with it; this one stops",
            )
        if changed := [row for row, text in (seen or {}).items() if self._rows.get(row) != text]:
            raise StaleError(
                f"the row {'/'.join(changed[0])} has changed",
                hint="somebody else was faster; decide again",
            )
        return self._write(run, drafts)

    async def post(self, run: str, drafts: Sequence[Draft]) -> Sequence[Entry]:
        self._known(run)
        return self._write(run, drafts)

    async def read(self, run: str, after: int = 0) -> Sequence[Entry]:
        return tuple(self._streams.get(run, ())[after:])

    async def stored(self, run: str) -> Sequence[Stored]:
        return [
            Stored(e.run, e.seq, e.epoch, e.key, e.kind, e.v, e.at, encode(e.body), e.prev, e.hash)
            for e in self._streams.get(run, ())
        ]

    async def streams(self) -> Sequence[str]:
        return tuple(name for name, entries in self._streams.items() if entries)

    async def number(self, series: str) -> int:
        self._numbers[series] = self._numbers.get(series, 0) + 1
        return self._numbers[series]

    async def row(self, view: str, key: str) -> bytes | None:
        return self._rows.get((view, key))

    async def rows(self, view: str) -> Mapping[str, bytes]:
        return {key: row for (name, key), row in self._rows.items() if name == view}

    async def seal(self) -> None:
        known = seals.fold(self._seals, secret=self._secret)
        heads = {name: stream[-1].hash for name, stream in self._streams.items() if stream}
        changed = {name: head for name, head in heads.items() if known.get(name) != head}
        if changed:
            last = self._seals[-1] if self._seals else None
            at = stamp(self._clock.now())
            self._seals.append(seals.seal(last, changed, at=at, secret=self._secret))

    async def sealed(self, run: str = "") -> Mapping[str, str]:
        heads = seals.fold(self._seals, secret=self._secret)
        return {name: head for name, head in heads.items() if run in ("", name)}

    async def seals(self) -> Sequence[Seal]:
        return tuple(self._seals)

    async def close(self) -> None:
        return None

    def _known(self, run: str) -> None:
        if run not in self._streams:
            raise NotFoundError(f"no run `{run}`", hint="`standpipe status` lists them")

    def _write(self, run: str, drafts: Sequence[Draft]) -> list[Entry]:
        streams: dict[str, list[Entry]] = {}
        rows: dict[tuple[str, str], bytes] = {}
        written: list[Entry] = []
        at = stamp(self._clock.now())
        for draft in drafts:
            name = draft.run or run
            self._known(name)
            stream = streams.setdefault(name, list(self._streams[name]))
            known = [e for e in stream if e.key == draft.key and e.kind == kind_of(draft.body)]
            if known:
                written.append(known[0])
                continue
            prev = stream[-1].hash if stream else GENESIS
            epoch = self._epochs[name]
            entry = place(
                draft, run=name, seq=len(stream) + 1, epoch=epoch, at=at, prev=prev,
                secret=self._secret,
            )  # fmt: skip
            stream.append(entry)
            written.append(entry)
            for update in project(entry, partial(_row, rows, self._rows)):
                rows[update.view, update.key] = msgspec.json.encode(update.row)
        self._streams.update(streams)
        self._rows.update(rows)
        return written


def _may_go_on(row: RunRow, now: str) -> bool:
    begun = row.status in {"running", "yielded"} and row.epoch > 0
    return begun or (row.status in {"queued", "blocked", "running"} and "" < row.wake_at <= now)


def _row(
    changed: Mapping[tuple[str, str], bytes], kept: Mapping[tuple[str, str], bytes],
    view: str, key: str,
) -> bytes | None:  # fmt: skip
    return changed.get((view, key)) or kept.get((view, key))

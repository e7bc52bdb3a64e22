"""The statements of the journal: what a batch reads, and the one that writes it.

A plan is kept for as long as a connection lives, and may have been made when the tables were empty. So every
row is asked for by its whole key: with `= any`, or inside `lateral ... limit`, where no plan can do otherwise.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, LiteralString, NamedTuple, TypeAlias

from psycopg.rows import TupleRow  # noqa: TID253 -- this package loads only when it is configured

from standpipe.clock import moment
from standpipe.journal.chain import Stored, encode, entry_of
from standpipe.journal.entries import Entry
from standpipe.journal.projections import RUNS, RunRow, read_row
from standpipe.stores.postgres.batch import CALLER, LEASE, SERIES, Rows, Stream
from standpipe.stores.postgres.link import Connection

COLUMNS: Final = "e.run, e.seq, e.epoch, e.key, e.kind, e.v, e.at, e.data, e.prev, e.hash"
DEFAULT_QUEUE = "default"
Question: TypeAlias = tuple[LiteralString, Mapping[str, object]]
Column: TypeAlias = Iterable[str | int | bytes | None]

_COUNT: Final = """
select h.n, m.version from standpipe.home h, standpipe.meta m where h.home = %s"""
_LOCK: Final = " for update of h"
_STREAMS: Final = "select id, epoch, seq, head from standpipe.run where home = %(home)s and id = any(%(runs)s::text[])"
_ENTRIES: Final = f"""
select {COLUMNS} from unnest(%(runs)s::text[], %(keys)s::bytea[], %(kinds)s::text[]) as k(run, key, kind),
lateral (
  select * from standpipe.entry where home = %(home)s and run = k.run and key = k.key and kind = k.kind
  order by home, run, key, kind limit 1
) as e"""  # noqa: S608 -- a constant
_VIEWS: Final = """
select k.name, k.key, v.data from unnest(%(views)s::text[], %(keys)s::bytea[]) as k(name, key),
lateral (
  select data from standpipe.view where home = %(home)s and name = k.name and key = k.key limit 1
) as v
"""
_ASIDE: Final[Mapping[str, LiteralString]] = {  # tables that are asked like a projection
    CALLER: """
select %(view)s::text, k, convert_to(r.id, 'utf8') from unnest(%(keys)s::bytea[]) as k,
lateral (
  select id from standpipe.run where home = %(home)s and caller_id = k order by caller_id limit 1
) as r
""",
    SERIES: """
select %(view)s::text, convert_to(s.name, 'utf8'), convert_to(s.n::text, 'utf8')
from standpipe.series s where s.home = %(home)s and s.name = any(%(names)s::text[])
""",
    LEASE: """
select %(view)s::text, convert_to(l.run, 'utf8'), convert_to(l.worker, 'utf8')
from standpipe.lease l where l.home = %(home)s and l.run = any(%(names)s::text[])
and l.until > clock_timestamp()
""",
}
_WRITE: Final = """
with turn as (
  update standpipe.home set n = n + 1
  where home = %(home)s and n = %(n)s::bigint
    and (select version from standpipe.meta) = %(version)s::integer
  returning n
), said as (
  insert into standpipe.entry (home, run, seq, epoch, key, kind, v, at, data, prev, hash)
  select %(home)s::text, e.* from turn, unnest(
    %(e_run)s::text[], %(e_seq)s::bigint[], %(e_epoch)s::bigint[], %(e_key)s::bytea[], %(e_kind)s::text[],
    %(e_v)s::integer[], %(e_at)s::text[], %(e_data)s::bytea[], %(e_prev)s::text[], %(e_hash)s::text[]) as e
), shown as (
  insert into standpipe.view (home, name, key, data)
  select %(home)s::text, v.* from turn, unnest(%(v_name)s::text[], %(v_key)s::bytea[], %(v_data)s::bytea[]) as v
  on conflict (home, name, key) do update set data = excluded.data
), numbered as (
  insert into standpipe.series (home, name, n)
  select %(home)s::text, s.* from turn, unnest(%(s_name)s::text[], %(s_n)s::bigint[]) as s
  on conflict (home, name) do update set n = excluded.n
), stood as (
  insert into standpipe.run (home, id, status, epoch, seq, head, wake_at, queue, priority, parent, caller_id, unsealed)
  select %(home)s::text, r.*, true from turn, unnest(
    %(r_id)s::text[], %(r_status)s::text[], %(r_epoch)s::bigint[], %(r_seq)s::bigint[], %(r_head)s::text[],
    %(r_wake)s::timestamptz[], %(r_queue)s::text[], %(r_priority)s::integer[],
    %(r_parent)s::text[], %(r_caller)s::bytea[]) as r
  on conflict (home, id) do update set status = excluded.status, epoch = excluded.epoch, seq = excluded.seq,
    head = excluded.head, wake_at = excluded.wake_at, queue = excluded.queue, priority = excluded.priority,
    unsealed = true
), woken as (
  update standpipe.run r set status = w.status, wake_at = w.wake_at
  from turn, unnest(%(w_id)s::text[], %(w_status)s::text[], %(w_wake)s::timestamptz[]) as w(id, status, wake_at)
  where r.home = %(home)s and r.id = any(%(w_id)s::text[]) and r.id = w.id
)
select n from turn
"""


class Count(NamedTuple):
    """How often a home was written, and the version of the tables it was written to."""

    n: int
    version: int


@dataclass(slots=True, frozen=True)
class Found:
    """Rows, and how often the home had been written just before they were read; None if never."""

    count: Count | None
    rows: Rows


def octets(text: str) -> bytes:
    """Return text as it is kept: bytes, as it may hold what PostgreSQL's text cannot."""
    return text.encode(errors="surrogatepass")


def text(found: bytes) -> str:
    """Return what `octets` kept."""
    return found.decode(errors="surrogatepass")


def entry(row: TupleRow) -> Entry:
    """Read the columns of an entry."""
    return entry_of(stored(row))


def stored(row: TupleRow) -> Stored:
    """Return the columns of an entry as they lie there."""
    run, seq, epoch, key, kind, v, at, data, prev, own = row
    return Stored(run, seq, epoch, text(key), kind, v, at, data, prev, own)


async def lock(db: Connection, home: str) -> None:
    """Let nobody else write into a home until the transaction ends."""
    await db.execute(_COUNT + _LOCK, (home,))


async def fetch(db: Connection, home: str, wanted: Rows, *, begin: bool = False) -> Found:
    """Return rows by their names, with None for those that are not there, in one trip.

    How often the home was written is read first: so the rows are at least as new as that says. `begin`: in a
    new transaction, with the home locked until it ends.
    """
    async with db.pipeline():
        if begin:
            await db.execute("begin")
        counting = await db.execute(_COUNT + _LOCK if begin else _COUNT, (home,))
        asked = [await db.execute(*question) for question in questions(home, wanted)]
    count = await counting.fetchone()
    streams, entries, *views = [await rows.fetchall() for rows in asked]
    found = Rows(dict(wanted.streams), dict(wanted.entries), dict(wanted.views))
    found.streams.update({run: Stream(*at) for run, *at in streams})
    for known in [entry(row) for row in entries]:
        found.entries[known.run, known.key, known.kind] = known
    for view, key, data in [row for rows in views for row in rows]:
        found.views[view, text(key)] = data
    return Found(Count(*count) if count else None, found)


def questions(home: str, wanted: Rows) -> list[Question]:
    """Return what is to be asked: for streams, for entries, then for rows of all sorts."""
    places = [(run, octets(key), kind) for run, key, kind in wanted.entries]
    runs, keys, kinds = zip(*places, strict=True) if places else ((), (), ())
    asked: list[Question] = [
        (_STREAMS, {"home": home, "runs": list(wanted.streams)}),
        (_ENTRIES, {"home": home, "runs": list(runs), "keys": list(keys), "kinds": list(kinds)}),
    ]
    shown = [(view, octets(key)) for view, key in wanted.views if view not in _ASIDE]
    if shown:
        views, keys = zip(*shown, strict=True)
        asked.append((_VIEWS, {"home": home, "views": list(views), "keys": list(keys)}))
    for view, query in _ASIDE.items():
        if names := [key for name, key in wanted.views if name == view]:
            keys = [octets(name) for name in names]
            asked.append((query, {"home": home, "view": view, "names": names, "keys": keys}))
    return asked


async def send(
    db: Connection, home: str, count: Count, changed: Rows, *, commit: bool = False
) -> bool:
    """Write what a batch changes; False, and nothing is written, when somebody else wrote since `count`.

    `commit`: end the transaction, in the same trip.

    Raises:
        UniqueViolation: some of it was said before; nothing is written.
    """
    columns = {
        **_entry_columns([known for known in changed.entries.values() if known]),
        **_view_columns(changed),
        **_run_columns(changed),
    }
    values = {name: _array(column) for name, column in columns.items()}
    values |= {"home": home, "n": str(count.n), "version": str(count.version)}
    if not commit:
        return await (await db.execute(_WRITE, values)).fetchone() is not None
    async with db.pipeline():
        written = await db.execute(_WRITE, values)
        await db.execute("commit")
    return await written.fetchone() is not None


def _array(column: Column) -> str:
    """Write an array as PostgreSQL reads it; psycopg 3.3 needs ten times as long for a list."""
    return "{" + ",".join([_element(value) for value in column]) + "}"


def _element(value: str | int | bytes | None) -> str:
    match value:
        case None:
            return "null"
        case int():
            return str(value)
        case bytes():
            return f'"\\\\x{value.hex()}"'
        case str():
            return '"' + value.replace("\\", r"\\").replace('"', r"\"") + '"'


def _entry_columns(entries: Sequence[Entry]) -> dict[str, Column]:
    return {
        "e_run": [one.run for one in entries],
        "e_seq": [one.seq for one in entries],
        "e_epoch": [one.epoch for one in entries],
        "e_key": [octets(one.key) for one in entries],
        "e_kind": [one.kind for one in entries],
        "e_v": [one.v for one in entries],
        "e_at": [one.at for one in entries],
        "e_data": [encode(one.body) for one in entries],
        "e_prev": [one.prev for one in entries],
        "e_hash": [one.hash for one in entries],
    }


def _view_columns(changed: Rows) -> dict[str, Column]:
    views = [(*name, data) for name, data in changed.views.items() if data is not None]
    shown = [row for row in views if not row[0].startswith("@")]
    numbered = [row for row in views if row[0] == SERIES]
    return {
        "v_name": [name for name, _, _ in shown],
        "v_key": [octets(key) for _, key, _ in shown],
        "v_data": [data for _, _, data in shown],
        "s_name": [key for _, key, _ in numbered],
        "s_n": [int(data) for _, _, data in numbered],
    }


def _run_columns(changed: Rows) -> dict[str, Column]:
    """The row of a run stands beside its stream; an entry may also wake runs with another stream."""
    decoded = {
        key: read_row(RunRow, data) for (view, key), data in changed.views.items() if view == RUNS
    }
    streams = {run: stream for run, stream in changed.streams.items() if stream}
    rows = [decoded.pop(run, None) for run in streams]
    begun = [changed.created.get(run) for run in streams]
    woken = [row for row in decoded.values() if row]
    return {
        "r_id": list(streams),
        "r_epoch": [stream.epoch for stream in streams.values()],
        "r_seq": [stream.seq for stream in streams.values()],
        "r_head": [stream.head for stream in streams.values()],
        "r_status": [row.status if row else "" for row in rows],
        "r_wake": [_time(row) for row in rows],
        "r_queue": [(row and row.queue) or DEFAULT_QUEUE for row in rows],
        "r_priority": [row.priority if row else 0 for row in rows],
        "r_parent": [(body and body.parent) or None for body in begun],
        "r_caller": [octets(body.caller_id) if body and body.caller_id else None for body in begun],
        "w_id": [row.id for row in woken],
        "w_status": [row.status for row in woken],
        "w_wake": [_time(row) for row in woken],
    }


def _time(row: RunRow | None) -> str | None:
    return moment(row.wake_at).isoformat() if row and row.wake_at else None

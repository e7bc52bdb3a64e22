"""Journals of every ending, as each version wrote them, load, verify and go on for ever.

`python tests/conformance/test_golden_journals.py` writes what is missing: the journals of a new generation, and
the shapes of new kinds, new versions and new fields with a default. It never writes over what is there, and it
refuses a shape that changed in another way: that is a new version with an upcaster (`journal/upcasters.py`).
"""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast, get_args

import msgspec
import pytest

from standpipe.adapters.script import Call
from standpipe.desk.report import report
from standpipe.journal.chain import Stored, entry_of
from standpipe.journal.ending import closing
from standpipe.journal.entries import Body, CancelRequested, Draft
from standpipe.journal.export import ExportedEntry, ExportedSeal, export
from standpipe.journal.exported import verify_export
from standpipe.journal.folds import project
from standpipe.journal.projections import RunRow
from standpipe.journal.snapshot import PortSnapshot
from standpipe.journal.upcasters import version_of
from standpipe.journal.verify import verify
from standpipe.journal.views import open_blockers
from standpipe.stores.sqlite import SqliteStore
from standpipe.testing.fakes import Crash, FakeClock
from standpipe.testing.loops import DONE, Loop, loop, pay, read, send

FOLDER = Path(__file__).parents[1] / "golden/journals"
GENERATION = 1  # raise it with every new version of an entry, and write the journals anew
SHAPES = FOLDER / "shapes.json"
STORIES: Mapping[str, Sequence[Sequence[Call]]] = {
    "done": ([read("1"), send("ann")], [DONE]),
    "blocked": ([pay("ann")], [DONE]),
    "in_doubt": ([send("ann")], [DONE]),
    "cancelled": ([read("1")], [DONE]),
    "mid_parallel": ([read("1"), send("ann"), read("2"), pay("bob")], [DONE]),
}
ANSWERS: Mapping[str, Mapping[str, str]] = {
    "blocked": {"approval": "yes"},
    "in_doubt": {"in_doubt": "no"},
    "mid_parallel": {"approval": "yes", "in_doubt": "yes"},
}
DONE_THEN = {"blocked": ["pay"], "in_doubt": ["send_note"], "mid_parallel": ["pay"]}
Schema = Mapping[str, object]


def golden() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.jsonl"))


def test_there_is_a_journal_of_every_ending_and_of_this_generation() -> None:
    assert {f"{name}-{GENERATION}" for name in STORIES} <= set(golden())


@pytest.mark.parametrize("name", golden())
def test_a_golden_journal_verifies_alone(name: str) -> None:
    found = verify_export(lines_of(name))
    assert (found.broken, found.newer) == ((), ())
    assert found.entries > 5


@pytest.mark.parametrize("name", golden())
async def test_a_golden_journal_loads_and_its_report_is_written(name: str, tmp_path: Path) -> None:
    store = rebuilt(lines_of(name), tmp_path / "journal.db")
    assert (await verify(store)).broken == ()
    entries = await store.read("r1")
    assert report(entries).run == "r1"
    assert len(entries) + len(await store.read("home")) == verify_export(lines_of(name)).entries
    again = [line async for line in export(PortSnapshot(store))]
    assert again[0] == lines_of(name)[0]
    assert [line for line in again if b'{"run"' in line] == [
        line for line in lines_of(name) if b'{"run"' in line
    ]
    await store.close()


@pytest.mark.parametrize("name", golden())
async def test_a_golden_journal_is_resumed_to_its_end_and_nothing_is_done_twice(
    name: str, tmp_path: Path
) -> None:
    story = name.rpartition("-")[0]
    going_on = loop(*STORIES[story])
    going_on.store = store = rebuilt(lines_of(name), tmp_path / "journal.db")
    going_on.run = "r1"
    while (end := await going_on.segment()).status == "blocked":
        for blocker, body in open_blockers(await going_on.entries()).items():
            await going_on.answer(blocker, ANSWERS[story][body.kind])
    assert end.status == ("cancelled" if story == "cancelled" else "done")
    assert [tool for tool, _ in going_on.acted if tool != "done"] == DONE_THEN.get(story, [])
    assert (await verify(store)).broken == ()
    await store.close()


@pytest.mark.parametrize("kind", [str(body.__struct_config__.tag) for body in get_args(Body)])
def test_a_shape_changes_only_under_a_new_version_or_by_a_field_with_a_default(kind: str) -> None:
    recorded = shapes_recorded().get(kind, {})
    version = str(version_of(kind))
    assert version in recorded, f"record it: python {Path(__file__).name}"
    assert lost(recorded[version], shapes_now()[kind], kind) == []


def test_every_field_is_recorded() -> None:
    now = {kind: {str(version_of(kind)): shape} for kind, shape in shapes_now().items()}
    recorded = {
        kind: {version: shape for version, shape in shapes_recorded()[kind].items() if version in known}
        for kind, known in now.items()
    }  # fmt: skip
    assert recorded == now, f"record what is new: python {Path(__file__).name}"


CHANGES: dict[str, tuple[Callable[[dict[str, object]], object], str]] = {
    "a field gone": (lambda shape: shape.pop("b"), "t.b: gone"),
    "another type": (lambda shape: shape.update(b={"type": "integer"}), "t.b.type: was 'string', is 'integer'"),
    "another default": (lambda shape: shape.update(b={"type": "string", "default": "x"}), "t.b.default: "),
    "a field more": (lambda shape: shape.update(c={"type": "string", "default": ""}), ""),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_what_breaks_old_entries_is_noticed(change: str) -> None:
    old = {"t": {"b": {"type": "string", "default": ""}, "a": {"type": "string"}}}
    new = json.loads(json.dumps(old))
    made, said = CHANGES[change]
    made(new["t"])
    found = lost(old["t"], new["t"], "t")
    assert found == [] if not said else said in found[0]


def test_a_field_that_must_be_there_from_now_on_is_noticed() -> None:
    assert lost({"required": ["a"]}, {"required": ["a", "b"]}, "t") == ["t.required: also b"]
    assert lost({"required": ["a", "b"]}, {"required": ["a"]}, "t") == []


def lost(old: object, new: object, where: str) -> list[str]:
    """Return what entries of the old shape have and the new shape does not read as it was."""
    if isinstance(old, dict) and isinstance(new, dict):
        return _lost_in_table(cast("Schema", old), cast("Schema", new), where)
    if isinstance(old, list) and isinstance(new, list):
        olds, news = cast("list[object]", old), cast("list[object]", new)
        missing = [one for one in olds if not any(lost(one, each, "") == [] for each in news)]
        return [f"{where}: gone {one}" for one in missing]
    return [] if old == new else [f"{where}: was {old!r}, is {new!r}"]


def _lost_in_table(old: Schema, new: Schema, where: str) -> list[str]:
    found: list[str] = []
    for name in old:
        if name in {"description", "title"}:
            continue
        if name == "required":
            more = sorted({*cast("list[str]", new.get(name, []))} - {*cast("list[str]", old[name])})
            found += [f"{where}.required: also {each}" for each in more]
        elif name not in new:
            found.append(f"{where}.{name}: gone")
        else:
            found += lost(old[name], new[name], f"{where}.{name}")
    return found


def shapes_now() -> dict[str, Schema]:
    bodies = get_args(Body)
    return {
        str(body.__struct_config__.tag): json.loads(
            json.dumps(msgspec.json.schema(body, schema_hook=_anything))
        )
        for body in bodies
    }


def _anything(kind: type) -> dict[str, object]:
    del kind  # `object`: whatever JSON can say
    return {"type": "any"}


def shapes_recorded() -> dict[str, dict[str, Schema]]:
    return json.loads(SHAPES.read_text()) if SHAPES.exists() else {}


def lines_of(name: str) -> list[bytes]:
    return (FOLDER / f"{name}.jsonl").read_bytes().splitlines(keepends=True)


def rebuilt(lines: Sequence[bytes], path: Path) -> SqliteStore:
    """Put an export back into a journal, byte for byte."""
    store = SqliteStore(path, FakeClock())
    rows: dict[tuple[str, str], bytes] = {}
    with sqlite3.connect(path) as db:
        for line in lines:
            if line.startswith(b'{"kind":"export.seal"'):
                seal = msgspec.json.decode(line, type=ExportedSeal)
                values = (seal.n, seal.at, bytes(seal.heads).decode(), seal.prev, seal.hash)
                db.execute("insert into seal values (?, ?, ?, ?, ?)", values)
            elif line.startswith(b'{"run"'):
                one = msgspec.json.decode(line, type=ExportedEntry)
                _put(db, Stored(*msgspec.structs.astuple(one)), rows)
        for (view, key), row in rows.items():
            db.execute("insert into view values (?, ?, ?)", (view, key, row.decode()))
        db.execute("insert into series values ('run', 1), ('blocker', 9)")
    db.close()
    return store


def _put(db: sqlite3.Connection, one: Stored, rows: dict[tuple[str, str], bytes]) -> None:
    values = (*msgspec.structs.astuple(one)[:7], bytes(one.data).decode(), one.prev, one.hash)
    db.execute("insert into entry values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
    known = "insert into run (id, status, epoch, seq, head) values (?, '', 0, 0, '') on conflict do nothing"
    db.execute(known, (one.run,))
    end = "update run set epoch = ?, seq = ?, head = ? where id = ?"
    db.execute(end, (one.epoch, one.seq, one.hash, one.run))
    stored = msgspec.structs.replace(one, data=bytes(one.data))
    for update in project(entry_of(stored), lambda view, key: rows.get((view, key))):
        rows[update.view, update.key] = msgspec.json.encode(update.row)
        if isinstance(update.row, RunRow):
            db.execute("update run set status = ? where id = ?", (update.row.status, update.key))


async def told(name: str, path: Path) -> list[bytes]:
    """Let a story happen, up to the place where its journal is kept, and return the export."""
    clock = FakeClock()
    story = Loop(turns=loop(*STORIES[name]).turns, clock=clock)
    story.store = store = SqliteStore(path, clock)
    if name == "cancelled":
        story.during = lambda: _cancel(story)
    if name in {"in_doubt", "mid_parallel"}:
        await _killed_in(story, 1 if name == "in_doubt" else 2)
    if name != "mid_parallel":
        end = await story.segment()
        journal = story.session.gate.record.journal
        await store.append(
            journal.run, journal.epoch, list(closing(end, run=journal.run, epoch=journal.epoch))
        )
    await store.seal()
    lines = [line async for line in export(PortSnapshot(store))]
    await store.close()
    return lines


async def _cancel(story: Loop) -> None:
    await story.store.post(story.run or "", [Draft("cancel", CancelRequested("ann"))])


async def _killed_in(story: Loop, call: int) -> None:
    """Kill the process of a story while a tool is at work."""

    async def dies() -> None:
        if len(story.calls) == call:
            raise Crash

    story.during = dies
    with pytest.raises(Crash):
        await story.segment()
    story.during = None


async def write_what_is_missing() -> None:
    for name in STORIES:
        file = FOLDER / f"{name}-{GENERATION}.jsonl"
        if not file.exists():
            with TemporaryDirectory() as folder:
                lines = await told(name, Path(folder) / "journal.db")
            file.write_bytes(b"".join(lines))
    recorded = shapes_recorded()
    for kind, shape in shapes_now().items():
        known = recorded.setdefault(kind, {})
        if changed := lost(known.get(str(version_of(kind)), {}), shape, kind):
            raise SystemExit(
                "\n".join([*changed, "raise the version of this kind, with an upcaster"])
            )
        known[str(version_of(kind))] = shape
    SHAPES.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    asyncio.run(write_what_is_missing())

"""`changes` and `undo`: the files of a run, and how to have them back."""

from argparse import Namespace
from pathlib import Path

from standpipe.cli.asking import OPERATOR
from standpipe.cli.render import command_text
from standpipe.cli.runs import asked, entries_of, where
from standpipe.cli.terminal import as_json, show
from standpipe.config import find_home
from standpipe.desk.blockers import run_rows
from standpipe.desk.changes import Undone, differences, undo as take_back
from standpipe.desk.fleet import meant
from standpipe.desk.inert import inert
from standpipe.desk.report import effects
from standpipe.desk.sentences import Tone
from standpipe.errors import UsageError
from standpipe.execution.workspace import Workspace
from standpipe.journal.store import Store
from standpipe.opening import STATE_FOLDER


def changes(options: Namespace) -> int:
    """Print what became of every file the run touched."""
    home = find_home(options.home)
    entries = asked(options.home, lambda store: entries_of(store, options.home, options.run))
    found = differences(entries, _workspace(home))
    if options.json:
        print(as_json(found))
        return 0
    for one in found:
        head = f"{one.change} {one.path} +{one.added} -{one.removed} ({one.action}) {one.why}"
        show([(inert(head), Tone.PERSON)])
        show((inert(line), _tone(line)) for line in one.diff.split("\n") if line)
        if not one.undoable:
            show([(inert(f"cannot be taken back: {one.reason}"), Tone.BAD)])
    if not found:
        show([("this run left no file changed", Tone.QUIET)])
    return 0


def undo(options: Namespace) -> int:
    """Put the files back, or name what stands in the way; 1 where nothing was touched because of it."""
    home = find_home(options.home)
    done = asked(options.home, lambda store: _undo(store, home, options))
    if options.json:
        print(as_json(done))
    else:
        _tell(done)
    return 1 if done.conflicts else 0


async def _undo(store: Store, home: Path, options: Namespace) -> Undone:
    row = meant(await run_rows(store), options.run)
    if await where(store, row) == "running":
        hint = command_text(f"standpipe cancel {row.id}", options.home)
        raise UsageError(f"{row.id} is running", hint=hint)
    entries = await store.read(row.id)
    if not entries:  # its end is told; nothing is added to it any more
        hint = f"{command_text(f'standpipe changes {row.id}', options.home)} shows what it changed"
        raise UsageError(f"{row.id} is archived, and its files are not taken back", hint=hint)
    left = [effect.summary for effect in effects(entries)]
    return await take_back(store, row.id, _workspace(home), by=OPERATOR, cannot_take_back=left)


def _tell(done: Undone) -> None:
    if done.conflicts:
        show([("nothing was touched: somebody else changed these since", Tone.BAD)])
        show((f"  {inert(path)}", Tone.BAD) for path in done.conflicts)
    elif done.restored:
        show([(f"{done.run}: as they were before:", Tone.GOOD)])
        show((f"  {inert(path)}", Tone.PLAIN) for path in done.restored)
    else:
        show([(f"{done.run}: no file is left to take back", Tone.QUIET)])
    if done.cannot_take_back:
        show([("undo cannot take back what happened outside:", Tone.CARE)])
        show((f"  {inert(line)}", Tone.CARE) for line in done.cannot_take_back)


def _tone(line: str) -> Tone:
    if line.startswith("+"):
        return Tone.GOOD
    return Tone.BAD if line.startswith("-") else Tone.QUIET


def _workspace(home: Path) -> Workspace:
    return Workspace(home / "workspace", home / STATE_FOLDER / "blobs")

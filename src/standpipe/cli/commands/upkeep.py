"""`memory boot` and `journal verify`: what a session would load, and whether the record is whole."""

import asyncio
from argparse import Namespace
from pathlib import Path

from standpipe.cli.runs import asked
from standpipe.cli.terminal import as_json, show
from standpipe.config import find_home
from standpipe.desk.inert import inert
from standpipe.desk.sentences import Tone
from standpipe.errors import NotFoundError
from standpipe.journal.verify import verify as verify_store
from standpipe.memory.pack import BUDGET_TOKENS, Pack
from standpipe.memory.upkeep import Upkeep
from standpipe.opening import open_store


def boot(options: Namespace) -> int:
    """Print exactly what a session would load."""
    home = find_home(options.home)
    pack = asyncio.run(_pack(home, BUDGET_TOKENS if options.budget is None else options.budget))
    if options.json:
        print(as_json(pack))
        return 0
    for line in pack.text.split("\n"):
        print(inert(line, limit=len(line)))
    return 0


async def _pack(home: Path, budget_tokens: int) -> Pack:
    try:
        store = open_store(home)
    except NotFoundError:  # nothing ran here yet, so there is no past to tell
        return await Upkeep(home).pack(None, budget_tokens=budget_tokens)
    try:
        return await Upkeep(home).pack(store, budget_tokens=budget_tokens)
    finally:
        await store.close()


def verify(options: Namespace) -> int:
    """Check every link; 0 is whole, 1 is broken."""
    found = asked(options.home, verify_store)
    if options.json:
        print(as_json({"whole": found.whole, "streams": found.streams, "entries": found.entries,
                       "broken": found.broken}))  # fmt: skip
        return 0 if found.whole else 1
    word = "whole" if found.whole else "BROKEN"
    tone = Tone.GOOD if found.whole else Tone.BAD
    show([(f"journal {word}: {found.entries} entries checked", tone)])
    show((f"  {inert(line)}", Tone.BAD) for line in found.broken)
    return 0 if found.whole else 1

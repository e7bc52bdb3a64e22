"""`memory boot`: what a session would load."""

import asyncio
from argparse import Namespace
from pathlib import Path

from standpipe.cli.terminal import as_json
from standpipe.config import find_home
from standpipe.desk.inert import inert
from standpipe.errors import NotFoundError
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

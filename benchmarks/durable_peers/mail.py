"""What every peer's worker does: send orders to the ledger, one after the other in each run."""

import asyncio
import json
import os
import sys
import urllib.request
from dataclasses import dataclass

AT_ONCE = 4  # runs of one worker


@dataclass(frozen=True, slots=True)
class Work:
    """Where to write, where to send, who this is, and how much there is to do."""

    url: str
    ledger: str
    worker: str
    runs: int
    orders: int


def work() -> Work:
    """Return what the command line says."""
    url, ledger, worker, runs, orders = sys.argv[1:]
    return Work(url, ledger, worker, int(runs), int(orders))


async def send(ledger: str, order: str) -> str:
    """Send one order, as a tool of an agent would."""
    return await asyncio.to_thread(_post, f"{ledger}/mail/{order}")


def _post(url: str) -> str:
    said = json.dumps({"pid": os.getpid(), "key": ""}).encode()
    with urllib.request.urlopen(url, said, timeout=60) as answer:  # noqa: S310 -- loopback
        return str(json.load(answer)["receipt"])

"""How a contestant is asked: `parallel count` on one line of standard input, one line of JSON back.

It stays alive between two rounds, so that rounds of all contestants can take turns.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable

RESULT = "x" * 50

Act = Callable[[int, int], Awaitable[None]]  # so many at once, so many actions in all


async def serve(act: Act) -> None:
    """Answer until standard input ends."""
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        parallel, count = map(int, line.split())
        worked, began = _cpu_seconds(), time.perf_counter()
        await act(parallel, count)
        seconds = time.perf_counter() - began
        print(json.dumps({"seconds": seconds, "cpu_seconds": _cpu_seconds() - worked}), flush=True)


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system

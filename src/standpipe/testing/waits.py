"""Wait for what another task or process brings about, without guessing how long it takes."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

LOOKS_MAX = 3_000
_LOOK_SECONDS = 0.02
T = TypeVar("T")


async def until(
    condition: Callable[[], object], running: "asyncio.Future[T] | None" = None
) -> None:
    """Look again and again, for as long as what is `running` may still bring it about.

    Raises:
        AssertionError: it never came to that.
    """
    for _ in range(LOOKS_MAX):
        over = running is not None and running.done()
        if condition():
            return
        if over and running is not None:
            raise AssertionError(f"it ended before it came to that: {running}")
        await asyncio.sleep(_LOOK_SECONDS)
    raise AssertionError("it never came to that")

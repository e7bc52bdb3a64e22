"""Let an error say how far an effect had got.

Rule: the tool itself says it, because no library knows: `phase` is `not_sent` or `sent`. It is read by
    `outcomes/families/code.py`, and decides whether an effect that fails is in doubt.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class Reached:
    """How far it has got by now; `sent` is the worst case, also where nobody knows."""

    phase: str = "not_sent"


@contextmanager
def phases() -> Generator[Reached]:
    """Write the phase on whatever is raised inside, unless it says one already."""
    reached = Reached()
    try:
        yield reached
    except Exception as error:
        if not hasattr(error, "phase"):
            error.phase = reached.phase  # pyright: ignore[reportAttributeAccessIssue] -- what the rule is about
        raise

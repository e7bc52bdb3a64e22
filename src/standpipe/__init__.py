"""One gate between an agent and the world: decided, written down, done once, told to a human."""

from importlib import import_module
from typing import TYPE_CHECKING

from standpipe.errors import Conflict as Conflict, StandpipeError as StandpipeError
from standpipe.execution.tools import secret as secret, tool as tool

if TYPE_CHECKING:
    from standpipe.desk.report import Report as Report
    from standpipe.memory.brain import Brain as Brain
    from standpipe.runtime import Runtime as Runtime

__version__ = "0.1.0"
__all__ = ["Brain", "Conflict", "Report", "Runtime", "StandpipeError", "secret", "tool"]

_LATER = {
    "Brain": "standpipe.memory.brain",
    "Report": "standpipe.desk.report",
    "Runtime": "standpipe.runtime",
}


def __getattr__(name: str) -> object:
    """Load the parts that cost something when they are first named."""
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module `standpipe` has no attribute `{name}`")

"""What Standpipe is tested with, for your tests: a clock, a model, a server that fails as told."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from standpipe.testing.fakes import FakeClock as FakeClock
    from standpipe.testing.faults import Fault as Fault, FaultServer as FaultServer

__all__ = ["FakeClock", "Fault", "FaultServer"]

_LATER = {
    "FakeClock": "standpipe.testing.fakes",
    "Fault": "standpipe.testing.faults",
    "FaultServer": "standpipe.testing.faults",
}


def __getattr__(name: str) -> object:
    """Load what is named, and nothing else."""
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module `standpipe.testing` has no attribute `{name}`")

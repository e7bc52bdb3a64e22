"""A server that fails as told, for your own agent as for ours.

    with FaultServer() as server:
        server.script("/orders", Fault.status(503), times=2, then=Fault.ok())
        run_my_agent(server.url)
        assert len(server.requests) == 3

`python -m standpipe.testing.faults` is the same as a command, for any language; `GET /` lists what it does.
"""

from collections.abc import Generator
from typing import TYPE_CHECKING

from standpipe.testing.faults.dialects import (
    Answer as Answer,
    ToolCall as ToolCall,
    Trouble as Trouble,
)
from standpipe.testing.faults.fault import End as End, Fault as Fault, Reply as Reply
from standpipe.testing.faults.record import Landed as Landed, Seen as Seen
from standpipe.testing.faults.server import FaultServer as FaultServer

if TYPE_CHECKING:
    import pytest

    @pytest.fixture
    def fault_server() -> Generator[FaultServer]:
        """A server for one test."""
        ...


def __getattr__(name: str) -> object:
    """Make the fixture `fault_server` when it is asked for: only then pytest is needed."""
    if name == "fault_server":
        return _fixture()
    raise AttributeError(f"module `standpipe.testing.faults` has no attribute `{name}`")


def _fixture() -> object:
    import pytest  # noqa: PLC0415 -- the command runs without it

    @pytest.fixture
    def fault_server() -> Generator[FaultServer]:
        with FaultServer() as server:
            yield server

    return fault_server

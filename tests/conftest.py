"""What all tests share: the same examples, and the same signals, whoever starts them."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from standpipe.testing.postgres import Server, server

# A slow machine is not a failure, and what decides whether a change lands must not be a matter of luck.
settings.register_profile("house", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "house")

# A shell starts its background jobs with Ctrl-C ignored, and every process below inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """Run one PostgreSQL for all tests of this process; each takes a database or a home of its own."""
    with server() as running:
        yield running

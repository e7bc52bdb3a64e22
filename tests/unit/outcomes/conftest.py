"""Exceptions as data, the way a worker sends them; small, because the worker has its own tests."""

from collections.abc import Callable
from typing import Any

import pytest

from standpipe.actions import Effect, Fault, Tool
from standpipe.execution.faults import fault_of


@pytest.fixture
def as_fault() -> Callable[[BaseException], Fault]:
    return fault_of


@pytest.fixture
def tool() -> Callable[..., Tool]:
    def make(effect: str = "read", **options: Any) -> Tool:
        return Tool(name="look", effect=Effect(effect), **options)

    return make

"""Exceptions as data, the way a worker sends them; small, because the worker has its own tests."""

from collections.abc import Callable
from typing import Any

import pytest

from standpipe.actions import Effect, Fault, Tool

SCALARS = (
    "status_code", "status", "code", "errno", "sqlstate", "smtp_code", "returncode", "stderr",
    "sqlite_errorname", "type", "body",
)  # fmt: skip


@pytest.fixture
def as_fault() -> Callable[[BaseException], Fault]:
    return convert


@pytest.fixture
def tool() -> Callable[..., Tool]:
    def make(effect: str = "read", **options: Any) -> Tool:
        return Tool(name="look", effect=Effect(effect), **options)

    return make


def convert(error: Any) -> Fault:
    response = getattr(error, "response", None)
    request = getattr(response, "request", None)
    attributes: dict[str, Any] = {name: getattr(error, name, None) for name in SCALARS}
    attributes["status_code"] = attributes["status_code"] or getattr(response, "status_code", None)
    cause = error.__cause__ or error.__context__
    inner: tuple[Any, ...] = getattr(error, "exceptions", ())
    return Fault(
        type=type(error).__name__,
        module=type(error).__module__,
        message=str(error),
        attributes={k: v for k, v in attributes.items() if v is not None},
        headers={k.lower(): v for k, v in getattr(response, "headers", {}).items()},
        body=getattr(response, "text", ""),
        url=str(getattr(request, "url", "")),
        bases=tuple(f"{b.__module__}.{b.__qualname__}" for b in type(error).__mro__[1:-1]),
        cause=convert(cause) if cause else None,
        group=tuple(map(convert, inner)),
    )

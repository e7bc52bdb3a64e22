"""Renew a rejected credential once, however many calls were rejected with it.

Rule 1: whoever comes second waits for the first, and finds it done.
"""

from collections.abc import Mapping
from typing import Protocol

from standpipe.actions import Action, Result, Returned, Tool
from standpipe.journal.entries import CredentialRefreshed, Draft
from standpipe.journal.journal import Journal
from standpipe.journal.recoveries import Recoveries
from standpipe.outcomes.classify import judge
from standpipe.outcomes.outcome import Failed, Unknown
from standpipe.outcomes.reading import fields, items


class Renew(Protocol):
    """Renew the credential of a tool; ask none of the hosts that are `paused`."""

    async def __call__(self, tool: Tool, /, *, paused: Mapping[str, float]) -> Result: ...


async def renewed(
    journal: Journal,
    recoveries: Recoveries,
    action: Action,
    renew: Renew,
    paused: Mapping[str, float],
) -> None:
    """Renew the credential of a tool and write down what came of it; call it one at a time."""
    if recoveries.renewed_since(action):
        return  # by another call that was rejected together with this one
    came = await renew(action.tool, paused=paused)
    failed = "" if isinstance(came, Returned) else judge(action.tool, came)
    why = failed.message if isinstance(failed, Failed | Unknown) else ""
    body = CredentialRefreshed(action.tool.refresh, action.tool.name, _names_of(came), why)
    await journal.append(Draft(action.id, body))


def _names_of(came: Result) -> tuple[str, ...]:
    value = came.value if isinstance(came, Returned) else None
    return tuple(map(str, items(fields(value).get("refreshed"))))

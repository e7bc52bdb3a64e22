"""Raise a question to people: every one has an id of its own."""

from collections.abc import Sequence

from standpipe.actions import Action
from standpipe.clock import Clock
from standpipe.governor.recovery import Recovery
from standpipe.ids import blocker_id
from standpipe.journal import drafts
from standpipe.journal.entries import Draft
from standpipe.journal.journal import Journal
from standpipe.journal.store import Store
from standpipe.outcomes.outcome import Failed


async def new_blocker(store: Store) -> str:
    """Return the id of the next question."""
    return blocker_id(await store.number("blocker"))


async def raised(
    journal: Journal, clock: Clock, action: Action, failed: Failed, recovery: Recovery, *,
    site: str = "", secrets: Sequence[str] = (),
) -> Draft:  # fmt: skip
    """Put the failure of a call to people; `secrets` are the names of what it was given."""
    return drafts.escalated(
        action.tool.name, failed, recovery, action=action.id, blocker=await new_blocker(journal.store),
        site=site, now=clock.now(), secrets=secrets,
    )  # fmt: skip

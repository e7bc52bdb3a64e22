"""How the next request to a model is made, as a fold over the journal: by whom, how short, asking what.

Rule 1: nothing of it lives in this process only, so a killed run makes the same request.
Rule 2: a model that stood in stays for the segment. Asking the first one again would spend its waits
    and its silence on every request of an outage; the next segment begins with it again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart

from standpipe.adapters.compaction import Compaction, compacted, compactions
from standpipe.governor.recovery import Alternate, Retry
from standpipe.journal.entries import Entry, ModelFailed, ModelRefused
from standpipe.outcomes.outcome import Kind

IN_PARTS = (
    "Your last answer was longer than one answer may be and was cut off; nothing of it was done. "
    "Answer again in smaller parts: one call, and of a long text only its beginning. The rest can "
    "follow in later calls."
)
_ABOUT_THE_REQUEST = (Kind.CONTEXT_OVERFLOW, Kind.CUT)


class TooLongError(Exception):
    """The model has called exactly this request too long, so it is not sent again."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The next request. `repeats` says that it is one the model has called too long already."""

    model: str
    compactions: tuple[Compaction, ...] = ()
    in_parts: bool = False
    repeats: bool = False

    def applied(self, messages: Sequence[ModelMessage], *, run: str) -> list[ModelMessage]:
        """Return the messages as they are sent."""
        sent = compacted(messages, self.compactions, run=run)
        if self.in_parts and isinstance(sent[-1], ModelRequest):
            sent[-1] = replace(sent[-1], parts=[*sent[-1].parts, UserPromptPart(IN_PARTS)])
        return sent


def plan(
    entries: Sequence[Entry], messages: Sequence[ModelMessage], *, main: str, number: int, epoch: int,
    run: str,
) -> Plan:  # fmt: skip
    """Return how request `number` is made in the segment `epoch`."""
    model = serving(entries, main=main, epoch=epoch)
    mine = failures(entries, number=number)
    return Plan(
        model=model,
        compactions=tuple(compactions(messages, too_longs(entries), run=run)),
        in_parts=any(_asks_again(body, Kind.CUT) for body in mine),
        repeats=bool(mine) and _was_too_long_for(model, mine[-1]),
    )


def serving(entries: Sequence[Entry], *, main: str, epoch: int) -> str:
    """Return the model that is asked in this segment: the last one that stood in, or the first."""
    for entry in reversed(entries):
        match entry.body:
            case ModelFailed(recovery=Alternate(tool=model)) if entry.epoch == epoch:
                return model
            case ModelRefused(instead=model) if model and entry.epoch == epoch:
                return model
            case _:
                pass
    return main


def too_longs(entries: Sequence[Entry]) -> list[int]:
    """Return the numbers of the requests that were made shorter, each as often as it was."""
    bodies = (entry.body for entry in entries)
    return [
        body.number
        for body in bodies
        if isinstance(body, ModelFailed) and _asks_again(body, Kind.CONTEXT_OVERFLOW)
    ]


def failures(
    entries: Sequence[Entry], *, number: int, epoch: int | None = None
) -> list[ModelFailed]:
    """Return the failures of request `number`; with `epoch` those of that segment only."""
    return [
        entry.body
        for entry in entries
        if isinstance(entry.body, ModelFailed)
        and entry.body.number == number
        and epoch in (None, entry.epoch)
    ]


def attempts(failed: Sequence[ModelFailed], *, model: str) -> int:
    """Return how often `model` was asked in vain; a request that was changed is asked anew."""
    return sum(
        body.model == model and body.failed.kind not in _ABOUT_THE_REQUEST for body in failed
    )


def _asks_again(body: ModelFailed, kind: Kind) -> bool:
    return body.failed.kind is kind and isinstance(body.recovery, Retry)


def _was_too_long_for(model: str, last: ModelFailed) -> bool:
    too_long = last.failed.kind is Kind.CONTEXT_OVERFLOW
    return too_long and last.model == model and not isinstance(last.recovery, Retry)

"""What a run has read, for whoever asks where a value came from."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

from msgspec import Struct

from standpipe.actions import Label
from standpipe.journal.entries import Entry, Proposed, Reconciled, Settled
from standpipe.outcomes.outcome import Failed, Succeeded, Unknown


class Reading(Struct, frozen=True):
    """What a run has seen: one result, and how it is called in a sentence."""

    seq: int
    action: str
    tool: str
    arguments: Mapping[str, object]
    value: object
    label: Label


def readings(entries: Iterable[Entry]) -> list[Reading]:
    """Return what a run has read, oldest first: results, the words of failures, receipts."""
    proposed: dict[str, Proposed] = {}
    seen: list[Reading] = []
    for entry in entries:
        match entry.body:
            case Proposed() as body:
                proposed[entry.action] = body
            case (
                Settled(outcome=Succeeded(value=value), tool=tool, label=label)
                | Settled(outcome=Failed(message=value), tool=tool, label=label)
                | Settled(outcome=Unknown(message=value), tool=tool, label=label)
            ):
                arguments = proposed[entry.action].arguments
                seen.append(Reading(entry.seq, entry.action, tool, arguments, value, label))
            case Reconciled(tool=tool, value=value) if value is not None:
                arguments = proposed[entry.action].arguments
                seen.append(Reading(entry.seq, entry.action, tool, arguments, value, Label()))
            case _:
                pass
    return seen


def texts(value: object) -> Iterator[str]:
    """Yield every word of a result: its texts, the names of its fields, its numbers."""
    match value:
        case str():
            yield value
        case dict():
            for name, item in cast("Mapping[str, object]", value).items():
                yield name
                yield from texts(item)
        case list() | tuple():
            for item in cast("Sequence[object]", value):
                yield from texts(item)
        case None:
            return
        case _:
            yield str(value)

"""Compare what the journal says was sent with what the mail server has.

Rule 1: the two sides never met: the receipts are the journal's, the ledger is the server's.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from standpipe.journal.entries import Entry, Proposed
from standpipe.journal.verify import Verdict
from standpipe.journal.views import outcome_of
from standpipe.outcomes.outcome import Succeeded


class Proof(Struct, frozen=True):
    """Whether every mail went out exactly once, and the line that says so."""

    holds: bool
    line: str


def prove(receipts: Sequence[str], ledger: Sequence[str], journal: Verdict) -> Proof:
    """Compare Message-IDs; `receipts` are the journal's, `ledger` the server's."""
    missing = sorted(set(receipts) - set(ledger))
    strange = sorted(set(ledger) - set(receipts))
    twice = sorted({name for name in ledger if ledger.count(name) > 1})
    wrong = [
        *(f"not in the ledger: {name}" for name in missing),
        *(f"not in the journal: {name}" for name in strange),
        *(f"sent twice: {name}" for name in twice),
        *journal.broken,
    ]
    same = not missing and not strange and len(receipts) == len(ledger)
    sign = "=" if same else "is not"
    whole = "journal whole" if journal.whole else "journal BROKEN"
    counted = f"{len(receipts)} sent {sign} {len(ledger)} in the SMTP ledger; {whole}"
    return Proof(same and journal.whole and bool(ledger), "; ".join([counted, *wrong]))


def receipts(entries: Iterable[Entry]) -> list[str]:
    """Return the Message-ID of every mail that the journal says was sent."""
    stories: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.action:
            stories.setdefault(entry.action, []).append(entry)
    return [name for story in stories.values() if (name := _receipt(story))]


def _receipt(story: Sequence[Entry]) -> str:
    match story[0].body, outcome_of(story):
        case Proposed(tool="send_email"), Succeeded(value={"message_id": str(name)}):
            return name
        case Proposed(tool="send_email"), Succeeded():  # `verify` found it: the key is the name
            return _named_by_key(story)
        case _:
            return ""


def _named_by_key(story: Sequence[Entry]) -> str:
    keys = [getattr(entry.body, "idempotency_key", "") for entry in story]
    return next((f"<{key}@standpipe>" for key in keys if key), "")

"""Give an answer. The first one wins; the same again changes nothing; another one is refused by name.

Rule 1: once `give` returns, the answer is on disk, and with it the end of the failure it resolves.
Rule 2: what cannot be an answer to this kind of question is refused before it is written.
"""

from msgspec import Struct

from standpipe.desk.blockers import blocker_rows, is_open, run_rows
from standpipe.errors import UsageError
from standpipe.ids import HOME, match
from standpipe.journal.entries import AnswerGiven, Draft, SiteClosed
from standpipe.journal.failures import SKIP, skips
from standpipe.journal.projections import BlockerRow
from standpipe.journal.store import Store

ANSWER_CHARACTERS_MAX = 20_000
_SHOWN = 80
_WITHOUT_IT = "go on without it"  # the agent reads it
_YES = frozenset({"yes", "y", "approve", "approved", "allow", "ok"})
_NO = frozenset({"no", "n", "deny", "denied"})
_GIVE_UP = frozenset({"give-up", "give up", "giveup"})


class Given(Struct, frozen=True):
    """The question as it stands now; `fresh` is False where the same answer was there before."""

    row: BlockerRow
    fresh: bool


async def give(store: Store, typed: str, answer: str, by: str) -> Given:
    """Answer the question a person meant.

    Raises:
        NotFoundError: no question, or more than one, has this id.
        UsageError: it is no answer to this question, or somebody answered otherwise before.
    """
    rows = await blocker_rows(store)
    row = rows[match(typed, rows, what="question")]
    said = read_answer(row.kind, row.id, answer)
    if row.answer is not None:
        return _again(row, said)
    run = (await run_rows(store)).get(row.run)
    if not is_open(row, run):
        raise UsageError(
            f"{row.id} is withdrawn: {row.run} is {run.status if run else 'over'}",
            hint=f"`standpipe report {row.run}` tells how it ended",
        )
    await store.post(row.run, _drafts(row, said, by))
    now = (await blocker_rows(store))[row.id]
    if (now.answer, now.by) != (said, by):  # somebody was faster
        return _again(now, said)
    return Given(now, fresh=True)


def read_answer(kind: str, name: str, answer: str) -> str:
    """Return an answer in the words the runtime understands.

    Raises:
        UsageError: this kind of question has no such answer.
    """
    text = answer.strip()
    if not text or len(text) > ANSWER_CHARACTERS_MAX:
        size = "is empty" if not text else f"has more than {ANSWER_CHARACTERS_MAX} characters"
        raise UsageError(f"the answer to {name} {size}", hint=f"standpipe answer {name} TEXT")
    if kind == "failure":
        return _skipping(text)
    if kind not in {"approval", "in_doubt"}:
        return text
    word = text.casefold()
    if word in _YES:
        return "yes"
    if word in _NO:
        return "no"
    if kind == "approval" and word.startswith(("no:", "no,")):
        return f"no: {text[3:].strip()}"
    if kind == "in_doubt" and word in _GIVE_UP:
        return "give-up"
    raise UsageError(f"`{_cut(text)}` is no answer to {name} ({kind})", hint=_choices(kind, name))


def _skipping(text: str) -> str:
    """Read what a person says about a failure: `skip`, perhaps with a reason, or what has changed."""
    if not skips(text):
        return text
    reason = text.partition(":")[2].strip()
    return f"{SKIP}: {reason or _WITHOUT_IT}"


def _choices(kind: str, name: str) -> str:
    if kind == "approval":
        return f"standpipe answer {name} yes | no | 'no: REASON'; it holds for exactly this call"
    return (
        f"standpipe answer {name} yes (it happened) | no (it did not) | give-up (nobody can tell)"
    )


def _again(row: BlockerRow, said: str) -> Given:
    if row.answer == said:
        return Given(row, fresh=False)
    raise UsageError(
        f"{row.id} was answered before: `{_cut(row.answer or '')}`, by {row.by} at {row.answered_at}",
        hint="the first answer holds; `standpipe cancel " + row.run + "` if it was wrong",
    )


def _drafts(row: BlockerRow, said: str, by: str) -> list[Draft]:
    drafts = [Draft(row.id, AnswerGiven(said, by))]
    if row.site:
        closed = SiteClosed(row.site, by, said)
        drafts.append(Draft(f"{row.site}#{row.id}", closed, run=HOME))
    return drafts


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"

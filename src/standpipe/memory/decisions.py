"""Decisions: one file each, written once, never without a why."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from standpipe.clock import stamp
from standpipe.errors import UsageError
from standpipe.files import convert, dump_front_matter, load_front_matter, read_text
from standpipe.ids import natural
from standpipe.memory.tasks import Broken
from standpipe.memory.writes import FILE_BYTES, locked, put, vouched

By = Literal["agent", "runtime", "human"]


class Decision(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The front matter of a decision."""

    id: str
    run: str = ""
    by: By
    what: str
    why: str
    alternatives: tuple[str, ...] = ()
    at: str = ""
    origin: str = ""  # the action that recorded it


class DecisionList(Struct, frozen=True):
    """The newest decisions, newest first."""

    decisions: tuple[Decision, ...]
    broken: tuple[Broken, ...]


class Decisions:
    """The folder `brain/decisions` of one home."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._brain = home / "brain"

    def record(self, decision: Decision, *, now: datetime, trusted: bool = True) -> Decision:
        """Write a decision down, for good.

        Raises:
            UsageError: it has no why, or there is one of this id.
        """
        if not decision.why.strip() or not decision.what.strip():
            raise UsageError(f"decision `{decision.id}` has no what or no why", hint="say both")
        path = self._brain / "decisions" / f"{now:%Y-%m}" / f"{decision.id}.md"
        kept = self._vouched(msgspec.structs.replace(decision, at=stamp(now)), trusted=trusted)
        with locked(self._home, f"decisions/{decision.id}"):
            if any(self._brain.glob(f"decisions/*/{path.name}")):
                hint = "decisions are never changed: record a new one"
                raise UsageError(f"decision `{decision.id}` exists", hint=hint)
            put(path, dump_front_matter(msgspec.to_builtins(kept), ""))
        return kept

    def add(
        self, decision: Decision, *, number: int, now: datetime, trusted: bool = True
    ) -> Decision:
        """Record under `number`, or under the next one that a copied brain leaves free."""
        with locked(self._home, "decisions"):
            free = max(number, self.highest_number() + 1)
            named = msgspec.structs.replace(decision, id=f"D-{free}")
            return self.record(named, now=now, trusted=trusted)

    def from_action(self, origin: str) -> Decision | None:
        """Return the decision that an action has recorded already."""
        for path in self._newest_first():
            with suppress(UsageError):
                text = read_text(path, limit_bytes=FILE_BYTES)
                if origin in text and (found := self._load(path)).origin == origin:
                    return found
        return None

    def latest(self, count: int) -> DecisionList:
        """Return the newest decisions; only the newest months are read."""
        decisions: list[Decision] = []
        broken: list[Broken] = []
        for path in self._newest_first():
            if len(decisions) >= count:
                break
            try:
                decisions.append(self._load(path))
            except UsageError as error:
                place = path.relative_to(self._brain).as_posix()
                broken.append(Broken(place, error.message, error.hint))
        return DecisionList(tuple(decisions), tuple(broken))

    def highest_number(self) -> int:
        """Return the highest number in use, so that a copied brain never gives one out twice."""
        stems = [path.stem for path in self._brain.glob("decisions/*/D-*.md")]
        return max((int(stem[2:]) for stem in stems if stem[2:].isdecimal()), default=0)

    def _vouched(self, decision: Decision, *, trusted: bool) -> Decision:
        def kept(text: str) -> str:
            return vouched(self._brain, text, trusted=trusted)

        return msgspec.structs.replace(
            decision,
            what=kept(decision.what),
            why=kept(decision.why),
            alternatives=tuple(kept(text) for text in decision.alternatives),
        )

    def _newest_first(self) -> Iterator[Path]:
        months = sorted(
            (one for one in self._brain.glob("decisions/*") if one.is_dir()), reverse=True
        )
        for month in months:
            yield from sorted(
                month.glob("D-*.md"), key=lambda path: natural(path.stem), reverse=True
            )

    def _load(self, path: Path) -> Decision:
        name = f"brain/{path.relative_to(self._brain).as_posix()}"
        head = load_front_matter(read_text(path, limit_bytes=FILE_BYTES), name=name)
        return convert(head.located, Decision, name=name, scalars_as_text=True)

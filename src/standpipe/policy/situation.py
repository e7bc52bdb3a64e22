"""What the rules may know besides the call: all of it data, none of it looked up."""

from collections.abc import Callable, Mapping

from msgspec import Struct, field

from standpipe.actions import Label


def normal(text: str) -> str:
    """Write a text as it is compared: case folded, white space in one piece.

    Never NFKC or confusables: that would make a look-alike equal (`security.md` section 3).
    """
    return " ".join(text.casefold().split())


class Reading(Struct, frozen=True):
    """One result the agent has read in this run, as `normal` text; `called` names it: "mail 4"."""

    action: str
    called: str
    text: str
    label: Label


class Refusal(Struct, frozen=True):
    """Something known to be in the way of a call. `rule` says which sort, `blocker` what would clear it.

    seconds: for how long, where time clears it.
    """

    rule: str  # cancelled | open_site | in_doubt | same_call | wait | loop | no_progress
    reason: str
    blocker: str = ""
    seconds: float = 0.0
    site: str = ""  # and the kind of failure there, where a site refuses it
    kind: str = ""
    asks: bool = False  # nothing else will clear it: a person may


def nothing_found(_: object) -> tuple[str, ...]:
    return ()


class Situation(Struct, frozen=True, kw_only=True):
    """The surroundings of a proposed call."""

    tools: tuple[str, ...] = ()  # every name there is
    scope: tuple[str, ...] | None = None  # the names this run may use
    egress: tuple[str, ...] = ()  # host or host:port
    trusted: tuple[str, ...] = ()  # the operator's own words, as `normal` text: task, answers
    readings: tuple[Reading, ...] = ()
    over_budget: str | None = None
    refusal: Refusal | None = None  # what failed before, or may still be happening
    own: Mapping[str, str] = field(default_factory=dict[str, str])  # nearest names and the like
    secrets_in: Callable[[object], tuple[str, ...]] = nothing_found

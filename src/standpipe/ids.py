"""Ids that a person can type: `r12` a run, `r12.3.1` an action, `b3` a question, `T-7` a task.

Rule 1: numbers come from the journal, so ids are short and never used twice in a home.
Rule 2: they are typed in any case and complete by prefix; `match` says which one was meant.
"""

import hashlib
import re
from collections.abc import Iterable

from standpipe.errors import NotFoundError, UsageError

CALLER_ID_MAX = 200
HOME = "home"  # the stream of the home, beside the streams of the runs


def run_id(number: int) -> str:
    return f"r{number}"


def blocker_id(number: int) -> str:
    return f"b{number}"


def task_id(number: int) -> str:
    return f"T-{number}"


def alternate_id(action: str) -> str:
    """Name the call that is tried instead: `r12.3.1` -> `r12.3.1a` -> `r12.3.1b`."""
    last = action[-1]
    return f"{action[:-1]}{chr(ord(last) + 1)}" if last.isalpha() else f"{action}a"


def proposed_id(action: str) -> str:
    """Return the call the agent made, of which this may be an alternate."""
    return action.rstrip("abcdefghijklmnopqrstuvwxyz")


def response_of(action: str) -> str:
    """Return the response of the model an action stands in.

    Example:
        >>> response_of("r12.3.1a")
        'r12.3'
    """
    return action.rpartition(".")[0]


def run_of(action: str) -> str:
    """Return the run an action id belongs to.

    Example:
        >>> run_of("r12.3.1")
        'r12'
    """
    return action.partition(".")[0]


def caller_id(text: str) -> str:
    """Return the caller's own name for a run; one that could be mistaken for a run is refused."""
    if re.fullmatch(r"[rb]\d+(\..*)?|t-\d+", text, re.IGNORECASE):
        hint = "ids like `r12`, `b3` and `T-7` are given by the journal; choose another word"
        raise UsageError(f"`{text}` cannot be the caller's id of a run", hint=hint)
    if not text.strip():
        hint = "leave it out, or see whether the variable that should name it is set"
        raise UsageError("the caller's id of a run is empty", hint=hint)
    if not text.isprintable() or len(text) > CALLER_ID_MAX:
        hint = f"1 to {CALLER_ID_MAX} visible characters, for example `mail-2026-11-22`"
        raise UsageError(f"`{text}` cannot be the caller's id of a run", hint=hint)
    return text


def natural(text: str) -> tuple[tuple[int, str], ...]:
    """Sort key under which `r2` stands before `r10`."""
    parts = re.findall(r"\d+|\D+", text)
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in parts)


def match(typed: str, known: Iterable[str], *, what: str) -> str:
    """Return the one id a person meant.

    Raises:
        NotFoundError: nothing, or more than one, fits.

    Example:
        >>> match("R1", ["r1", "r12"], what="run")
        'r1'
    """
    names = sorted(set(known), key=natural)
    wanted = typed.strip().casefold()
    exact = [name for name in names if name.casefold() == wanted]
    fits = exact or [name for name in names if name.casefold().startswith(wanted)]
    if wanted and len(fits) == 1:
        return fits[0]
    shown = ", ".join((fits or names)[-8:])
    if fits and wanted:
        raise NotFoundError(
            f"{what} `{typed}` could be any of {shown}", hint="type one more character"
        )
    hint = f"known: {shown}" if names else f"there is no {what} in this home yet"
    raise NotFoundError(f"no {what} `{typed}`", hint=hint)


def digest(content: bytes) -> str:
    """Name content by its SHA-256, as hex."""
    return hashlib.sha256(content).hexdigest()

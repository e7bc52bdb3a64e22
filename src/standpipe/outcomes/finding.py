"""What a family makes of a failure, before it is known whether a second call would be safe."""

import re

from msgspec import Struct

from standpipe.outcomes.outcome import Kind, Phase

MESSAGE_CHARACTERS_MAX = 2_000
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ud800-\udfff]")


class Finding(Struct, frozen=True, kw_only=True):
    """One reading of a failure.

    `answered` is the proof that the effect did not happen although something was sent: the other
    side said no. `local` says that this machine said no, which proves it for tools that never leave it.
    """

    kind: Kind
    message: str = ""
    code: str = ""
    phase: Phase = Phase.UNKNOWN
    host: str = ""
    retry_after_seconds: float | None = None
    answered: bool = False
    local: bool = False


def visible(text: str, *, limit: int = MESSAGE_CHARACTERS_MAX) -> str:
    r"""Return `text` with everything a terminal would act on spelled out, and an end.

    Example:
        >>> visible("red \x1b[31m")
        'red \\x1b[31m'
    """
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text.strip()  # what it mostly is
    # Longer than the limit may be after spelling out, so the cut comes last; the first cut bounds the work.
    shown = _UNPRINTABLE.sub(_spelled, text[: 2 * limit]).strip()
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def _spelled(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"  # noqa: PLR2004 -- one byte

"""Where the words go: colour on a terminal that wants it, plain text everywhere else.

Rule 1: data on stdout, everything else on stderr.
Rule 2: foreign text is made inert before it gets here, and never read as markup.
"""

import re
import sys
from collections.abc import Iterable
from typing import TextIO

import msgspec

from standpipe.config import environment
from standpipe.desk.inert import inert
from standpipe.desk.sentences import Tone

STYLES = {
    Tone.PLAIN: "",
    Tone.QUIET: "dim",
    Tone.GOOD: "green",
    Tone.CARE: "yellow",
    Tone.BAD: "bold red",
    Tone.PERSON: "bold cyan",
}
_UNSEEN = re.compile("[\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def interactive() -> bool:
    """Whether a person can be asked right here."""
    return all(is_terminal(stream) for stream in (sys.stdin, sys.stderr))


def coloured(stream: TextIO | None) -> bool:
    """Whether `stream` is a terminal that wants colour."""
    return is_terminal(stream) and environment.colour_wanted()


def show(lines: Iterable[tuple[str, Tone]], *, stream: TextIO | None = None) -> None:
    """Write lines that are inert already; their indentation stays."""
    out = stream or sys.stdout
    if not coloured(out):
        for text, _ in lines:
            print(text, file=out)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=out, markup=False, highlight=False, emoji=False)
    for text, tone in lines:
        console.print(Text(text, style=STYLES[tone]), soft_wrap=True)


def say(text: str, tone: Tone = Tone.PLAIN) -> None:
    """Write one line about what is going on, to stderr."""
    show([(inert(text), tone)], stream=sys.stderr)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person sits at a stream; Python has None for one that was closed (`run ... >&-`)."""
    return stream is not None and not stream.closed and stream.isatty()


def as_json(value: object, *, on_one_line: bool = False) -> str:
    """Write a value as JSON in which nothing invisible stands as itself."""
    text = msgspec.json.encode(value)
    text = (text if on_one_line else msgspec.json.format(text, indent=2)).decode()
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)

"""Foreign text, made harmless before anybody sees it.

Rule 1: nothing is dropped: what could act is shown as its code point.
Rule 2: a text stays on one line, so that it cannot imitate a line of ours.
Rule 3: a long text is cut and says so.
"""

import re
import unicodedata

CHARACTERS_MAX = 2000
_ACTS = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_MARKS = re.compile(r"([\\`*_\[\]{}|~!#$])")
_LEADS = re.compile(r"^(\s*)(?:([-+=])|(\d{1,9})([.)])(?=\s|$))")
_LINKS = re.compile(r":(?=//)|(?<=\bwww)\.", re.IGNORECASE)


def inert(text: str, *, limit: int = CHARACTERS_MAX) -> str:
    """Return `text` as one visible line without anything a terminal would obey.

    Example:
        >>> inert("DONE" + chr(27) + "[2J")
        'DONE⟨U+001B⟩[2J'
    """
    head = text[:limit]  # what is cut off is not worth escaping
    shown = "".join(map(_visible, head))
    if len(shown) <= limit and len(text) <= limit:
        return shown
    tail = f"… ({len(text):,} characters; `--json` has them all)"
    return shown[: max(limit - len(tail), 0)] + tail


def markdown(text: str, *, limit: int = CHARACTERS_MAX) -> str:
    r"""Return `text` as Markdown that means exactly these characters: no link, image, HTML or heading.

    Example:
        >>> markdown("[x](http://h) <b>")
        '\\[x\\](http\\://h) &lt;b&gt;'
    """
    marked = _MARKS.sub(r"\\\1", inert(text, limit=limit))
    marked = marked.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _LEADS.sub(_escaped_lead, _LINKS.sub(lambda found: f"\\{found[0]}", marked))


def _visible(character: str) -> str:
    if character == "\n":
        return "⏎"
    if character == "\t":
        return " "
    if unicodedata.category(character) in _ACTS:
        return f"⟨U+{ord(character):04X}⟩"
    return character


def _escaped_lead(found: re.Match[str]) -> str:
    space, mark, number, point = found.groups()
    return f"{space}\\{mark}" if mark else f"{space}{number}\\{point}"

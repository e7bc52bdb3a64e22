"""Estimate tokens without a vocabulary: by classes of characters, erring high.

Rule 1: more than the largest of the common vocabularies would count, on every kind of text; a
    budget that is kept by this estimate is kept by every model. Figures: docs, `memory.md`.
"""

import re
from functools import lru_cache
from math import ceil

_PIECES = re.compile(
    r"(?P<hump>(?<=[A-Za-z0-9])[A-Z][a-z]{1,2}(?![a-z]))"
    r"|(?P<lower>[A-Z]?[a-z]++(?![\u00c0-\u024f]))"
    r"|(?P<accented>[A-Za-z]*[\u00c0-\u024f][A-Za-z\u00c0-\u024f]*)"
    r"|(?P<upper>[A-Z]+)"
    r"|(?P<digits>[0-9]{1,2})"
    r"|(?P<blank> )"
    r"|(?P<space>[ \t\r\n]+)"
    r"|(?P<rule>(?P<sign>[-=_*#.~\u2500\u2550])(?P=sign){3,})"
    r"|(?P<mark>[!-~])"
    r"|(?P<latin>[\u00a0-\u00bf])"
    r"|(?P<greek>[\u0370-\u03ff])"
    r"|(?P<cyrillic>[\u0400-\u052f]+)"
    r"|(?P<semitic>[\u0590-\u06ff])"
    r"|(?P<east>[\u3000-\u9fff\uac00-\ud7af\uff00-\uffef])"
    r"|(?P<indic>[\u0900-\u0dff])"
    r"|(?P<other>[^\x00-\x7f])"
    r"|(?P<control>.)",
    re.DOTALL,
)
# What a piece costs, and what each of its characters costs on top.
_COSTS = {
    "lower": (0.78, 0.115),
    "hump": (1.4, 0.0),
    "upper": (0.8, 0.44),
    "digits": (1.08, 0.0),
    "blank": (0.02, 0.0),
    "space": (1.0, 0.0),
    "rule": (1.0, 0.05),
    "mark": (0.95, 0.0),
    "accented": (1.0, 0.62),
    "latin": (1.7, 0.0),
    "greek": (1.35, 0.0),
    "cyrillic": (0.3, 0.62),
    "semitic": (1.15, 0.0),
    "east": (1.5, 0.0),
    "indic": (2.1, 0.0),
    "other": (2.9, 0.0),
    "control": (1.5, 0.0),
}


@lru_cache(maxsize=4_096)  # the same lines stand in one boot after the other
def estimate_tokens(text: str) -> int:
    """Return about how many tokens a model will count, and rarely fewer.

    Example:
        >>> estimate_tokens("Answer the mail.")
        5
    """
    total = 0.0
    for piece in _PIECES.finditer(text):
        whole, each = _COSTS[piece.lastgroup or "control"]
        total += whole + each * (piece.end() - piece.start())
    return ceil(total)

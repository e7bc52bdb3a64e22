"""Which number in a sentence is an HTTP status: asked for the kind and for the fingerprint.

Rule 1: a number counts only beside what says so: `took 500 ms`, `411 rows` and `size (512)` are none.
Rule 2: what stands after a number can prove it (`404 not found`), or prove that it counts something.
"""

import re

_LEAD_CHARACTERS, _REST_CHARACTERS = 48, 32
_PUNCTUATION = " :=!'\"([#"
_LABELS = (
    "http", "status", "status code", "response code", "error code", "http code", "http error", "client error",
    "server error", "http/1.0", "http/1.1", "http/2", "http/2.0", "http/3",
)  # fmt: skip
_COPULAS = (" was", " is", " of")
_REASON = re.compile(
    r"[ :)\]-]{1,3}(?:client error|server error|bad request|unauthori[sz]ed|payment required|forbidden|not found"
    r"|method not allowed|not acceptable|request time-?out|conflict|gone\b|precondition|payload too large|content too large"
    r"|request entity|uri too long|unsupported media|unprocessable|locked\b|too many requests|internal server|not implemented"
    r"|bad gateway|service unavailable|service temporarily|gateway time-?out|unavailable\b|proxy authentication)"
    r"|, message=| error responses?\b"
)
# `returned 404` is a status, `returned 404 rows` and `error: 500 items failed` are counts.
_VERBS = ("error", "returned", "responded", "answered", "replied", "got", "received")
_DONE_WITH = re.compile(
    r"\b(?:fail|respond|answer|repli|return|reject|end|clos|complet|exit|refus|finish)\w{0,3} with\Z"
)
_END = re.compile(
    r"\s{0,3}(?:$|[.,;:!)\n(\"']|(?:for|from|on|when|while|at|after|error|response|status|instead)\b)"
)
# Where a status opens the message, a sentence of the service may follow; a count is followed by what it counts.
_OPENED = re.compile(r"\s{0,3}(?:$|[,;:!)\]\n\"'{-]|\.(?!\d)|(?:get|post|put|patch|delete|head) )")
_OPENINGS = ("", "'", '"', "(", "[", "<")
_IN_BRACKETS = re.compile(r"\)(?:$|[\n.,;:]| (?:for|from|on|when|while|at|after|error|response)\b)")
_MEASURED = re.compile(
    r"\b(?:size|length|len|limit|max(?:imum)?|min(?:imum)?|available|count|total|number|offset|line|column|port|position|index"
    r"|dimensions?|width|height|bytes|rows|id|values?|items|process|pid|page|dim|axis|shape|capacity|memory|tensor)\b.{0,12}\Z"
)
_EXPECTED = re.compile(r"expect(?:ed|s|ing)(?! (?:http |status |code |a )*[1-5]\d\d\b(?! \w))")


def is_status(text: str, start: int, end: int) -> bool:
    """Whether the three digits at `start` of a text in lower case are the status of an HTTP answer."""
    before = text[max(0, start - _LEAD_CHARACTERS) : start]
    after = text[end : end + _REST_CHARACTERS]
    label = before.rstrip(_PUNCTUATION)
    if label.endswith(_COPULAS):
        label = label.rpartition(" ")[0]
    if label.endswith(_LABELS):
        return True
    if text[start] not in "45":
        return False
    if _REASON.match(after) or (before in _OPENINGS and _OPENED.match(after)):
        return True
    if before.endswith("(") and _IN_BRACKETS.match(after):
        return _MEASURED.search(label) is None
    said = label.endswith(_VERBS) or _DONE_WITH.search(label) is not None
    return said and _END.match(after) is not None and not _EXPECTED.search(before)

r"""The steps of a template that look at the text alone: which number is a class, what is a value.

Rule 1: until the end a hole and a kept class are one private character each, which no later step sees.
Rule 2: an expression starts with a character that is rare in prose, so that most of a text is skipped
    in C; what stands before it is looked up by hand.
Rule 3: every repetition has an end, and every step stops after so many finds.
"""

import re
import string
from itertools import islice

from standpipe.outcomes.families import statuses

HOLE = "\ue000"
# A secret of which somebody shows the ends.
STARRED = re.compile(r"(?<![\w-])[\w-]{1,60}+\*{3,40}+[\w-]{0,60}|(?<!\*)\*{3,40}+[\w-]{1,60}+")
STRAY = re.compile("[\ue000-\ue0ff]")

_KEPT_FIRST = 0xE001
_KEPT_MAX = 0xFE
_KEPT = re.compile("[\ue001-\ue0ff]")
_CLASSES_MAX = 16
_CANDIDATES_MAX = 32
_QUOTES_MAX = 32
_NAMES_MAX = 8
_HOLES_MAX = 64

# A number that may say what failed: up to six digits on their own, or a mail status.
_CANDIDATE = re.compile(
    r"[0-9](?<![\d.,/_@%+~].)[0-9]{0,5}+(?:(?<=[45]\d\d)[ -][45]\.\d{1,3}\.\d{1,3}\b|(?!\w|[.,:]\d))"
)
_LEAD_CHARACTERS = 20
_GAP = " \t:=#[('\""
_GAP_MAX = 4
_ANY_AFTER = (
    "code", "status", "errno", "winerror", "errcode", "signal", "exit", "exited with", "curl", " rc", "msg", "hresult",
)  # fmt: skip
_STATUS_DIGITS = 3
_PREFIXED_DIGITS_MIN = 3
_NO_CODE = ("decode", "encode", "unicode", "barcode", "zipcode", "zip code", "postcode", "postal code")  # fmt: skip
# A status that opens a message, alone or after the name of an exception; `411 rows` is a count.
_OPENING = re.compile(
    r"((?:[\w.]{1,80}: ?)?['\"(\[<]?)([45]\d\d)(?![\w@%~+/-]|\.\w"
    r"|\s?(?:of|ms|[kmgt]i?b|(?!(?:is|was|has|this|does)\b)[a-z]{1,20}(?<!s)s)\b)",
    re.IGNORECASE,
)
# Compilers and databases number what they say. One letter is enough only where the number ends it.
_PREFIX = re.compile(
    r"(?<!\w)(?:ora|pls|tns|dpi|dpy|aadsts|sql|ts|cs|nu|msb|lnk|pgrst)-?\Z|(?<!\w)[cefp]\Z"
)
# A compiler that points into a file says something else than one that opens none.
_POINTED = re.compile(r"(?<=[^\s:]):\d{1,7}(?::\d{1,7})?(?=: (?:fatal )?(?:error|warning)\b)")
_POINT = "at line"
_POINTS = (": error", ": fatal error", ": warning")
_CODED = re.compile(r"sqlstate\W{0,3}([0-9a-z]{5})\b|(0x8[0-9a-f]{7})\b")

_MONTHS = frozenset(("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"))  # fmt: skip
_MONTH = f"(?:{'|'.join(sorted(_MONTHS))})"
# The words of a date; its numbers go with all others.
_DATE = re.compile(
    rf"(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{{0,6}},? (?=\d|{_MONTH} )|{_MONTH}\.? (?=\d)|(?:gmt|utc)(?<=\d....)\b"
)
# Only the part that gives an address away; what is glued to it goes in the end.
_ADDRESS = re.compile(
    r"://[^\s'\"<>]+"  # url
    r"|@[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}"  # email
    r"|/(?<![\w<>/]/)[^\s'\"`:,;()<>\[\]{}|]*"  # path
    r"|:\\[^\s'\"]{1,300}"
    r"|::[0-9a-fA-F]{1,4}\b"  # IPv6
    r"|:(?<=\barn:)[^\s'\",;)]{1,300}"
    # Hosts and file names are written in lower case; `json.JSONDecodeError` is neither.
    r"|\.(?<=[\w-].)[a-z]{1,12}(?!\.?[\w-])(?::\d{1,5}\b)?"
)
_QUOTED = re.compile(
    r"b'(?<!\wb')[^'\n]{1,400}'(?!\w)|'(?<!\w')[^'\n]{1,400}'(?!\w)|\"[^\"\n]{1,400}\"|`[^`'\n]{1,400}[`']"
    r"|«[^»\n]{1,400}»|\u2018[^\u2019\n]{1,400}\u2019|“[^”\n]{1,400}”"
)
# The types of a language say what is wrong; what else is quoted says with what.
_TYPES = frozenset(
    (
        "nonetype", "str", "int", "float", "bool", "list", "dict", "tuple", "set", "bytes", "object", "function",
        "type", "string", "integer", "number", "array", "null",
    )
)  # fmt: skip
# What is quoted after these is a sentence, not a value.
_SPEAKS = (
    "(", "message=", "message: ", "msg=", "detail=", "details=", "details = ", "reason=", "reason: ", "error=", "err=",
)  # fmt: skip

_CALLED = re.compile(r"(?:error|exception)\((?:[^()'\"\n]{0,40}, )?\Z")  # as `repr` writes it

_NOUNS = frozenset(
    """
    argument arguments attribute bucket class collection column columns command constant container database
    dataset device directory domain element encoding endpoint entity entry enum exec extension field fields
    file flag folder function group header host identifier image index key keyword label lstat member method
    model module name named namespace network node object open option package parameter parameters path
    permission pod policy project property provider queue record relation repository resource role route
    schema secret sequence server service sheet stat stream subscription symbol table tag target template tool
    topic trigger type unlink user username value variable view volume workflow worksheet workspace
    """.split()  # noqa: SIM905 -- sixty quoted words are hard to read
)
# No value, even where a value is expected: words that say what failed.
ORDINARY = (
    frozenset(
        """
    a access address all already an and any are as at auth authentication bad be by call can cannot client
    code connect connection could data denied did do does dns end eof error event exceeded exist exists
    expected expired fail failed failure false fatal for forbidden found from get go got has have i id if in
    input internal invalid io is it its json limit line long many missing must nil no none not null of ok on
    operation or out port post put query rate read refused request required reset response row run set sql
    ssl status string syntax tcp that the there this time timed timeout tls to token too true undefined
    unexpected unauthorized unknown url valid was were with write wrong xml you your
    """.split()  # noqa: SIM905 -- sixty quoted words are hard to read
    )
    | _NOUNS
)

_NAME = re.compile(r"-{0,2}[\w$][\w$.:=-]{0,80}")
_NAME_ENDS = ":.=-"  # may be part of a name, but not its end
_NAMES = rf"({_NAME.pattern}(?:, ?{_NAME.pattern}){{0,20}}?)"
# Before a name stands what it is: missing, unknown, refused.
_NAMED = re.compile(
    r"(?:constraint failed: |constraint \(|uninitialized constant |(?:constructor|validation errors?|state_dict) for |protocol message |install the |"
    r"(?:symbol|location): {1,4}[a-z]{3,12} |not found: |undefined: |undeclared: |required: |requirement |refspec |found for |for tool |no such [a-z]{2,16}(?: [a-z]{2,16}){0,2}: "
    r"|(?:un(?:known|defined|declared|recognized|expected|resolved)|missing|duplicate|ambiguous|no such|invalid)"
    rf" (?:[a-z]{{2,16}} )?(?:{'|'.join(sorted(_NOUNS))})s?(?:: ?| -- ?| )){_NAMES}"
    r"(?=\W{0,3}$|[,;:)\n]|\. | \(| (?:in|for|at|on|of|near|from|while|does|has|is|module|package|plugin)\b)",
    re.MULTILINE,
)
# After a name stands what is said of it. Where a group is found it is said of names only; the rest needs a noun before.
_PREDICATE = re.compile(
    r"\(\) (?:missing|takes|got) ()"
    r"| matching query()| instance is not ()"
    r"| is not (?:defined|a function|iterable|a constructor|declared)\b()"
    r"|: (?:command not found|not found|no such file|permission denied|is a directory|not a directory|file exists)\b()"
    r"| (?:does(?: not|n't) exist|(?:was |is )?not found|(?:could not|cannot) be found|already exists|has (?:no|[0-9])|is (?:missing|ambiguous|required|not available))\b"
)
# A text without any of these words holds nothing for the expression.
_NAMED_WORDS = frozenset(
    """
    such constraint found undefined undeclared required unknown unrecognized
    unexpected unresolved missing duplicate ambiguous invalid requirement refspec tool
    uninitialized constructor state_dict validation protocol install symbol location
    """.split()  # noqa: SIM905 -- sixty quoted words are hard to read
)
_PREDICATE_WORDS = frozenset(
    """
    takes got missing matching instance available defined function iterable constructor declared found directory file denied does doesn't exist exists has
    ambiguous required
    """.split()  # noqa: SIM905 -- sixty quoted words are hard to read
)

_LOCAL = re.compile(r"localhost\b(?::\d{1,5}\b)?")
_NUMBER = re.compile(r"\d[\w.@%~+/-]*+")
_IMAGE_TAG = f"{HOLE}:latest"
_RUN = re.compile(rf"{HOLE}(?:(?:[\s,:;|/=()\[\]-]{{0,4}}| and | or ){HOLE})++")
_GLUE_MARKS = "_.@%~+/-"
_GLUE = string.ascii_lowercase + string.digits + _GLUE_MARKS


def opening_kept(text: str, kept: list[str]) -> str:
    """Put a private character where a message opens with a status."""
    match = _OPENING.match(text)
    return f"{match[1]}{keep(match[2], kept)}{text[match.end() :]}" if match else text


def classes_kept(text: str, kept: list[str]) -> str:
    """Put a private character where a number says what failed, and the number into `kept`."""
    if any(mark in text for mark in _POINTS):
        text = _POINTED.sub(lambda _: f" {keep(_POINT, kept)}", text, _NAMES_MAX)
    lower = text.lower()
    if len(lower) != len(text):  # one of the few letters whose lower case is longer
        lower = text
    spans = [
        (start, match.end())
        for match in islice(_CANDIDATE.finditer(lower), _CANDIDATES_MAX)
        if (start := _class_start(lower, match.start(), match.end())) >= 0
    ]
    if "sqlstate" in lower or "0x8" in lower:
        coded = islice(_CODED.finditer(lower), _CLASSES_MAX)
        spans = sorted({*spans, *(match.span(match.lastindex or 0) for match in coded)})
    pieces: list[str] = []
    done = 0
    for start, end in spans[:_CLASSES_MAX]:
        if start >= done:
            pieces += [text[done:start], keep(lower[start:end], kept)]
            done = end
    return "".join([*pieces, text[done:]]) if pieces else text


def keep(fragment: str, kept: list[str]) -> str:
    """Return the private character that stands for `fragment` until the end."""
    if fragment not in kept:
        if len(kept) >= _KEPT_MAX:
            return fragment
        kept.append(fragment)
    return chr(_KEPT_FIRST + kept.index(fragment))


def restored(text: str, kept: list[str], hole: str) -> str:
    """Return `text` with what the private characters stand for."""
    for number, fragment in enumerate(kept):
        text = text.replace(chr(_KEPT_FIRST + number), fragment)
    return text.replace(HOLE, hole)


def addresses_masked(text: str) -> str:
    """Mask URLs, mail addresses, paths, hosts and file names."""
    text = _ADDRESS.sub(HOLE, text)
    return _LOCAL.sub(HOLE, text) if "localhost" in text else text


def quotes_masked(text: str) -> str:
    """Mask what is quoted, unless a class, a type or a whole sentence is."""
    text, count = _QUOTED.subn(_mask_quoted, text, _QUOTES_MAX)
    return _QUOTED.sub(HOLE, text) if count == _QUOTES_MAX else text


def names_masked(text: str) -> str:
    """Mask the words of dates, and names where only names stand: `no such column: x`."""
    words = text.replace(":", " ").split()
    if not _MONTHS.isdisjoint(words):
        text = _DATE.sub(HOLE, text)
    if not _NAMED_WORDS.isdisjoint(words):
        text = _NAMED.sub(_mask_named, text, _NAMES_MAX)
    return text if _PREDICATE_WORDS.isdisjoint(words) else _subjects_masked(text)


def numbers_masked(text: str) -> str:
    """Mask every word with a digit, and the tag glued to the name of an image."""
    return _NUMBER.sub(HOLE, text).replace(_IMAGE_TAG, HOLE)


def swallowed(text: str) -> str:
    """Make one hole of those side by side, and let each take what is glued to it."""
    parts = _RUN.sub(HOLE, text).split(HOLE, _HOLES_MAX)
    last = len(parts) - 1
    for number, part in enumerate(parts):
        start = _glued_before(part) if number else 0
        end = _glued_after(part, start) if number < last else len(part)
        parts[number] = part[start:end]
    return _RUN.sub(HOLE, HOLE.join(parts))


def _class_start(text: str, start: int, end: int) -> int:
    """Return where the class starts whose digits are given, or -1 if they are none."""
    before = text[max(0, start - _LEAD_CHARACTERS) : start]
    if before[-1:] == "-" and not before[-2:-1].isalnum():
        before, start = before[:-1], start - 1
    if before[-1:].isalpha() or before[-1:] == "-":
        return _prefixed_start(text, start, end, before)
    return start if _is_class(text, start, end, before) else -1


def _prefixed_start(text: str, start: int, end: int, before: str) -> int:
    found = _PREFIX.search(before) if end - start >= _PREFIXED_DIGITS_MIN else None
    if found is None:
        return -1
    alone = len(found[0]) > 1 or before.endswith("code ", 0, found.start())
    ends = text[end : end + 1] in ("\n :])" if alone else ":])")
    return found.start() - len(before) + start if ends else -1


def _is_class(text: str, start: int, end: int, before: str) -> bool:
    lead = before.rstrip(_GAP)
    gap = before[len(lead) :]
    if len(gap) > _GAP_MAX:
        return False
    if lead.endswith(_ANY_AFTER):
        return not lead.endswith(_NO_CODE)
    digits = text[start:end]
    if digits.startswith("-32") or "." in digits:  # JSON-RPC, mail
        return True
    if gap[-1:] == "(" and text[end : end + 1] == ",":  # (1146, "Table ... doesn't exist")
        return text[end + 2 : end + 3] in ("'", '"', "b")
    if gap in (" ", "=") and lead.endswith("error"):
        return True
    if len(digits) != _STATUS_DIGITS or digits[0] not in "12345":
        return False
    return statuses.is_status(text, start, end)


def _mask_quoted(match: re.Match[str]) -> str:
    text = match[0]
    inner = text[1:-1]
    if inner in _TYPES or _KEPT.search(text):  # 'NoneType' object, '401 Unauthorized'
        return text
    if inner.count(" ") > 1 and _speaks(match.string, match.start()):
        return f" {quotes_masked(inner)} "
    return HOLE if HOLE in inner or any(map(str.isalnum, inner)) else text


def _speaks(text: str, end: int) -> bool:
    """Whether what is quoted at `end` is said, not named."""
    return text.endswith(_SPEAKS, 0, end) or bool(_CALLED.search(text, max(0, end - 60), end))


def _mask_named(match: re.Match[str]) -> str:
    name = match[1].rstrip(_NAME_ENDS)
    if name in ORDINARY:
        return match[0]
    return f"{match[0].removesuffix(match[1])}{HOLE}{match[1][len(name) :]}"


def _name_start(text: str, begin: int, end: int, *, alone: bool) -> int:
    """Return where the name starts that ends at `end`, or `end` if none does."""
    if text[end - 1 : end] == ")":  # function f(integer) does not exist
        end = max(text.rfind("(", begin, end), begin)
    start = max(text.rfind(" ", begin, end), text.rfind("\n", begin, end), begin - 1) + 1
    name = text[start:end]
    if name in ORDINARY or not _NAME.fullmatch(name):
        return len(text)
    noun = (
        text[max(begin, start - _LEAD_CHARACTERS) : start].rstrip().rpartition(" ")[2].lstrip("([")
    )
    return start if alone or noun in _NOUNS else len(text)


def _subjects_masked(text: str) -> str:
    pieces: list[str] = []
    done = 0
    for match in islice(_PREDICATE.finditer(text), _NAMES_MAX):
        start = _name_start(text, done, match.start(), alone=match.lastindex is not None)
        if start < match.start():
            pieces += [text[done:start], HOLE]
            done = match.start()
    return "".join([*pieces, text[done:]]) if pieces else text


def _glued_before(part: str) -> int:
    """Count the characters at the start of `part` that stick to a hole before it."""
    start = len(part) - len(part.lstrip(_GLUE))
    while start < len(part) and not part.isascii() and _is_glue(part[start]):
        start += 1
    return start


def _glued_after(part: str, start: int) -> int:
    """Return where the characters begin that stick to a hole after `part`."""
    end = max(len(part.rstrip(_GLUE)), start)
    while end > start and not part.isascii() and _is_glue(part[end - 1]):
        end -= 1
    return end


def _is_glue(character: str) -> bool:
    return character.isalnum() or character in _GLUE_MARKS

"""Words, the last resort: numbers in a sentence, code words in it, then phrases.

Rule 1: a number counts only beside the word that says what it is; `took 500 ms` is no status.
Rule 2: a structured code inside a sentence is read before the sentence.
"""

import errno
import re
from collections.abc import Callable
from itertools import islice

from msgspec.structs import replace

from standpipe.outcomes.families import (
    bodies,
    database,
    grpc,
    http,
    mail,
    mcp,
    names,
    phrases,
    statuses,
    transport,
)
from standpipe.outcomes.finding import Finding
from standpipe.outcomes.lexicon import folded
from standpipe.outcomes.outcome import Kind, Phase
from standpipe.outcomes.reading import Link, capped

# Exit codes of the shell itself, which say more than the words of the program.
EXITS = {
    124: Kind.TIMED_OUT,  # timeout(1)
    126: Kind.ENVIRONMENT,  # found, but may not be run
    127: Kind.ENVIRONMENT,  # command not found
    137: Kind.ENVIRONMENT,  # 128 + SIGKILL: the out-of-memory killer
}
# What this machine refuses; `process` reads the same numbers from exceptions.
ERRNOS = {
    errno.ENOENT: Kind.NOT_FOUND,
    errno.ENOTDIR: Kind.NOT_FOUND,
    errno.EEXIST: Kind.CONFLICT,
    errno.EBUSY: Kind.CONFLICT,
    errno.ENOTEMPTY: Kind.CONFLICT,
    errno.EADDRINUSE: Kind.CONFLICT,
    errno.EISDIR: Kind.BAD_INPUT,
    errno.EINVAL: Kind.BAD_INPUT,
    errno.ENAMETOOLONG: Kind.BAD_INPUT,
    errno.ELOOP: Kind.BAD_INPUT,
    errno.EXDEV: Kind.BAD_INPUT,
    errno.EFBIG: Kind.ENVIRONMENT,
    errno.ENOSPC: Kind.ENVIRONMENT,
    errno.EDQUOT: Kind.ENVIRONMENT,
    errno.EROFS: Kind.ENVIRONMENT,
    errno.EMFILE: Kind.ENVIRONMENT,
    errno.ENFILE: Kind.ENVIRONMENT,
    errno.ENOMEM: Kind.ENVIRONMENT,
    errno.EACCES: Kind.ENVIRONMENT,
    errno.EPERM: Kind.ENVIRONMENT,
    errno.EIO: Kind.ENVIRONMENT,
    errno.ENOEXEC: Kind.ENVIRONMENT,
    errno.ETXTBSY: Kind.ENVIRONMENT,
}
# Names of Python's own that stand in a text, and that are no code word of anybody else.
TYPES = {
    "FileNotFoundError": Kind.NOT_FOUND,
    "NotADirectoryError": Kind.NOT_FOUND,
    "FileExistsError": Kind.CONFLICT,
    "IsADirectoryError": Kind.BAD_INPUT,
    "PermissionError": Kind.ENVIRONMENT,
    "ModuleNotFoundError": Kind.ENVIRONMENT,
    "ImportError": Kind.ENVIRONMENT,
    "MemoryError": Kind.ENVIRONMENT,
    "JSONDecodeError": Kind.SCHEMA,
}
CURL = {
    1: (Kind.BAD_INPUT, Phase.NOT_SENT),
    3: (Kind.BAD_INPUT, Phase.NOT_SENT),
    5: (Kind.NOT_SENT, Phase.NOT_SENT),
    6: (Kind.NOT_SENT, Phase.NOT_SENT),
    7: (Kind.NOT_SENT, Phase.NOT_SENT),
    9: (Kind.FORBIDDEN, Phase.UNKNOWN),
    16: (Kind.SERVER_ERROR, Phase.SENT),
    18: (Kind.TRUNCATED, Phase.RECEIVED),
    23: (Kind.ENVIRONMENT, Phase.RECEIVED),
    28: (Kind.TIMED_OUT, Phase.UNKNOWN),
    35: (Kind.NOT_SENT, Phase.NOT_SENT),
    37: (Kind.NOT_FOUND, Phase.NOT_SENT),
    51: (Kind.NOT_SENT, Phase.NOT_SENT),
    52: (Kind.SERVER_ERROR, Phase.SENT),
    55: (Kind.SERVER_ERROR, Phase.SENT),
    56: (Kind.SERVER_ERROR, Phase.SENT),
    58: (Kind.ENVIRONMENT, Phase.NOT_SENT),
    60: (Kind.NOT_SENT, Phase.NOT_SENT),
    67: (Kind.CREDENTIAL, Phase.UNKNOWN),
    77: (Kind.ENVIRONMENT, Phase.NOT_SENT),
    78: (Kind.NOT_FOUND, Phase.UNKNOWN),
    92: (Kind.SERVER_ERROR, Phase.SENT),
    97: (Kind.NOT_SENT, Phase.NOT_SENT),
}
_NUMBER = re.compile(r"[45]\d\d(?![\d.]\d|\d)")
_NUMBERS_MAX = 20
# Above these no web server answers, but servers of mail and files do.
_REPLIES_FROM = 530
_ENHANCED = re.compile(r"[ -][45]\.\d{1,3}\.\d{1,3}\b")
_EXIT = re.compile(
    r"\(exit code (\d{1,3})\)|(?:non-zero exit (?:status|code)|exit(?:ed with)? (?:code|status)|exit status):? (-?\d{1,3})\b"
)
_CURL = re.compile(r"curl: \((\d{1,2})\)")
_ERRNO = re.compile(r"\[(?:errno|winerror) (\d{1,5})\]")
_ERRNO_NAME = re.compile(r"E(?:AI_AGAIN|[A-Z]{3,14})(?![A-Za-z_])")
_ERRNO_NAMES = {name: number for number, name in errno.errorcode.items()} | {
    "ENOTFOUND": errno.ECONNREFUSED,  # what Node calls a name that does not resolve
    "EAI_AGAIN": errno.ECONNREFUSED,
}
_STATED = ("sqlstate", "code: ", "error 1", "error 2", "error 3")
# PostgreSQL's `SQLSTATE: 23505`, asyncpg's and Node's `code: 23505`, MySQL's `ERROR 1045 (28000)`.
_SQLSTATE = re.compile(
    r"sqlstate\W{0,4}([0-9a-z]{5})\b|code: (\d[0-9a-z]{4})\b|error (\d{4}) \(([0-9a-z]{5})\)"
)
# botocore's `(AccessDenied) when calling`, Azure's `ErrorCode:BlobNotFound`, what kubectl, IMAP, Spark, MinIO show.
_TOLD_CODE = re.compile(
    r"\(([A-Z][A-Za-z]\w{2,60})\) when calling|[Cc]ode: ?([A-Z][a-z]\w{3,60}|[a-z]{2,20}_\w{2,60})\b"
    r"|from server \((\w{3,40})\)|\[([A-Z][A-Z_]{4,60})(?:\.\w{1,60})?\] |\bname=([A-Z][A-Z_]{4,60})\b"
)
_TELLS = ("when calling", "ode:", "from server (", "] ", "name=")
_LEADING = re.compile(r"([A-Z][A-Z_]{3,40})[ :]")  # how Redis opens what it refuses
_VAGUE = (Kind.BAD_INPUT, Kind.SERVER_ERROR)
_PERMISSION = re.compile(r"permission denied(?! (?:for|to) )")
_CODES_MAX = 8
# `ValidationError: no such field`, also after `Error: `: what somebody made of an exception.
_NAMED = re.compile(
    r"(?:error: |exception: |uncaught ){0,2}(?:[a-z_]\w{0,40}\.){0,6}([A-Z]\w{3,60}): ",
    re.IGNORECASE,
)
_CLASS = re.compile(r"\b[A-Z][A-Za-z]\w{3,60}")
_CLASS_ENDS = ("Exception", "Error", "Fault", "Failure", "Denied", "Exceeded")


def numbers(link: Link) -> Finding | None:
    """Read the numbers and code words in the message of a fault."""
    return _first(_STRUCTURED, link.message, f"{link.fault.type}: {link.message}")


def find(link: Link) -> Finding | None:
    """Read a fault by what its message says."""
    return _first(_SAID, link.message, f"{link.fault.type}: {link.message}")


def in_text(text: str, *, message: str = "") -> Finding | None:
    """Read a sentence."""
    return _first((*_STRUCTURED, *_SAID), capped(text), message or text)


def by_words(text: str) -> Kind | None:
    """Return the kind that the words of `text` mean, if they mean one."""
    found = in_text(text)
    return None if found is None or found.kind is Kind.ERROR_TEXT else found.kind


def exit_code(text: str) -> int | None:
    """Return the exit code a text tells, as shells and our own tools write it."""
    match = _EXIT.search(text) if "exit" in text else None
    return int(match[1] or match[2]) if match else None


def is_of_this_machine(text: str) -> bool:
    """Whether a program met EACCES, which it says in these words; `permission denied for table` is a database's."""
    return _PERMISSION.search(text) is not None


def _first(readers: tuple["Reader", ...], text: str, shown: str) -> Finding | None:
    bare = folded(text)
    for reader in readers:
        if found := reader(text, bare, shown):
            return found
    return None


def _by_status(text: str, bare: str, shown: str) -> Finding | None:
    for match in islice(_NUMBER.finditer(bare), _NUMBERS_MAX):
        start, end = match.span()
        if bare[start - 1 : start].isalnum() or bare[start - 1 : start] in (".", "_"):
            continue
        number = int(match[0])
        if _ENHANCED.match(bare, end):
            return mail.replied(number, bare[start:], shown)
        if statuses.is_status(bare, start, end):
            return _status(number, text, shown) if number < _REPLIES_FROM else None
    return None


def _status(status: int, text: str, shown: str) -> Finding:
    return replace(http.verdict(http.answer_of(status, body=text)), message=shown)


def _by_number(text: str, bare: str, shown: str) -> Finding | None:
    """Read numbers that come with the name of who counts them."""
    if "curl: (" in bare and (match := _CURL.search(bare)) and int(match[1]) in CURL:
        kind, phase = CURL[int(match[1])]
        return Finding(kind=kind, message=shown, code=f"curl {match[1]}", phase=phase)
    state = _SQLSTATE.search(bare) if any(said in bare for said in _STATED) else None
    if state and (found := _by_database(state, shown)):
        return found
    if "-32" in bare and (found := mcp.in_text(bare, shown)):
        return found
    return _by_errno(text, bare, shown)


def _by_database(state: re.Match[str], shown: str) -> Finding | None:
    """Read a number of MySQL, which says more than the SQLSTATE beside it, or a SQLSTATE."""
    found = database.by_number(int(state[3]), shown) if state[3] else None
    return found or database.by_state((state[1] or state[2] or state[4]).upper(), shown)


def _by_errno(text: str, bare: str, shown: str) -> Finding | None:
    match = _ERRNO.search(bare) if "[errno" in bare or "[winerror" in bare else None
    number = int(match[1]) if match else None
    if number is None:
        names = (match for match in _ERRNO_NAME.finditer(text) if _starts(text, match.start()))
        numbered = (_ERRNO_NAMES.get(match[0]) for match in names)
        number = next((found for found in numbered if found), None)
    if number is None:
        return None
    kind = transport.by_errno(number) or ERRNOS.get(number)
    return Finding(kind=kind, message=shown, code=errno.errorcode[number]) if kind else None


def _starts(text: str, position: int) -> bool:
    return position == 0 or not (text[position - 1].isalnum() or text[position - 1] == "_")


def _by_code(text: str, _: str, shown: str) -> Finding | None:
    """Read the code words of a body that stands inside the sentence."""
    if found := grpc.in_text(text, shown):
        return found
    kinds = [
        (kind, code) for code in _codes(text) if (kind := TYPES.get(code) or bodies.by_code(code))
    ]
    # `invalid_request_error` and `server_error` stand beside sentences that say more.
    sure = next(((kind, code) for kind, code in kinds if kind not in _VAGUE), None)
    return Finding(kind=sure[0], message=shown, code=sure[1]) if sure else None


def _by_vague_code(text: str, _: str, shown: str) -> Finding | None:
    found = ((TYPES.get(code) or bodies.by_code(code), code) for code in _codes(text))
    kind, code = next(((kind, code) for kind, code in found if kind), (None, ""))
    return Finding(kind=kind, message=shown, code=code) if kind else None


def _codes(text: str) -> tuple[str, ...]:
    codes = bodies.codes_shown(text)
    if any(end in text for end in _CLASS_ENDS):
        codes += tuple(name for name in _CLASS.findall(text) if name.endswith(_CLASS_ENDS))
    if any(mark in text for mark in _TELLS):
        found = islice(_TOLD_CODE.finditer(text), _CODES_MAX)
        codes += tuple(match[match.lastindex or 0] for match in found)
    leading = _LEADING.match(text)
    return (*codes, leading[1]) if leading else codes


def _by_phrase(text: str, bare: str, shown: str) -> Finding | None:
    code = exit_code(bare)
    kind = EXITS.get(code or 0) or phrases.kind_of(bare)
    if kind is Kind.FORBIDDEN and code and is_of_this_machine(bare):
        kind = Kind.ENVIRONMENT
    if kind is None and code and (found := _by_vague_code(text, bare, shown)):
        return found
    kind = kind or (Kind.ERROR_TEXT if code else None)
    if kind is None:
        return None
    return Finding(kind=kind, message=shown, code="" if code is None else str(code))


def _by_name(text: str, _: str, shown: str) -> Finding | None:
    """Read the name of an exception that somebody put before its message."""
    match = _NAMED.match(text)
    kind = names.by_name(match[1]) if match else None
    return Finding(kind=kind, message=shown, code=match[1]) if match and kind else None


Reader = Callable[[str, str, str], Finding | None]
# In this order; the first that finds something decides.
_STRUCTURED: tuple[Reader, ...] = (_by_status, _by_number, _by_code)
_SAID: tuple[Reader, ...] = (_by_phrase, _by_vague_code, _by_name)

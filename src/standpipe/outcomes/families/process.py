"""This machine: exit codes, and what the operating system refuses.

Rule 1: an exit code is an answer; a signal is none.
Rule 2: the words of the program say more than its exit code, but for the codes of the shell itself.
"""

import errno

from standpipe.actions import Died
from standpipe.outcomes.families import words
from standpipe.outcomes.finding import Finding, visible
from standpipe.outcomes.outcome import Kind, Phase
from standpipe.outcomes.reading import Link, capped, number, word

MISSING_MODULE = "missing_module"
_SIGNALS = {2: "SIGINT", 6: "SIGABRT", 9: "SIGKILL", 11: "SIGSEGV", 15: "SIGTERM"}
_BUILTINS = "builtins."
_SIGNAL_BASE = 128
_IMPORTS = frozenset({"builtins.ImportError", "builtins.ModuleNotFoundError"})


def find(link: Link) -> Finding | None:
    """Read a fault of a child process or of the operating system."""
    code = number(link.fault, "returncode") if "status_code" not in link.fault.attributes else None
    if code is None and "subprocess.CalledProcessError" in link.names:
        code = words.exit_code(link.message)
    if code is not None and code != 0:
        told = word(link.fault, "stderr", "stdout", "output") or link.message
        return exited(code, told)
    own = (name[len(_BUILTINS) :] for name in link.names if name.startswith(_BUILTINS))
    named = next((words.TYPES[name] for name in own if name in words.TYPES), None)
    kind = words.ERRNOS.get(number(link.fault, "errno") or 0, named)
    if kind is None:
        return None
    return Finding(kind=kind, message=_message(link), code=_code(link), local=True)


def exited(code: int, told: str) -> Finding:
    """Say what an exit code with the last words of the program means."""
    kind = words.EXITS.get(code, Kind.ENVIRONMENT if code == -9 else None)  # noqa: PLR2004 -- SIGKILL
    if kind is None:
        kind = words.by_words(told) or Kind.ERROR_TEXT
        if kind is Kind.FORBIDDEN and words.is_of_this_machine(told.lower()):
            kind = Kind.ENVIRONMENT
    has_code = words.exit_code(told[-200:]) is not None
    return Finding(
        kind=kind,
        message=visible(capped(told)) if has_code else f"exit code {code}: {visible(capped(told))}",
        code=str(code),
        phase=Phase.RECEIVED if code > 0 else Phase.UNKNOWN,
        answered=0 < code < _SIGNAL_BASE,
    )


def died(result: Died) -> Finding:
    """Say what the end of a tool's own process means."""
    killed = result.code in (-9, 137)
    if result.code < 0:
        how = f"was ended by {_SIGNALS.get(-result.code, f'signal {-result.code}')}"
    else:
        how = f"exited with {result.code} before it returned"
    hint = " (out of memory?)" if killed else ""
    last = f": {visible(result.stderr, limit=500)}" if result.stderr.strip() else ""
    return Finding(
        kind=Kind.ENVIRONMENT if killed else Kind.OTHER,
        message=f"the process of the tool {how}{hint}{last}",
        code=str(result.code),
    )


def _message(link: Link) -> str:
    text = link.message or "no message"
    return text if text.startswith("[Errno") else f"{link.fault.type}: {text}"


def _code(link: Link) -> str:
    if not _IMPORTS.isdisjoint(link.names):
        return MISSING_MODULE
    number_ = number(link.fault, "errno")
    return errno.errorcode.get(number_, link.fault.type) if number_ else link.fault.type

"""This machine: exit codes, and what the operating system refuses.

Rule 1: an exit code is an answer; a signal is none.
Rule 2: the words of the program say more than its exit code, but for the codes of the shell itself.
"""

import errno

from standpipe.actions import Died, Fault
from standpipe.outcomes.families import words
from standpipe.outcomes.finding import Finding, visible
from standpipe.outcomes.outcome import Kind, Phase
from standpipe.outcomes.reading import called, number, word

ERRNOS = {
    errno.ENOENT: Kind.NOT_FOUND,
    errno.ENOTDIR: Kind.NOT_FOUND,
    errno.EEXIST: Kind.CONFLICT,
    errno.EBUSY: Kind.CONFLICT,
    errno.ENOTEMPTY: Kind.CONFLICT,
    errno.EISDIR: Kind.BAD_INPUT,
    errno.EINVAL: Kind.BAD_INPUT,
    errno.ENAMETOOLONG: Kind.BAD_INPUT,
    errno.ELOOP: Kind.BAD_INPUT,
    errno.ENOSPC: Kind.ENVIRONMENT,
    errno.EDQUOT: Kind.ENVIRONMENT,
    errno.EROFS: Kind.ENVIRONMENT,
    errno.EMFILE: Kind.ENVIRONMENT,
    errno.ENFILE: Kind.ENVIRONMENT,
    errno.ENOMEM: Kind.ENVIRONMENT,
    errno.EACCES: Kind.ENVIRONMENT,
    errno.EPERM: Kind.ENVIRONMENT,
    errno.EIO: Kind.ENVIRONMENT,
}
TYPES = {
    "builtins.FileNotFoundError": Kind.NOT_FOUND,
    "builtins.NotADirectoryError": Kind.NOT_FOUND,
    "builtins.FileExistsError": Kind.CONFLICT,
    "builtins.IsADirectoryError": Kind.BAD_INPUT,
    "builtins.PermissionError": Kind.ENVIRONMENT,
    "builtins.ModuleNotFoundError": Kind.ENVIRONMENT,
    "builtins.ImportError": Kind.ENVIRONMENT,
    "builtins.MemoryError": Kind.ENVIRONMENT,
}
MISSING_MODULE = "missing_module"
_SIGNALS = {2: "SIGINT", 6: "SIGABRT", 9: "SIGKILL", 11: "SIGSEGV", 15: "SIGTERM"}
_SIGNAL_BASE = 128


def find(fault: Fault) -> Finding | None:
    """Read a fault of a child process or of the operating system."""
    names = list(called(fault))
    code = number(fault, "returncode") if number(fault, "status_code") is None else None
    if code is None and "subprocess.CalledProcessError" in names:
        code = words.exit_code(fault.message)
    if code is not None and code != 0:
        told = word(fault, "stderr", "stdout", "output") or fault.message
        return exited(code, told)
    named = next((TYPES[name] for name in names if name in TYPES), None)
    kind = ERRNOS.get(number(fault, "errno") or 0, named)
    if kind is None:
        return None
    return Finding(kind=kind, message=_message(fault), code=_code(fault, names), local=True)


def exited(code: int, told: str) -> Finding:
    """Say what an exit code with the last words of the program means."""
    kind = words.EXITS.get(code, Kind.ENVIRONMENT if code == -9 else None)  # noqa: PLR2004 -- SIGKILL
    said = words.by_words(told) if kind is None else None
    message = (
        visible(told) if words.exit_code(told) is not None else f"exit code {code}: {visible(told)}"
    )
    return Finding(
        kind=kind or said or Kind.ERROR_TEXT,
        message=message,
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


def _message(fault: Fault) -> str:
    text = fault.message or "no message"
    return text if text.startswith("[Errno") else f"{fault.type}: {text}"


def _code(fault: Fault, names: list[str]) -> str:
    if "builtins.ImportError" in names or "builtins.ModuleNotFoundError" in names:
        return MISSING_MODULE
    number_ = number(fault, "errno")
    return errno.errorcode.get(number_, fault.type) if number_ else fault.type

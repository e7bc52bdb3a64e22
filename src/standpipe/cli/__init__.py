"""The command line: `standpipe COMMAND ...`.

Rule 1: a command loads what it needs when it is called; `status` loads no model library.
Rule 2: whatever goes wrong is one line and a hint on stderr; the exit code says whose turn it is.
"""

import errno
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from standpipe.cli.parser import parse
from standpipe.desk.inert import inert
from standpipe.errors import StandpipeError, UsageError

INTERRUPTED, BROKEN_PIPE = 130, 141
_WRONG_PATH = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES}
MESSAGE_MAX = 600


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    _open_what_is_closed()
    arguments = list(sys.argv[1:] if argv is None else argv)
    _take_any_character()
    debug = "--debug" in arguments
    try:
        code = _command([one for one in arguments if one != "--debug"])
        sys.stdout.flush()
    except BrokenPipeError:  # `standpipe log r1 | head`
        _close_stdout()
        return BROKEN_PIPE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:  # the last line of defence: nobody is shown a traceback
        if debug:
            raise
        return _told(error, arguments)
    return code


def _open_what_is_closed() -> None:
    """Give closed streams somewhere to go (`2>&-`): else the journal would get their descriptor."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 -- open as long as we are
            setattr(sys, name, stream)


def _command(arguments: Sequence[str]) -> int:
    _refuse_bytes(arguments)
    parsed = parse(arguments)
    if parsed is None:
        return 0
    module, _, name = parsed.command.runs.partition(":")
    run = getattr(import_module(module), name)
    return int(run(parsed.options))


def _refuse_bytes(arguments: Sequence[str]) -> None:
    """Refuse what the shell passed on and is no text; no file of the home could hold it."""
    for word in arguments:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise UsageError(f"`{word}` is not UTF-8 text", hint="type it in UTF-8") from None


def _told(error: Exception, arguments: Sequence[str]) -> int:
    """Say what went wrong in a line and a hint; return whose turn it is."""
    match error:
        case StandpipeError():
            message, hint, code = (
                error.message,
                error.hint,
                2 if isinstance(error, UsageError) else 1,
            )
        case OSError(filename=str() as name, strerror=str() as reason):
            message, hint = f"`{name}`: {reason}", "check the path, its rights and the disk"
            code = 2 if error.errno in _WRONG_PATH and _typed(name, arguments) else 1
        case OSError(strerror=str() as reason):
            message, hint, code = reason, "check the disk and the rights of the home", 1
        case _:
            message = f"{type(error).__name__}: {error}"
            hint, code = "this is a bug in standpipe; the same command with --debug shows where", 1
    print(f"error: {inert(_short(message))}", file=sys.stderr)
    if hint:
        print(f"hint: {inert(_short(hint))}", file=sys.stderr)
    return code


def _typed(name: str, arguments: Sequence[str]) -> bool:
    """Whether a file is one that was named here: then nothing has started, else nobody knows."""
    return Path(name).absolute() in {Path(word).absolute() for word in arguments}


def _short(text: str) -> str:
    """Cut a long value out of the middle: a message begins with where and ends with what is wrong."""
    half = MESSAGE_MAX // 2
    return text if len(text) <= MESSAGE_MAX else f"{text[:half]}…{text[-half:]}"


def _take_any_character() -> None:
    """Let a name that the terminal cannot show be escaped; stderr does so by itself."""
    reconfigure: Callable[..., None] | None = getattr(sys.stdout, "reconfigure", None)
    if reconfigure and sys.stdout.errors == "strict":
        with suppress(OSError):  # some terminals refuse, once something was written
            reconfigure(errors="backslashreplace")


def _close_stdout() -> None:
    """Let nothing complain about the closed pipe when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

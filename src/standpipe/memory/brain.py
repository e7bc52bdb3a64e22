"""The brain as a folder: read, write, append, search, boot. Paths are relative to `brain/`.

Rule 1: nothing outside the folder can be named: no `..`, no absolute path, no symbolic link.
Rule 2: what people wrote for every session, and what is generated, is never written here.
Rule 3: a write names the version it replaces, or replaces what is there; an append loses nothing.
"""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from msgspec import Struct

from standpipe.config import find_home
from standpipe.errors import ConfigError, Conflict, NotFoundError, UsageError
from standpipe.files import is_table, load_toml_with_lines, read_text
from standpipe.ids import digest
from standpipe.memory.boot import boot
from standpipe.memory.pack import BUDGET_TOKENS, Pack
from standpipe.memory.search import Hit, search
from standpipe.memory.state import PastFailure, PastRun, render_state
from standpipe.memory.tasks import Status, Task, Tasks
from standpipe.memory.writes import FILE_BYTES, locked, put, set_aside

SCHEMA = 1
_PROTECTED = {"identity.md", "pinned.md", "brain.toml", "state.md"}
_OTHERS_WRITE = {"untrusted", "conflicts", "decisions"}


class Written(Struct, frozen=True):
    """Where a text went, and the version it has there."""

    path: str
    sha256: str


class Brain:
    """The memory of one home."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._folder = home / "brain"

    @classmethod
    def open(cls, home: Path | str) -> "Brain":
        """Return the brain of a home.

        Raises:
            NotFoundError: there is no home here.
            ConfigError: its brain has a schema that this version cannot read.
        """
        folder = find_home(home)
        _check_schema(folder / "brain" / "brain.toml")
        return cls(folder)

    def read(self, path: str) -> str:
        """Return the text of a file; what `label` calls untrusted must lower the session's label."""
        return read_text(self._inside(path), limit_bytes=FILE_BYTES)

    def version(self, path: str) -> str:
        """Return the sha256 of a file, `""` when there is none: what `write` takes as `expect`."""
        return _version(self._inside(path))

    def label(self, path: str) -> str:
        """Return who vouches for a file: operator, human, runtime, agent or untrusted."""
        return label_of(path)

    def write(
        self, path: str, text: str, *, expect: str | None = None, trusted: bool = True
    ) -> Written:
        """Replace a file, or make it. `expect` is the version it must have now, `""` for none.

        Raises:
            Conflict: it has another version.
        """
        target, path = self._writable(path)
        if not trusted:
            return self._aside(text)
        with locked(self._home, path):
            current = _version(target)
            if expect is not None and expect != current:
                hint = "read it again, and put your change into what it says now"
                shown = read_text(target, limit_bytes=FILE_BYTES) if current else ""
                raise Conflict(f"`{path}` is no longer what was read", current=shown, hint=hint)
            return self._put(path, target, text)

    def append(self, path: str, text: str, *, trusted: bool = True, origin: str = "") -> Written:
        """Add text to the end of a file, on a line of its own, whoever else writes to it.

        With an `origin` it is added once: a comment below it says where it came from.
        """
        target, path = self._writable(path)
        if not trusted:
            return self._aside(text)
        with locked(self._home, path):
            old = read_text(target, limit_bytes=FILE_BYTES) if target.exists() else ""
            mark = f"<!-- {origin} -->\n" if origin else ""
            if mark and mark in old:
                return Written(path, digest(old.encode()))
            glue = "" if not old or old.endswith("\n") else "\n"
            end = "" if text.endswith("\n") else "\n"
            return self._put(path, target, f"{old}{glue}{text}{end}{mark}")

    def search(self, query: str, *, limit: int = 10) -> list[Hit]:
        """Return the files that speak of `query`, best first; an empty query: the newest."""
        return search(self._folder, query, limit=limit)

    def boot(
        self,
        budget_tokens: int = BUDGET_TOKENS,
        *,
        guards: Sequence[str] = (),
        failures: Sequence[PastFailure] = (),
        runs: Sequence[PastRun] = (),
        task: Task | None = None,
    ) -> Pack:
        """Return what a session loads; the state is rendered anew, the file is never read."""
        state = self.state(failures=failures, runs=runs)
        return boot(self._home, state=state, budget_tokens=budget_tokens, guards=guards, task=task)

    def state(self, *, failures: Sequence[PastFailure] = (), runs: Sequence[PastRun] = ()) -> str:
        """Return the text of STATE.md as it would be now."""
        tasks = Tasks(self._home).listed(Status.OPEN, Status.BLOCKED).tasks
        return render_state(tasks, failures=failures, runs=runs)

    def write_state(self, text: str) -> None:
        """Replace STATE.md, for people to read."""
        with locked(self._home, "STATE.md"):
            put(self._folder / "STATE.md", text)

    def _aside(self, text: str) -> Written:
        reference = set_aside(self._folder, text)
        return Written(reference, digest(text.encode()))

    def _put(self, path: str, target: Path, text: str) -> Written:
        content = text.encode()
        if len(content) > FILE_BYTES:
            hint = "start another note"
            raise UsageError(f"`{path}` would be larger than {FILE_BYTES} bytes", hint=hint)
        put(target, content)
        return Written(path, digest(content))

    def _writable(self, path: str) -> tuple[Path, str]:
        """Return the file and its one spelling, which names its lock."""
        target = self._inside(path)
        plain = PurePosixPath(path)
        first = plain.parts[0].casefold()  # some file systems do not tell `identity.md` apart
        if first in _PROTECTED or first in _OTHERS_WRITE or first.startswith("."):
            hint = "people write it, or the runtime does; write a note instead: notes/NAME.md"
            raise UsageError(f"`{path}` is not for writing", hint=hint)
        if target.is_dir():
            raise UsageError(f"`{path}` is a folder, not for writing", hint="name a file in it")
        return target, plain.as_posix()

    def _inside(self, path: str) -> Path:
        parts = PurePosixPath(path).parts
        odd = (
            not parts or path.startswith("/") or ".." in parts or re.search(r"[\x00-\x1f\\]", path)
        )
        if odd:
            raise UsageError(
                f"{path!r} is no path in the brain", hint="for example notes/prices.md"
            )
        target = self._folder
        for part in parts:
            target /= part
            if target.is_symlink():
                hint = "the brain holds real files only"
                raise UsageError(f"`{path}` goes through a symbolic link", hint=hint)
        return target


def label_of(path: str) -> str:
    """Return who vouches for a file of the brain, by where it lies."""
    first = PurePosixPath(path).parts[0] if path else ""
    return _LABELS.get(first, "agent")


_LABELS = {
    "IDENTITY.md": "operator",
    "brain.toml": "operator",
    "PINNED.md": "human",
    "inbox": "human",
    "lessons": "runtime",
    "untrusted": "untrusted",
    "conflicts": "untrusted",
}


def _version(path: Path) -> str:
    try:
        return digest(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return ""


def _check_schema(path: Path) -> None:
    try:
        text = read_text(path, limit_bytes=FILE_BYTES)
    except NotFoundError:
        return  # a brain made by hand has the schema of today
    found = load_toml_with_lines(text, name="brain/brain.toml")
    schema = found.value.get("schema", SCHEMA) if is_table(found.value) else SCHEMA
    if schema != SCHEMA:
        line = found.lines.get(("schema",), 1)
        hint = "this brain was written by a newer standpipe: install that version"
        raise ConfigError(f"brain/brain.toml:{line}: schema {schema} is not {SCHEMA}", hint=hint)

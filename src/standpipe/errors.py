"""Our own mistakes and the user's. A tool's failure is not here: it is an `Outcome`.

StandpipeError                 everything this package raises on purpose
├── UsageError                 the person who typed it can mend it (exit 2)
│   ├── ConfigError            a file of the home says something we cannot use
│   ├── NotFoundError          no such home, run, action or question
│   ├── OwnedError             a living process or worker has this run
│   └── SchemaError            another version of standpipe wrote this journal
├── JournalError               the record cannot be kept or read (exit 1, resumable)
│   ├── JournalFullError       no room to write
│   ├── BrokenJournalError     what is written there cannot have been written by us
│   ├── FencedError            somebody else owns this run now
│   ├── GivenBackError         this process begins nothing more of a run; another one goes on
│   └── StaleError             what this was decided on has changed meanwhile
├── StateError                 our bug: a step the table of states does not allow
└── Conflict                   a brain file changed under the writer
"""


class StandpipeError(Exception):
    """Carry what failed, with its values, and what to do about it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(f"{message}\nhint: {hint}" if hint else message)
        self.message = message
        self.hint = hint


class UsageError(StandpipeError):
    """The person who typed it can mend it."""


class ConfigError(UsageError):
    """A file of the home says something we cannot use; the message starts with `file:line`."""


class NotFoundError(UsageError):
    """Nothing has this name."""


class OwnedError(UsageError):
    """A living process or worker has this run; the message names it."""


class SchemaError(UsageError):
    """Another version wrote this journal; the hint is the command that helps."""


class JournalError(StandpipeError):
    """The record cannot be kept or read, so nothing may happen."""


class JournalFullError(JournalError):
    """No room to write."""


class BrokenJournalError(JournalError):
    """What is written there cannot have been written by us."""


class FencedError(JournalError):
    """A newer segment of this run exists; this process must not write any more."""


class GivenBackError(JournalError):
    """This process is to end, or cannot say that a run is still its own; it begins nothing more of it."""


class StaleError(JournalError):
    """A row that a sentence was decided on has changed; nothing was written, decide again."""


class StateError(StandpipeError):
    """An action was asked to make a step that its state does not allow."""


class Conflict(StandpipeError):  # noqa: N818 -- the public name in the contract: `sp.Conflict`
    """The file is no longer the one that was read."""

    def __init__(self, message: str, *, current: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.current = current

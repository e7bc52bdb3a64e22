"""What now, as one table. What fails twice the same way is not tried a third time."""

from msgspec import Struct


class Retry(Struct, frozen=True, tag="retry"):
    """The same call again, below the model."""

    why: str
    delay_seconds: float = 0.0


class Wait(Struct, frozen=True, tag="wait"):
    """The same call again, not before the other side said so."""

    why: str
    delay_seconds: float = 0.0


class Refresh(Struct, frozen=True, tag="refresh"):
    """Renew the credential, then the same call once more."""

    why: str


class Alternate(Struct, frozen=True, tag="alternate"):
    """Another declared tool instead, with the same arguments."""

    why: str
    tool: str


class Return(Struct, frozen=True, tag="return"):
    """Tell the model; it may do better."""

    why: str


class Skip(Struct, frozen=True, tag="skip"):
    """Go on without it."""

    why: str


class Escalate(Struct, frozen=True, tag="escalate"):
    """A human has to say what now; the run is blocked."""

    why: str


class Stop(Struct, frozen=True, tag="stop"):
    """The run has failed."""

    why: str


Recovery = Retry | Wait | Refresh | Alternate | Return | Skip | Escalate | Stop

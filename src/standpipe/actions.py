"""What is asked, and what came back.

Rule 1: what nobody declared is taken for the worst: `once`, untrusted, every argument decides.
Rule 2: a manifest is data. It crosses process borders, is hashed, and never holds code.
Rule 3: every value carries a label; joining takes the lowest integrity.
"""

import hashlib
from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec
from msgspec import Struct, field


class Effect(StrEnum):
    """What a second call would do to the world (MCP annotations, in one word)."""

    READ = "read"
    IDEMPOTENT = "idempotent"
    ONCE = "once"


class Integrity(StrEnum):
    """How far a value may be believed, low to high."""

    UNTRUSTED = "untrusted"
    RECORD = "record"
    TRUSTED = "trusted"


_HEIGHT = {Integrity.UNTRUSTED: 0, Integrity.RECORD: 1, Integrity.TRUSTED: 2}


class Label(Struct, frozen=True, omit_defaults=True):
    """Where a value came from. `sources` are action ids, or `prompt`, `config`, `human`."""

    integrity: Integrity = Integrity.UNTRUSTED
    sources: tuple[str, ...] = ()
    private: bool = False


TRUSTED = Label(integrity=Integrity.TRUSTED)


def join(labels: Iterable[Label]) -> Label:
    """Return the label of a value made from others.

    Example:
        >>> join([TRUSTED, Label(sources=("r1.1.1",))]).integrity
        <Integrity.UNTRUSTED: 'untrusted'>
    """
    parts = list(labels)
    if not parts:
        return TRUSTED
    return Label(
        integrity=min((part.integrity for part in parts), key=_HEIGHT.__getitem__),
        sources=tuple(sorted({source for part in parts for source in part.sources})),
        private=any(part.private for part in parts),
    )


class Tool(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A manifest: what a tool is, for the model, for the rules and for the runtime."""

    name: str
    effect: Effect = Effect.ONCE
    description: str = ""
    schema: Mapping[str, object] = field(default_factory=dict[str, object])  # JSON Schema, no `why`
    origin: str = "undeclared"  # builtin | home (tools.py) | declared ([tools.NAME]) | undeclared
    control: tuple[str, ...] | None = None  # None: every argument decides where an effect lands
    known: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    policy: str | None = None  # allow | ask | deny
    destructive: bool = False
    reversible: bool = False
    local: bool = False  # nothing leaves this machine
    returns: str = "untrusted"  # untrusted | trusted
    returns_media: str | None = None  # "text/html": a page is what was asked for
    output: Mapping[str, object] | None = (
        None  # JSON Schema of the result, if the tool declares one
    )
    tells: str = ""  # how a result is called in sentences: "mail {id}"
    timeout_seconds: float = 30.0
    verify: bool = False
    verify_after_seconds: float = 0.0
    idempotency_key: str | None = None  # the parameter the runtime fills; the model never sees it
    alternates: tuple[str, ...] = ()
    refresh: str = ""  # the function that renews the credential; who names the same one shares it
    expected: tuple[str, ...] = ()  # failure kinds that are answers
    poll_seconds: float | None = None
    same_way: int | None = None  # how often may it fail the same way; None: as the home says
    why: bool = True  # carries the mandatory `why` (never for reads and the agent's own tools)
    source: str = ""  # hash of the code behind it, where there is any
    line: int = 0  # of its declaration in tools.py

    @property
    def digest(self) -> str:
        """Name this manifest; an approval is bound to it."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:16]

    @property
    def asks_why(self) -> bool:
        """Whether the model has to say why."""
        return self.why and self.effect is not Effect.READ


class Action(Struct, frozen=True, kw_only=True):
    """One tool call, before anything has happened."""

    id: str
    tool: Tool
    arguments: Mapping[str, object] = field(default_factory=dict[str, object])
    why: str = ""
    label: Label = Label()
    call_id: str = ""  # the provider's; kept beside, never a key
    siblings: int = 0  # other calls in the same response

    @property
    def run(self) -> str:
        return self.id.partition(".")[0]

    @property
    def digest(self) -> str:
        """Name exactly this call: run, tool, manifest and every argument but `why`."""
        parts = (self.run, self.tool.name, self.tool.digest, self.arguments)
        return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()[:16]


class Fault(Struct, frozen=True, omit_defaults=True):
    """An exception as data: what crosses a process border and what a classifier reads.

    `attributes` holds the scalars other libraries hang on their exceptions (`status_code`,
    `errno`, `sqlstate`, `smtp_code`, `returncode` ...); `own_code` says that the innermost frame
    was the tool's own, so that a `TypeError` there is a bug of the tool and not of its arguments.
    `place` is the innermost line of the tool's own file: `tools.py:12 in fetch_orders`.
    """

    type: str
    message: str
    module: str = "builtins"
    attributes: Mapping[str, object] = field(default_factory=dict[str, object])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])  # lower case names
    body: str = ""
    url: str = ""
    own_code: bool = False
    bases: tuple[str, ...] = ()  # qualified names of the base classes, nearest first
    cause: "Fault | None" = None
    group: tuple["Fault", ...] = ()
    place: str = ""


class Returned(Struct, frozen=True, tag="returned", omit_defaults=True):
    """The tool came back with a value (JSON); `cut` says that it is only the beginning, as text."""

    value: object
    cut: bool = False


class Raised(Struct, frozen=True, tag="raised"):
    """The tool raised."""

    fault: Fault


class Expired(Struct, frozen=True, tag="expired"):
    """Our deadline ended it."""

    seconds: float


class Died(Struct, frozen=True, tag="died"):
    """The process of the tool is gone: an exit code, or a negative signal number."""

    code: int
    stderr: str = ""


Result = Returned | Raised | Expired | Died


class Change(Struct, frozen=True, omit_defaults=True):
    """One file that is not as it was. Digests name copies that `undo` can put back."""

    path: str
    change: str  # created | modified | deleted
    before: str = ""
    after: str = ""
    added: int = 0
    removed: int = 0
    mode_before: int = 0
    mode_after: int = 0
    undoable: bool = True
    reason: str = ""


class Done(Struct, frozen=True):
    """What one attempt came to: the result, the files that differ, the hosts it turned to."""

    result: Result
    changes: tuple[Change, ...] = ()
    seconds: float = 0.0
    hosts: tuple[str, ...] = ()  # spelled as in [egress]; a connection kept from before is not seen

"""What standpipe.toml may say: one shape per table.

Rule 1: strict: an unknown key is an error; what a shape cannot say is checked where the file is read.
Rule 2: secrets stand here by NAME; their values are in the environment.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from standpipe.files import Lines, line_of
from standpipe.ids import digest

SETTINGS = "standpipe.toml"
DAY_SECONDS = 86_400
SAME_WAY_MAX = 10
LINES = "lines"
RATE = r"^[1-9][0-9]{0,5}/[1-9][0-9]{0,4}[smh]$"  # starts / period

Count = Annotated[int, Meta(ge=1)]
Amount = Annotated[float, Meta(gt=0, le=1e9)]  # infinity is written "none"
Seconds = Annotated[float, Meta(gt=0, le=DAY_SECONDS)]
SameWay = Annotated[int, Meta(ge=1, le=SAME_WAY_MAX)]
Table = Mapping[str, object]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A table of standpipe.toml."""


class Budgets(Section, frozen=True):
    """What one run may spend; `"none"` in the file, `None` here, is no limit."""

    model_calls: Count | None = 50
    actions: Count | None = 200
    minutes: Amount | None = 30.0
    cost_usd: Amount | None = 5.0


class Failures(Section, frozen=True):
    """When a failure stops a run, and how soon people see it."""

    same_way: SameWay = 2
    visible_seconds: Annotated[float, Meta(gt=0, le=600)] = 30.0
    model_seconds: Seconds = 120.0
    fallback_models: tuple[str, ...] = ()


class ToolSettings(Section, frozen=True):
    """What the operator says about a tool; `None` leaves what the tool says of itself."""

    effect: Literal["read", "idempotent", "once"] | None = None
    control: tuple[str, ...] | None = None
    known: Mapping[str, tuple[str, ...]] | None = None
    policy: Literal["allow", "ask", "deny"] | None = None
    destructive: bool | None = None
    reversible: bool | None = None
    local: bool | None = None
    returns: str | Mapping[str, str] | None = None
    returns_media: str | None = None
    timeout: Seconds | None = None
    verify_after_seconds: Annotated[float, Meta(ge=0, le=DAY_SECONDS)] | None = None
    idempotency_key: str | None = None
    alternates: tuple[str, ...] | None = None
    expected: tuple[str, ...] | None = None
    poll: Seconds | None = None
    same_way: SameWay | None = None


class Egress(Section, frozen=True):
    """The hosts that can be reached; nothing else can."""

    allow: tuple[str, ...] = ()


class Mail(Section, frozen=True):
    """Where mail is read and sent; `password_secret` is a NAME in the environment."""

    smtp: str | None = None
    maildir: str | None = None
    imap: str | None = None
    sender: str | None = field(name="from", default=None)
    sent: str | None = None
    user: str | None = None
    password_secret: str | None = None


class SecretSettings(Section, frozen=True):
    """Where the value of a NAME in the environment may go; `{}` stands for the value."""

    hosts: tuple[str, ...] = ()
    header: str | None = None
    query: str | None = None
    basic: str | None = None
    tools: tuple[str, ...] = ()


class SqlSettings(Section, frozen=True):
    """A database, and what may be read and written there."""

    url: str
    read: Mapping[str, tuple[str, ...]] = {}
    write: Mapping[str, tuple[str, ...]] = {}


class Sandbox(Section, frozen=True):
    """Where tools may write."""

    write: tuple[str, ...] = ("workspace",)
    allow_unsandboxed: bool = False


class Trust(Section, frozen=True):
    """Files whose text counts as the operator's word, and how edits by others are taken."""

    read: tuple[str, ...] = ()
    outside_edits: Literal["human", "ask"] = "human"


class JournalSettings(Section, frozen=True):
    """Where the journal is kept; `url_secret` and `journal_key` are NAMES in the environment."""

    store: Literal["sqlite", "postgres"] = "sqlite"
    url_secret: str | None = None
    home: str | None = None  # its name in the database, the same on all machines; else its folder's
    journal_key: str | None = None
    keep_days: Count | None = None  # of ended runs; without it nothing is archived


class EngineSettings(Section, frozen=True):
    """Who runs which run, when."""

    kind: Literal["inline", "dbos"] = "inline"


class QueueSettings(Section, frozen=True):
    """What all workers of a queue together may do: runs at once, and starts per time (`10/60s`)."""

    concurrency: Count | None = None
    rate: Annotated[str, Meta(pattern=RATE)] | None = None


class ScheduleSettings(Section, frozen=True):
    """A task that comes back, by `cron` or `every`; each occurrence is a run of its own."""

    task: str
    id: str = ""  # without one, made of the task and its times
    cron: str | None = None
    every: str | None = None
    zone: str = "UTC"
    overlap: Literal["skip", "queue"] = "skip"
    missed: Literal["skip", "once"] = "skip"
    queue: str = ""
    model: str | None = None


class Settings(Section, frozen=True, dict=True):
    """All of standpipe.toml, and beside it where everything stands."""

    model: str | None = None
    budgets: Budgets = Budgets()
    failures: Failures = Failures()
    tools: Mapping[str, ToolSettings] = {}
    egress: Egress = Egress()
    mail: Mail = Mail()
    secrets: Mapping[str, SecretSettings] = {}
    sql: Mapping[str, SqlSettings] = {}
    sandbox: Sandbox = Sandbox()
    trust: Trust = Trust()
    journal: JournalSettings = JournalSettings()
    engine: EngineSettings = EngineSettings()
    queues: Mapping[str, QueueSettings] = {}
    schedule: tuple[ScheduleSettings, ...] = ()
    notify: Table = {}
    approvals: Table = {}
    watch: Table = {}
    console: Table = {}

    def place(self, *path: str | int) -> str:
        """Name the file and the line of a key, for a message about it."""
        lines: Lines = vars(self).get(LINES, {})
        return f"{SETTINGS}:{line_of(lines, path)}" if lines else SETTINGS

    @property
    def digest(self) -> str:
        """Name these settings; two runs under the same name had the same rules."""
        return digest(msgspec.json.encode(self, order="sorted"))[:16]

    @property
    def secret_names(self) -> tuple[str, ...]:
        """Every NAME in the environment that these settings mention."""
        named = (self.mail.password_secret, self.journal.url_secret, self.journal.journal_key)
        return tuple(sorted({*self.secrets, *(name for name in named if name)}))

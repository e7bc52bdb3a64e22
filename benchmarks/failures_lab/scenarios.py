"""What goes wrong, what it may cost, and by which words its cause is known.

Rule 1: a scenario is the same for every peer: one tool, one fault, one way the model acts.
Rule 2: `cause` is searched in what the caller is told. Any of its words will do, in any case.
Rule 3: a limit is a figure of the issue; a scenario without one is only shown.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

from failures_lab.model_server import SUCCESS, Behaviour

from standpipe.outcomes.outcome import Kind
from standpipe.testing import Fault

READ, EFFECT = "fetch_orders", "send_invoice"
BOTH, RAISE = ("raise", "string"), ("raise",)
ROUTE = "/orders"


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things take: `--quick` or not."""

    cap_seconds: float  # of a peer, from its first request to the model
    own_cap_seconds: float  # of Standpipe, which has to end within 30
    client_seconds: float  # the deadline of a tool's client where it hangs
    retry_after_seconds: int
    model_seconds: float  # the deadline that stands for a peer's default of the model client


QUICK = Pace(8, 60, 2, 2, 1)
FULL = Pace(20, 75, 5, 3, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What has to be reached; None is not asked."""

    model_calls: int | None = None
    hits: int | None = None
    tokens: bool = False  # the median peer pays a hundred times as much
    recovers: bool = False
    date: bool = False  # a date has a resolution of one second, which recovery may use up
    told_in_time: bool = True  # one second after the failure
    cause: bool = True


PERMANENT = Limits(model_calls=1, hits=2, tokens=True)
CORRECTABLE = Limits(model_calls=2, hits=2)
WAITS = Limits(recovers=True, cause=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    name: str
    title: str
    cause: str
    fault: Callable[[Pace], Fault]
    limits: Limits = PERMANENT
    tool: str = READ
    reads: str = "json"  # json | text
    hangs: str = ""  # "" | client (its deadline ends it) | none (no deadline in the tool)
    vary: bool = False
    sorry_after: int | None = None
    trouble: Kind | None = None
    waits: bool = False  # the provider's trouble is over after its Retry-After
    silent: bool = False
    styles: tuple[str, ...] = BOTH

    def behaviour(self, pace: Pace) -> Behaviour:
        return Behaviour(
            tool=self.tool,
            vary=self.vary,
            sorry_after=self.sorry_after,
            trouble=self.trouble,
            retry_after_seconds=pace.retry_after_seconds if self.waits else None,
            silent=self.silent,
        )


def ok() -> Fault:
    return Fault.ok(json.dumps({"orders": SUCCESS}))


def _status(status: int, **error: object) -> Callable[[Pace], Fault]:
    body = json.dumps({"error": {**error, "request_id": "{uuid}"}})
    return lambda _: Fault.status(status, body=body)


def _fine(_: Pace) -> Fault:
    return ok()


_EXPIRED = _status(401, code="token_expired", message="The access token expired at {now}")
_401 = r"\b401\b|token.expired|unauthori[sz]ed|credential"
_TIMEOUT = r"tim(ed?|e)[ _-]?out|time limit|deadline|did not answer|no answer"

SCENARIOS = (
    Scenario(name="401", title="401, permanent", fault=_EXPIRED, cause=_401),
    Scenario(name="401-varied", title="401, other ids and arguments every time", fault=_EXPIRED,
             cause=_401, vary=True),
    Scenario(name="403", title="403, permanent", cause=r"\b403\b|forbidden|scope",
             fault=_status(403, code="insufficient_scope", message="orders:read is missing")),
    Scenario(name="404", title="404: the model may correct itself", limits=CORRECTABLE,
             fault=_status(404, code="not_found", message="No such customer"),
             cause=r"\b404\b|not.found|no such customer"),
    Scenario(name="500", title="500, permanent", cause=r"\b500\b|internal server error|server_error",
             fault=_status(500, code="internal", message="Something went wrong")),
    Scenario(name="html", title="HTML where JSON was expected", reads="json",
             fault=lambda _: Fault.html(title="Shop maintenance"),
             cause=r"html|Expecting value|not JSON|Shop maintenance"),
    Scenario(name="login", title="login page with status 200, returned as text", reads="text",
             fault=lambda _: Fault.login(), cause=r"log.?in|sign.?in"),
    Scenario(name="429-seconds", title="429, Retry-After in seconds", limits=WAITS, cause=r"\b429\b",
             fault=lambda pace: Fault.retry_after("seconds", seconds=pace.retry_after_seconds)),
    Scenario(name="429-date", title="429, Retry-After as a date",
             limits=Limits(recovers=True, date=True, cause=False),
             fault=lambda pace: Fault.retry_after("date", seconds=pace.retry_after_seconds),
             cause=r"\b429\b"),
    Scenario(name="quota", title="429 that is a spent quota", cause=r"quota|billing",
             fault=_status(429, code="insufficient_quota",
                           message="You exceeded your current quota, check your billing")),
    Scenario(name="hang-client", title="the server is silent, the client has a deadline",
             fault=lambda _: Fault.silence(), hangs="client", cause=_TIMEOUT),
    Scenario(name="hang", title="the server is silent, the client has no deadline",
             fault=lambda _: Fault.silence(), hangs="none", cause=_TIMEOUT),
    Scenario(name="effect", title="an effect lands and its answer is lost", tool=EFFECT,
             fault=lambda _: Fault.effect(), hangs="client",
             limits=Limits(model_calls=1, hits=2),
             cause=rf"{_TIMEOUT}|in.doubt|did it happen|may have"),
    Scenario(name="sorry", title='the model says "sorry" after one failure', sorry_after=1,
             fault=_status(404, code="not_found", message="No such customer"),
             limits=Limits(), cause=r"\b404\b|not.found|no such customer"),
    Scenario(name="loop", title="a loop without errors", limits=Limits(told_in_time=False),
             fault=lambda _: Fault.ok('{"status": "pending"}'),
             cause=r"same (call|arguments|answer|result|way)|no.progress|\brepeat"),
    Scenario(name="silent", title="the model is silent", fault=_fine, silent=True,
             styles=RAISE, cause=rf"{_TIMEOUT}|silent", limits=Limits()),
    Scenario(name="model-401", title="the model's provider: 401", trouble=Kind.CREDENTIAL,
             styles=RAISE, fault=_fine, cause=r"\b401\b|api.key|authentication",
             limits=Limits(model_calls=1, hits=0)),
    Scenario(name="model-429", title="the model's provider: 429 with Retry-After",
             trouble=Kind.RATE_LIMITED, waits=True, styles=RAISE, fault=_fine, cause=r"\b429\b",
             limits=WAITS),
    Scenario(name="model-quota", title="the model's provider: quota", trouble=Kind.QUOTA,
             styles=RAISE, fault=_fine, cause=r"quota|credit balance|billing",
             limits=Limits(model_calls=1, hits=0)),
    Scenario(name="model-529", title="the model's provider: 529", trouble=Kind.OVERLOADED,
             styles=RAISE, fault=_fine, cause=r"\b529\b|overloaded",
             limits=Limits()),
)  # fmt: skip

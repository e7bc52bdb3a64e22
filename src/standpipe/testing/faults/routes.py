"""The paths that need no script, as one table.

Rule 1: words in capitals are parameters; what a query may add stands in the sentence.
Rule 2: paths that change with time do so for each whole address: `/flap/2?test=a` begins anew.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import cast
from urllib.parse import parse_qsl

from standpipe.outcomes.outcome import Kind
from standpipe.testing.faults.dialects import CHAT, MESSAGES, TROUBLES, Answer, ToolCall, Trouble
from standpipe.testing.faults.fault import FORMS, ByModel, End, Fault, Form

Words = tuple[str, ...]
Query = Mapping[str, str]
Steps = tuple[Fault, ...]
_PARAMETERS = {
    "CODE": r"([2-5]\d\d)",
    "TIMES": r"(\d{1,4})",
    "FORM": "(" + "|".join(FORMS) + ")",
    "SECONDS": r"(\d{1,6}(?:\.\d{1,3})?)",
}


@dataclass(frozen=True, slots=True)
class Route:
    """A path, what it does in one sentence, and the steps of it."""

    path: str
    says: str
    steps: Callable[[Words, Query], Steps]

    @property
    def pattern(self) -> str:
        return re.sub(r"[A-Z]+", lambda found: _PARAMETERS[found[0]], self.path)


def steps_of(target: str) -> Steps | None:
    """Return what a path does by itself, if it does anything."""
    path, _, query = target.partition("?")
    for route in ROUTES:
        if found := re.fullmatch(route.pattern, path):
            return route.steps(found.groups(), dict(parse_qsl(query)))
    return None


def mailbox(name: str) -> Fault:
    """Return what happens to a mail to NAME@anywhere."""
    if found := re.fullmatch(r"(data-)?([45]\d\d)", name):
        return Fault.status(int(found[2]), early=not found[1])
    return MAILBOXES.get(name, Fault.effect_ok())


def by_model(name: str) -> Fault:
    """Return what happens to a request for this model."""
    return MODELS.get(name, Fault.model(Answer("It works.")))


def index() -> str:
    """Describe everything there is, as plain text."""
    paths = [f"  {route.path:<28}{route.says}" for route in ROUTES]
    own = [f"  {path:<28}{says}" for path, says in OWN.items()]
    models = "  " + " ".join(sorted(MODELS)) + "; any other answers"
    mail = "  550@ (any 4xx, 5xx), data-554@ " + " ".join(f"{name}@" for name in MAILBOXES)
    parts = ["paths", *paths, *own, "", "models, by name", models, "", "mailboxes", mail, ""]
    return "\n".join(parts)


def _fixed(fault: Fault) -> Callable[[Words, Query], Steps]:
    return lambda _words, _query: (fault,)


def _status(words: Words, query: Query) -> Steps:
    wait = query.get("retry_after", "")
    headers = {"retry-after": wait} if wait else {}
    return (Fault.status(int(words[0]), headers=headers),)


def _retry_after(words: Words, _query: Query) -> Steps:
    form = cast("Form", words[0])  # the pattern lets nothing else through
    return (Fault.retry_after(form, float(words[1])), Fault.ok())


def _flap(words: Words, _query: Query) -> Steps:
    return (*(Fault.status(503) for _ in range(int(words[0]))), Fault.ok())


def _wrong_length(_words: Words, query: Query) -> Steps:
    by = query.get("by", "10")
    return (Fault.wrong_length(by=int(by) if re.fullmatch(r"-?\d{1,6}", by) else 10),)


_BY_MODEL = Fault(name="by model", reply=ByModel())
ROUTES = (
    Route("/ok", "200 and JSON", _fixed(Fault.ok())),
    Route("/status/CODE", "that status; ?retry_after=3 adds the header", _status),
    Route(
        "/retry-after/FORM/SECONDS",
        f"429 until then; FORM is {', '.join(FORMS)}",
        _retry_after,
    ),
    Route("/html", "200 and a page", _fixed(Fault.html())),
    Route("/login", "200 and a login page", _fixed(Fault.login())),
    Route("/bot", "200 and a page that wants a person", _fixed(Fault.bot())),
    Route("/wrong-type", "HTML that says it is JSON", _fixed(Fault.wrong_type())),
    Route("/wrong-length", "10 bytes fewer than it says; ?by=-5 for more", _wrong_length),
    Route("/cut", "half of the body", _fixed(Fault.cut())),
    Route("/reset", "a reset after the request was read", _fixed(Fault.reset())),
    Route("/reset-early", "a reset before its body is read", _fixed(Fault.reset_early())),
    Route("/half-close", "our side shut, no answer", _fixed(Fault.half_close())),
    Route("/silence", "no answer", _fixed(Fault.silence())),
    Route("/slow", "200, a byte every 0.1 s", _fixed(Fault.slow())),
    Route("/flap/TIMES", "503 so many times, then 200", _flap),
    Route("/effect", "a POST lands, no answer; GET lists what landed", _fixed(Fault.effect())),
    Route("/effect-ok", "a POST lands, 201; GET lists what landed", _fixed(Fault.effect_ok())),
    Route("/graphql-error", "200 with `errors`", _fixed(Fault.graphql_error())),
    Route("/ok-false", "200 with `ok: false`", _fixed(Fault.ok_false())),
    Route("/problem", "422 as RFC 9457 says", _fixed(Fault.problem())),
    Route(CHAT, "OpenAI's dialect, whole or streamed", lambda _words, _query: (_BY_MODEL,)),
    Route(MESSAGES, "Anthropic's dialect, whole or streamed", lambda _words, _query: (_BY_MODEL,)),
)
OWN = {"/": "this text", "/__requests": "what came in", "/__effects": "what landed"}
_CUT_CALL = Answer(calls=(ToolCall("write_file", '{"path": "a.txt", "content": "begun and'),))
MODELS: Mapping[str, Fault] = {
    **{kind.value: Fault.model(Trouble(kind)) for kind in TROUBLES[CHAT]},
    Kind.REFUSAL.value: Fault.model(Answer("I cannot help with that.", stop="refusal")),
    Kind.CUT.value: Fault.model(replace(_CUT_CALL, stop="length")),
    "error-event": Fault.model(Answer("It works, and then"), breaks="error"),
    "silence": Fault.model(Answer("It works, and then"), breaks="silence"),
    "broken": Fault.model(Answer("It works, and then"), breaks="cut"),
    "reset": Fault.model(Answer("It works, and then"), breaks="reset"),
    "html": Fault.html(status=502),
}
MAILBOXES: Mapping[str, Fault] = {
    "silence": Fault.effect(),
    "silence-early": replace(Fault.silence(), early=True),
    "reset": Fault.effect(end=End.RESET),
    "reset-early": Fault.reset_early(),
}

"""A tool call as people say it: "reads mail 4", "sent mail to dana@example.com".

Rule 1: what is not in the table is told as the call it is; nothing is guessed.
"""

import re
from collections.abc import Mapping, Sequence
from string import Formatter
from typing import cast

import msgspec

VALUE_MAX = 160
_SECONDS_SHOWN, _MINUTES_SHOWN = 120, 7200
_COUNTS = r"(?: at attempt \d+)?(?: \(seen \d+ times the same way\))?(?: after \d+ attempts)?"
_KIND = re.compile(rf"; [a-z]+(?:_[a-z]+)*{_COUNTS}: ")
_HINT = re.compile(r"\n\s*hint: [^\n]*")
_PHRASES: Mapping[str, tuple[str, str]] = {
    "mail_list": ("looks into the inbox", "looked into the inbox"),
    "mail_read": ("reads mail {id}", "read mail {id}"),
    "send_email": ("sends mail to {to}: {subject}", "sent mail to {to}: {subject}"),
    "http_get": ("gets {url}", "got {url}"),
    "http_send": ("sends {method} {url}", "sent {method} {url}"),
    "read_file": ("reads {path}", "read {path}"),
    "write_file": ("writes {path}", "wrote {path}"),
    "edit_file": ("changes {path}", "changed {path}"),
    "delete_file": ("deletes {path}", "deleted {path}"),
    "list_files": ("lists files", "listed files"),
    "sql_query": ("asks database {database}", "asked database {database}"),
    "shell": ("runs {command}", "ran {command}"),
    "memory_search": ("looks for {query} in its memory", "looked for {query} in its memory"),
    "memory_read": ("reads {path} in its memory", "read {path} in its memory"),
    "memory_note": ("notes: {title}", "noted: {title}"),
    "task_update": ("updates a task: {title}", "updated a task: {title}"),
    "ask_human": ("asks: {question}", "asked: {question}"),
    "blocked": ("is blocked on {on}", "was blocked on {on}"),
    "done": ("says it is done: {summary}", "was done: {summary}"),
}


def doing(tool: str, arguments: Mapping[str, object]) -> str:
    """Say what a call is about to do.

    Example:
        >>> doing("mail_read", {"id": "4"})
        'reads mail 4'
    """
    return _filled(_PHRASES.get(tool, ("", ""))[0], arguments) or call_text(tool, arguments)


def did(tool: str, arguments: Mapping[str, object]) -> str:
    """Say what a call did."""
    return _filled(_PHRASES.get(tool, ("", ""))[1], arguments) or call_text(tool, arguments)


def call_text(tool: str, arguments: Mapping[str, object]) -> str:
    """Write a call as a call.

    Example:
        >>> call_text("refund", {"order": 7, "to": ["a"]})
        'refund(order=7, to=a)'
    """
    inner = ", ".join(f"{name}={short(value)}" for name, value in arguments.items())
    return f"{tool}({inner})"


def receipt(value: object) -> str:
    """Return what a result gives one to hold on to, if it gives anything."""
    match value:
        case {"message_id": str() as name} | {"receipt": str() as name} | {"id": str() as name}:
            return short(name)
        case str() if value and len(value) <= VALUE_MAX:
            return short(value)
        case _:
            return ""


def once_said(text: str) -> str:
    """Leave out the hint that an error carries on a line of its own.

    Example:
        >>> once_said("no such file" + chr(10) + "hint: look again")
        'no such file'
    """
    return _HINT.sub("", text).strip()


def reason(why: str) -> str:
    """Return why the governor chose what it did, without the name of the kind.

    Example:
        >>> reason("nothing in this run can mend it; tool_bug after 2 attempts: KeyError")
        'nothing in this run can mend it: KeyError'
    """
    return _KIND.sub(": ", once_said(why), count=1)


def verdict(why: str) -> str:
    """Return only what the governor chose, where what failed has been told.

    Example:
        >>> verdict("nothing in this run can mend it; tool_bug: KeyError")
        'nothing in this run can mend it'
    """
    return _KIND.split(once_said(why), maxsplit=1)[0]


def short(value: object, *, limit: int = VALUE_MAX) -> str:
    """Write a value in one piece: lists of words with commas, everything else as JSON."""
    match value:
        case str():
            text = value
        case list() | tuple() if all(
            isinstance(part, str) for part in cast("Sequence[object]", value)
        ):
            text = ", ".join(cast("Sequence[str]", value))
        case _:
            text = msgspec.json.encode(value).decode()
    return text if len(text) <= limit else f"{text[:limit]}…"


def span(seconds: float) -> str:
    """Write a time as people say it, in the largest unit that says enough.

    Example:
        >>> span(7.4), span(95), span(5400)
        ('7 s', '95 s', '90 min')
    """
    for limit, unit, name in ((_SECONDS_SHOWN, 1, "s"), (_MINUTES_SHOWN, 60, "min")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 3600:.1f} h"


def _filled(phrase: str, arguments: Mapping[str, object]) -> str:
    names = [name for _, name, _, _ in Formatter().parse(phrase) if name]
    if not phrase or not all(name in arguments for name in names):
        return ""
    return phrase.format_map({name: short(arguments[name]) for name in names})

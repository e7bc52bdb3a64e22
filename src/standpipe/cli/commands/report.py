"""`report`, `log` and `why`: what happened, as a page, a log and the story of one action."""

import re
from argparse import Namespace
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from standpipe.cli.render import report_lines
from standpipe.cli.runs import asked, entries_of, report_of
from standpipe.cli.terminal import as_json, show
from standpipe.desk.inert import inert
from standpipe.desk.markdown import report_as_markdown
from standpipe.desk.script import turns
from standpipe.desk.sentences import Tone, sentences
from standpipe.desk.why import stories, why as story_of
from standpipe.ids import run_of
from standpipe.journal.entries import Entry

LOST = 5
_ACTION = re.compile(r"r\d+\.", re.IGNORECASE)  # else it is the name of a run


class LogLine(Struct, frozen=True):
    """One entry of `log --json`: the sentence, and the entry as it was written."""

    seq: int
    at: str
    kind: str
    key: str
    text: str
    data: object


def report(options: Namespace) -> int:
    """Print a report; without a run the last one's. A killed run cannot tell, so this does: 5."""
    if options.script:
        return _script(options)
    found = asked(options.home, lambda store: report_of(store, options.home, options.run))
    if options.json:
        print(as_json(found))
    elif options.md:
        print(report_as_markdown(found), end="")
    else:
        show(report_lines(found, home=options.home))
    return LOST if found.status == "lost" else 0


def log(options: Namespace) -> int:
    """Print a run as it happened."""
    entries = asked(options.home, lambda store: entries_of(store, options.home, options.run))
    if options.json:
        print(as_json(_logged(entries)))
        return 0
    show((inert(_line(entry, told.text)), told.tone) for entry, told in sentences(entries))
    return 0


def why(options: Namespace) -> int:
    """Print the story of one action; of a run, what became of each."""
    action = options.action
    run = run_of(action) if _ACTION.match(action) else action
    entries = asked(options.home, lambda store: entries_of(store, options.home, run))
    if run == action:
        return _actions(entries, options)
    story = story_of(entries, action)
    if options.json:
        print(as_json(story))
        return 0
    show([(inert(f"{story.action} {story.tool}: {story.outcome}"), Tone.PERSON)])
    show((f"  {inert(line)}", Tone.PLAIN) for line in story.sentences)
    return 0


def _line(entry: Entry, text: str) -> str:
    """Write a line of the log, with the action that `why` takes."""
    return " ".join(filter(None, (entry.at[11:19], entry.action, text)))


def _actions(entries: Sequence[Entry], options: Namespace) -> int:
    found = stories(entries)
    if options.json:
        print(as_json(found))
        return 0
    show((inert(f"{one.action} {one.tool}: {one.outcome}"), Tone.PLAIN) for one in found)
    if not found:
        show([("this run proposed no action", Tone.QUIET)])
    return 0


def _logged(entries: Sequence[Entry]) -> list[LogLine]:
    told = {entry.seq: sentence.text for entry, sentence in sentences(entries)}
    return [
        LogLine(e.seq, e.at, e.kind, e.key, told.get(e.seq, ""), msgspec.to_builtins(e.body))
        for e in entries
    ]


def _script(options: Namespace) -> int:
    """Print what the model said as a script, so that the run can be played again."""
    from standpipe.adapters.script import (  # noqa: PLC0415 -- loads Pydantic AI
        Call,
        Turn,
        write_script,
    )

    entries = asked(options.home, lambda store: entries_of(store, options.home, options.run))
    played = [
        Turn(turn.say, tuple(Call(call.name, call.arguments) for call in turn.calls))
        for turn in turns(entries)
    ]
    print(write_script(played), end="")
    return 0

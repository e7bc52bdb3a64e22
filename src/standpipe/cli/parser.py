"""The commands as one table: their names, arguments, help and where they live.

Rule 1: a parser is built for the one command that was typed (argparse: no import beyond the standard library).
Rule 2: every command's help teaches with an example.
"""

import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import NamedTuple, NoReturn

from standpipe import __version__
from standpipe.errors import UsageError
from standpipe.ids import caller_id

Arguments = Callable[[ArgumentParser], None]
_COMMANDS = "standpipe.cli.commands"
_PRIORITY_MAX, _RUNS_MAX, _DAYS_MAX = 1_000_000, 1_000, 36_500


class Command(NamedTuple):
    """One command. `runs` is `module:function`; the first eight people need are `shown`."""

    runs: str
    summary: str
    example: str
    arguments: Arguments
    shown: bool = False


class Parsed(NamedTuple):
    """What was typed."""

    command: Command
    options: Namespace


def parse(arguments: Sequence[str]) -> Parsed | None:
    """Read a command line; None when it only asked for help, which is printed.

    Raises:
        UsageError: there is no such command or option.
    """
    match list(arguments):
        case [] | ["-h" | "--help"] | ["help"]:
            print(overview(everything=False))
        case ["-h" | "--help" | "help", "--all"] | ["--all", "-h" | "--help"]:
            print(overview(everything=True))
        case ["-V" | "--version"]:
            print(f"standpipe {__version__}")
        case [first, second, *rest] if f"{first} {second}" in COMMANDS:
            return _parsed(f"{first} {second}", rest)
        case [first, *rest] if first in COMMANDS:
            return _parsed(first, rest)
        case [first, "-h" | "--help"] if _below(first):
            print(
                "\n".join(
                    f"standpipe {name:<18} {COMMANDS[name].summary}" for name in _below(first)
                )
            )
        case typed:
            raise _unknown(typed)
    return None


def overview(*, everything: bool) -> str:
    """Return the help: the eight commands people need, or all of them."""
    listed = {name: one for name, one in COMMANDS.items() if one.shown or everything}
    lines = [f"  {name:<18} {one.summary}" for name, one in listed.items()]
    rest = "" if everything else "\n`standpipe --help --all` shows the rest."
    return (
        "standpipe: one gate between an agent and the world\n\n"
        "usage: standpipe COMMAND [--home DIR] ...\n\n"
        + "\n".join(lines)
        + f"\n\n`standpipe COMMAND --help` shows an example.{rest}"
    )


def _parsed(name: str, rest: Sequence[str]) -> Parsed | None:
    command = COMMANDS[name]
    parser = _Parser(
        prog=f"standpipe {name}",
        description=command.summary,
        epilog=f"example:\n  {command.example}",
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.arguments(parser)
    try:
        return Parsed(command, parser.parse_args(rest))
    except SystemExit:  # argparse has printed the help
        return None


class _Parser(ArgumentParser):
    """Raise our own error instead of leaving the program."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}", hint=f"{self.prog} --help")


def _below(first: str) -> list[str]:
    """Return the commands that begin with a word, as `failures list` with `failures`."""
    return [name for name in COMMANDS if name.startswith(f"{first} ")]


def _unknown(typed: Sequence[str]) -> UsageError:
    if below := _below(typed[0]):
        return UsageError(
            f"`{typed[0]}` needs one more word", hint=" | ".join(f"standpipe {n}" for n in below)
        )
    near = get_close_matches(typed[0], COMMANDS, n=1)
    hint = f"did you mean `standpipe {near[0]}`?" if near else "standpipe --help --all"
    return UsageError(f"no command `{typed[0]}`", hint=hint)


def _home(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--home", metavar="DIR", help="the agent's folder (default: the current one)"
    )


def _reading(parser: ArgumentParser) -> None:
    _home(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def _with_run(parser: ArgumentParser) -> None:
    what = "its id, a prefix of it, or the caller's --id; without it the last run"
    parser.add_argument("run", nargs="?", metavar="RUN", help=what)
    _reading(parser)


def _one_run(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="its id, a prefix of it, or the caller's --id")
    _reading(parser)


def _init(parser: ArgumentParser) -> None:
    parser.add_argument("target", metavar="DIR", help="the folder to make")
    parser.add_argument(
        "--model", metavar="STRING", help="openai:..., anthropic:..., ollama:..., script:FILE"
    )
    adopt = parser.add_mutually_exclusive_group()
    text = "take over the CLAUDE.md or AGENTS.md that lies there"
    adopt.add_argument("--adopt", action="store_true", default=None, help=text)
    adopt.add_argument("--no-adopt", dest="adopt", action="store_false", help="leave it alone")


def _run(parser: ArgumentParser) -> None:
    what = "text, a task id, a task file; or a run, which goes on where it stopped"
    parser.add_argument("task", nargs="?", metavar="TASK|RUN", help=what)
    parser.add_argument(
        "--model", metavar="STRING", help="openai:..., anthropic:..., ollama:..., script:FILE"
    )
    parser.add_argument("--tools", metavar="A,B", help="the only tools this run may use")
    parser.add_argument(
        "--id", metavar="ID", type=caller_id, help="your name for it: same id, same run"
    )
    parser.add_argument(
        "--unfinished", action="store_true", help="go on with everything that can go on"
    )
    parser.add_argument(
        "--detach", action="store_true", help="ask nothing here: park every question"
    )
    _reading(parser)


def _submit(parser: ArgumentParser) -> None:
    parser.add_argument("task", metavar="TASK", help="text, a task id or a task file")
    parser.add_argument(
        "--id", metavar="ID", type=caller_id, help="your name for it: same id, same run"
    )
    parser.add_argument("--model", metavar="STRING", help="another model than standpipe.toml names")
    when = parser.add_mutually_exclusive_group()
    what = "not before: 2026-11-23T07:30:00+01:00, or 07:30 for the next time the clock shows it"
    when.add_argument("--at", metavar="TIME", help=what)
    when.add_argument("--delay", metavar="SPAN", help="not before this is over: 30s, 5m, 2h, 1d")
    _queue(parser)
    what = "of two that are due, the higher number begins first (default: 0)"
    parser.add_argument("--priority", metavar="N", type=_whole(_PRIORITY_MAX), default=0, help=what)
    _reading(parser)


def _worker(parser: ArgumentParser) -> None:
    what = "runs that are worked on at once (default: 1)"
    parser.add_argument(
        "--concurrency", metavar="N", type=_whole(_RUNS_MAX, least=1), default=1, help=what
    )
    _queue(parser)
    what = "how long an action in flight may go on after SIGTERM (default: 25s)"
    parser.add_argument("--grace", metavar="SPAN", default="25s", help=what)
    _home(parser)
    parser.add_argument("--json", action="store_true", help="print one line of JSON per event")


def _queue(parser: ArgumentParser) -> None:
    what = "the workers of which queue (default: default)"
    parser.add_argument("--queue", metavar="Q", default="default", help=what)


def _resume(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--detach", action="store_true", help="ask nothing here: park every question"
    )
    parser.add_argument(
        "--model", metavar="STRING", help="another model than the one it began with"
    )
    _one_run(parser)


def _cancel(parser: ArgumentParser) -> None:
    what = "do not wait for what is under way: it is stopped, and may be in doubt"
    parser.add_argument("--now", action="store_true", help=what)
    _one_run(parser)


def _status(parser: ArgumentParser) -> None:
    parser.add_argument("--line", action="store_true", help="one line")
    _reading(parser)


def _report(parser: ArgumentParser) -> None:
    what = "its id, a prefix of it, or the caller's --id; without it the last run"
    parser.add_argument("run", nargs="?", metavar="RUN", help=what)
    _home(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--md", action="store_true", help="print Markdown")
    form.add_argument(
        "--script", action="store_true", help="print the run as a script for --model script:FILE"
    )


def _why(parser: ArgumentParser) -> None:
    parser.add_argument(
        "action", metavar="ACTION", help="as `report` and `log` show it: r12.3.1; r12 lists them"
    )
    _reading(parser)


def _answer(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="the question, as `inbox` shows it: b3")
    parser.add_argument("text", metavar="TEXT", nargs="+", help="yes, no, 'no: REASON', or words")
    _answering(parser)


def _approve(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="the question, as `inbox` shows it: b3")
    _answering(parser)


def _deny(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="the question, as `inbox` shows it: b3")
    parser.add_argument("reason", metavar="REASON", nargs="*", help="the agent is told")
    _answering(parser)


def _answering(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--detach", action="store_true", help="only answer; do not go on with the run"
    )
    _reading(parser)


def _failures(parser: ArgumentParser) -> None:
    what = "only this one, by the beginning of its id; without it all of the home"
    parser.add_argument("id", nargs="?", metavar="ID", help=what)
    _reading(parser)


def _classify(parser: ArgumentParser) -> None:
    what = "taken like everywhere, and not looked at: no home is needed"
    parser.add_argument("--home", metavar="DIR", help=what)
    parser.add_argument("--json", action="store_true", help="print JSON lines, also on a terminal")


def _boot(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--budget", metavar="N", type=int, help="tokens (default: as a session has)"
    )
    _reading(parser)


def _verify(parser: ArgumentParser) -> None:
    what = "an export to check instead of the journal of a home, `-` for stdin; may be compressed"
    _some_run(parser)
    parser.add_argument("--file", metavar="F", help=what)
    _reading(parser)


def _export(parser: ArgumentParser) -> None:
    what = "only runs with an entry since then, each of them whole, so that it still verifies alone"
    _some_run(parser)
    parser.add_argument("--since", metavar="TIME", help=what)
    parser.add_argument(
        "--json", action="store_true", help="taken like everywhere: it is JSON Lines"
    )
    _home(parser)


def _archive(parser: ArgumentParser) -> None:
    what = "days since the end of a run (default: keep_days of [journal])"
    parser.add_argument("--older-than", metavar="DAYS", type=_whole(_DAYS_MAX, least=0), help=what)
    _reading(parser)


def _migrate(parser: ArgumentParser) -> None:
    what = "a role of PostgreSQL that is given what workers need, and nothing more"
    parser.add_argument("--worker", metavar="ROLE", default="", help=what)
    _reading(parser)


def _whole(most: int, *, least: int | None = None) -> Callable[[str], int]:
    """Read a whole number that is not beyond `most`, nor below `least` (default: `most` below zero)."""
    lowest = -most if least is None else least

    def read(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,9}", text) or not lowest <= int(text) <= most:
            raise ArgumentTypeError(f"`{text}` is no whole number from {lowest} to {most}")
        return int(text)

    return read


def _some_run(parser: ArgumentParser) -> None:
    what = "its id, a prefix of it, or the caller's --id; without it the whole journal"
    parser.add_argument("run", nargs="?", metavar="RUN", help=what)


def _demo(parser: ArgumentParser) -> None:
    parser.add_argument("--keep", metavar="DIR", help="leave everything the demo wrote in DIR")


def _nothing(parser: ArgumentParser) -> None:
    _home(parser)
    parser.add_argument("anything", nargs="*", help="not in this version yet")


COMMANDS: Mapping[str, Command] = {
    "init": Command(f"{_COMMANDS}.init:init", "make an agent home that runs at once",
                    "standpipe init my-agent", _init, shown=True),
    "run": Command(f"{_COMMANDS}.run:run", "let the agent work on a task, or go on with a run",
                   'standpipe run "Answer today\'s support mail" --home my-agent', _run, shown=True),
    "status": Command(f"{_COMMANDS}.status:status", "all runs at a glance",
                      "standpipe status --line", _status, shown=True),
    "inbox": Command(f"{_COMMANDS}.inbox:inbox", "what waits for you",
                     "standpipe inbox", _reading, shown=True),
    "answer": Command(f"{_COMMANDS}.inbox:answer", "answer a question; on a terminal its run goes on",
                      "standpipe answer b3 'no: the price list is from 2024'", _answer, shown=True),
    "report": Command(f"{_COMMANDS}.report:report", "what a run did, and why; without RUN the last one",
                      "standpipe report r12 --md > r12.md", _report, shown=True),
    "connect": Command(f"{_COMMANDS}.connect:connect", "put the coding agent you already use behind the gate",
                       "standpipe connect claude-code", _nothing, shown=True),
    "demo": Command("standpipe.cli.demo.command:demo", "the whole story, without a key, on this machine",
                    "standpipe demo", _demo, shown=True),
    "approve": Command(f"{_COMMANDS}.inbox:approve", "answer yes",
                       "standpipe approve b3", _approve),
    "deny": Command(f"{_COMMANDS}.inbox:deny", "answer no, with a reason for the agent",
                    "standpipe deny b3 wrong customer", _deny),
    "resume": Command(f"{_COMMANDS}.run:resume", "go on with a run that was blocked, killed or interrupted",
                      "standpipe resume r12", _resume),
    "submit": Command(f"{_COMMANDS}.work:submit", "hand a task to workers; ends when it is durably queued",
                      'standpipe submit "Answer today\'s support mail" --at 07:30', _submit),
    "worker": Command(f"{_COMMANDS}.work:worker", "work on what is submitted, and on what is scheduled",
                      "standpipe worker --concurrency 2", _worker),
    "cancel": Command(f"{_COMMANDS}.cancel:cancel", "end a run before its next step, or in the middle of this one",
                      "standpipe cancel r12 --now", _cancel),
    "log": Command(f"{_COMMANDS}.report:log", "a run, line by line, as it happened",
                   "standpipe log r12", _with_run),
    "why": Command(f"{_COMMANDS}.report:why", "the story of one action",
                   "standpipe why r12.3.1", _why),
    "changes": Command(f"{_COMMANDS}.changes:changes", "the files a run changed, with their diffs",
                       "standpipe changes r12", _with_run),
    "undo": Command(f"{_COMMANDS}.changes:undo", "put the files of a run back to the byte",
                    "standpipe undo r12", _one_run),
    "failures list": Command(f"{_COMMANDS}.failures:known", "what failed the same way, over all runs, and what is open",
                             "standpipe failures list", _failures),
    "failures classify": Command(f"{_COMMANDS}.failures:classify", "what would be made of a failure: JSON lines in, JSON lines out",
                                 "standpipe failures classify < lines.jsonl", _classify),
    "memory boot": Command(f"{_COMMANDS}.upkeep:boot", "print exactly what a session would load",
                           "standpipe memory boot --budget 4000", _boot),
    "journal verify": Command(f"{_COMMANDS}.journal:verify", "check every link of the journal: 0 whole, 1 broken",
                              "standpipe journal verify --file journal.jsonl", _verify),
    "journal export": Command(f"{_COMMANDS}.journal:export", "write the journal to stdout as JSON Lines that verify alone",
                              "standpipe journal export > journal.jsonl", _export),
    "journal archive": Command(f"{_COMMANDS}.journal:archive", "put runs that ended long ago into .standpipe/archive/",
                               "standpipe journal archive --older-than 90", _archive),
    "journal migrate": Command(f"{_COMMANDS}.journal:migrate", "bring the journal to the schema of this version",
                               "standpipe journal migrate", _migrate),
}  # fmt: skip

"""`standpipe init DIR`: an agent home that runs at once."""

import shlex
import sys
from argparse import Namespace
from pathlib import Path

from standpipe.cli.scaffold import SCRIPT_MODEL, detect_models, instructions_near, scaffold
from standpipe.cli.terminal import interactive, show
from standpipe.config import load_settings
from standpipe.desk.inert import inert
from standpipe.desk.sentences import Tone
from standpipe.settings import SETTINGS


def init(options: Namespace) -> int:
    """Make a home, say what was found, and what to type next."""
    target = Path(options.target)
    there = (target / SETTINGS).exists()
    found = [] if options.model or there else detect_models()
    model = options.model or (found[0] if found else None)
    written = scaffold(target, model=model, adopt=_adopt(options.adopt, target))
    if options.adopt and instructions_near(target) is None:
        written.append("nothing to take over: no CLAUDE.md or AGENTS.md lies there")
    used = load_settings(target).model or "none"
    lines = [*written, f"model: {used}{_about(used, options.model, found, there=there)}"]
    name = shlex.quote(str(target))
    commands = (
        f'standpipe run "Summarise the notes" --home {name}',
        f"standpipe report --home {name}",
    )
    show([(inert(line), Tone.PLAIN) for line in [*lines, "", "next:"]])
    show([(f"  $ {inert(command)}", Tone.PERSON) for command in commands])
    return 0


def _adopt(said: bool | None, target: Path) -> bool:
    """Ask whether the instructions that lie there become the agent's identity."""
    near = instructions_near(target)
    if said is not None or near is None:
        return bool(said)
    if not interactive():
        text = f"{near.name} lies there and stays as it is; `--adopt` takes it over"
        show([(inert(text), Tone.PLAIN)], stream=sys.stderr)
        return False
    print(
        f"take over {inert(str(near))} as the agent's identity? [y/N] ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    return sys.stdin.readline().strip().casefold() in {"y", "yes"}


def _about(used: str, chosen: str | None, found: list[str], *, there: bool) -> str:
    """Say where the model comes from, and what a person should know about it."""
    notes: list[str] = []
    if there and chosen and chosen != used:
        notes.append(f"{SETTINGS} was there and stays; write `{chosen}` into it")
    if used.startswith("script:"):
        notes.append("a script answers, whatever you ask")
    if used == SCRIPT_MODEL and not (there or chosen):
        notes.append("no model key in the environment, no Ollama on this machine")
    if found[1:]:
        notes.append(f"also found: {', '.join(found[1:])}")
    return f" ({'; '.join(notes)})" if notes else ""

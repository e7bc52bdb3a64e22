"""`standpipe init DIR`: an agent home that runs at once."""

import sys
from argparse import Namespace
from pathlib import Path

from standpipe.cli.scaffold import SCRIPT_MODEL, detect_models, instructions_near, scaffold
from standpipe.cli.terminal import interactive, show
from standpipe.desk.inert import inert
from standpipe.desk.sentences import Tone


def init(options: Namespace) -> int:
    """Make a home, say what was found, and what to type next."""
    target = Path(options.target)
    found = [] if options.model else detect_models()
    model = options.model or (found[0] if found else None)
    written = scaffold(target, model=model, adopt=_adopt(options.adopt, target))
    lines = [*written, _model_line(options.model, found), "", "next:"]
    name = inert(str(target))
    commands = (
        f'standpipe run "Look around and say what you can do" --home {name}',
        f"standpipe status --home {name}",
    )
    show([(inert(line), Tone.PLAIN) for line in lines])
    show([(f"  $ {command}", Tone.PERSON) for command in commands])
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


def _model_line(chosen: str | None, found: list[str]) -> str:
    if chosen:
        return f"model: {chosen}"
    if not found:
        return f"model: {SCRIPT_MODEL} (no model key in the environment, no Ollama on this machine)"
    others = f"; also found: {', '.join(found[1:])}" if found[1:] else ""
    return f"model: {found[0]}{others}"

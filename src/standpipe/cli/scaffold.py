"""Make an agent home that runs at once: `standpipe init DIR`.

Rule 1: nothing that exists is overwritten; what was kept is said.
Rule 2: settings name built-in tools only, so that a new tools.py breaks nothing; no file names the
    folder it lies in, so that a home may be copied or moved.
"""

import http.client
import json
from collections.abc import Mapping
from pathlib import Path

from standpipe.config import Environment, environment
from standpipe.errors import UsageError
from standpipe.files import is_list, is_table, read_text, write_atomic

SCRIPT_MODEL = "script:story.yaml"
OLLAMA_PORT = 11434

_INSTRUCTIONS = ("CLAUDE.md", "AGENTS.md")
_IDENTITY_FILE = "brain/IDENTITY.md"
_INSTRUCTIONS_BYTES = 256 * 1024
_PROBE_SECONDS = 0.3
_ANSWER_BYTES = 256 * 1024
_MODELS = {  # one that calls tools well and is not the dearest
    "ANTHROPIC_API_KEY": "anthropic:claude-sonnet-5-5",
    "OPENAI_API_KEY": "openai:gpt-6.1-terra",
}
_REAL = '"anthropic:...", "openai:...", "ollama:..."'
_SCRIPTED = f'"{SCRIPT_MODEL}": a model that reads its answers from a file'
_FOLDERS = (
    "brain/lessons",
    "brain/tasks/open",
    "brain/tasks/blocked",
    "brain/decisions",
    "brain/notes",
    "brain/inbox",
)


def scaffold(
    target: Path, *, model: str | None = None, adopt: bool = False, here: Path | None = None
) -> list[str]:
    """Write the files of a home; return one line about each.

    With `adopt` the instructions found by `instructions_near` become the agent's identity, unless
    a person has written one.

    Raises:
        UsageError: the home cannot be made there.
    """
    found = instructions_near(target, here) if adopt else None
    try:
        for folder in _FOLDERS:
            (target / folder).mkdir(parents=True, exist_ok=True)
        adopted = [_take_over(target / _IDENTITY_FILE, found)] if found else []
        return [*adopted, *(_write(target, name, text) for name, text in _files(model).items())]
    except OSError as error:
        hint = "choose a folder that you may write to"
        raise UsageError(f"cannot make a home in `{target}`: {error.strerror}", hint=hint) from None


def instructions_near(target: Path, here: Path | None = None) -> Path | None:
    """Return the CLAUDE.md or AGENTS.md that lies in the target, else in the current folder."""
    folders = (target, here or Path.cwd())
    return next(
        (path for one in folders for name in _INSTRUCTIONS if (path := one / name).is_file()), None
    )


def detect_models(
    *, variables: Environment = environment, ollama_port: int = OLLAMA_PORT
) -> list[str]:
    """Return a model for each key in the environment, and one for a local Ollama that answers."""
    keys = variables.model_keys()
    found = [model for name, model in _MODELS.items() if name in keys]
    local = _first_ollama_model(ollama_port)
    return [*found, f"ollama:{local}"] if local else found


def _first_ollama_model(port: int) -> str | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PROBE_SECONDS)
    try:
        connection.request("GET", "/api/tags")
        answer: object = json.loads(connection.getresponse().read(_ANSWER_BYTES))
    except (OSError, ValueError, http.client.HTTPException):
        return None  # nobody there, or somebody who is not Ollama
    finally:
        connection.close()
    models = answer.get("models") if is_table(answer) else None
    first = models[0] if is_list(models) and models else None
    name = first.get("name") if is_table(first) else None
    return name if isinstance(name, str) else None


def _take_over(identity: Path, found: Path) -> str:
    """Make instructions the identity, where nobody has written one yet."""
    text = read_text(found, limit_bytes=_INSTRUCTIONS_BYTES).removeprefix("\ufeff")
    adopted = f"<!-- taken over from {found.name} by `standpipe init`; that file is not read any more -->\n\n{text}"
    if identity.exists() and identity.read_text(errors="replace") not in {_IDENTITY, adopted}:
        return f"{found.name} not taken over: {_IDENTITY_FILE} exists"
    identity.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(identity, adopted)
    return f"took over {found.name} as {_IDENTITY_FILE}"


def _write(target: Path, name: str, text: str) -> str:
    path = target / name
    if path.exists():
        return f"kept {name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text)
    return f"wrote {name}"


def _files(model: str | None) -> Mapping[str, str]:
    chosen = model or SCRIPT_MODEL
    others = _REAL if chosen.startswith("script:") else _SCRIPTED
    settings = _SETTINGS.replace("MODEL", json.dumps(chosen)).replace("OTHERS", others)
    return {
        "standpipe.toml": settings,
        "tools.py": _TOOLS,
        "story.yaml": _STORY,
        "brain/brain.toml": _BRAIN,
        _IDENTITY_FILE: _IDENTITY,
        "brain/PINNED.md": _PINNED,
        "checks/README.md": _CHECKS,
        "workspace/notes.txt": _NOTES,
        ".gitignore": _IGNORE,
    }


_SETTINGS = """\
# What this agent may do and spend. An unknown key is an error with its line.

model = MODEL          # or OTHERS

[budgets]              # of one run; "none" is no limit
model_calls = 50
actions = 200
minutes = 30
cost_usd = 5.0

[egress]
allow = []             # hosts that http_get and http_send may reach: "api.example.com"

[tools.send_email]
known = { to = [] }    # recipients that need no question: "*@example.com"

# [mail]               # smtp = "127.0.0.1:2525"   maildir = "mail"   from = "me@example.com"
# [secrets.SHOP_TOKEN] # a NAME in the environment, never the value
# hosts = ["api.example.com"]
# header = "Authorization: Bearer {}"
"""

_TOOLS = '''\
"""Your own tools. Each is a typed function; its docstring is what the model reads."""

import standpipe as sp


@sp.tool(effect="read", local=True)
def word_count(text: str) -> int:
    """Count the words of a text."""
    return len(text.split())


# effect: "read" changes nothing, "idempotent" may be done twice, "once" must not be.
# A tool that says nothing is taken for `once`, and asks before each call.
#
# @sp.tool(effect="once", control=["to"])
# async def send_letter(to: str, text: str) -> str:
#     """Send a letter by post."""
'''

_STORY = """\
# A script for `model = "script:story.yaml"`: the answers of a model, one turn after the other.
# The tools are real, only the model is not. Write your own to test your agent without a key.

turns:
  - call: {read_file: {path: notes.txt}}
  - call:
      write_file:
        path: summary.txt
        content: "Open until Friday: the price list, and the answer to Ann.\\n"
        why: "the task asks for a summary of the notes"
  - done:
      summary: "Wrote workspace/summary.txt from the notes."
      evidence: ["workspace/summary.txt"]
then: stop
"""

_BRAIN = """\
# Kept by people; the runtime only reads it.
schema = 1
"""

_IDENTITY = """\
# Who you are

You are a careful assistant. You read before you write, you say why, and you ask when you are not sure.

<!-- Written by people, loaded in every session. Say here what this agent is for. -->
"""

_PINNED = """\
# Always true

<!-- Written by people, loaded in every session. One fact or rule on each line. -->
"""

_CHECKS = """\
# checks/

Executables of any language. Each runs before a task counts as done, with JSON on its standard input;
anything but exit code 0 sends the agent back with what was printed.
"""

_NOTES = """\
Notes of Monday
- Ann asked for the 2026 price list; answer her by Friday
- the price list still lacks the shipping costs
"""

_IGNORE = """\
# the journal, indexes, locks: local, or made anew
.standpipe/
"""

"""The folder of one trial: the tool, the same for every peer, and how a peer is started on it.

Rule 1: the tool is written once, as text. Standpipe's has a decorator above it and nothing else.
Rule 2: Standpipe is used as its users do: `standpipe init`, a tools.py, `standpipe run --json`.
"""

import atexit
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from failures_lab.environments import Environment
from failures_lab.scenarios import EFFECT, Pace, Scenario

PEERS = Path(__file__).resolve().parents[1] / "failures_peers"
TASKS = {"fetch_orders": "Report the open orders", "send_invoice": "Send the invoice of today"}
CLIENT_SECONDS = 5.0  # of a tool's client where nothing hangs: httpx's own default
TOOL = '''\
import json

import httpx
{imports}

def ask(customer, request):
    query = {{"customer": customer, "request": request}}
    answer = httpx.request({method!r}, {url!r}, params=query, timeout={timeout!r})
    answer.raise_for_status()
    return {reads}


def told(error):
    answer = getattr(error, "response", None)
    if answer is None:
        return f"Error: {{type(error).__name__}}: {{error}}"
    wait = answer.headers.get("retry-after")
    after = f" Retry-After: {{wait}}" if wait else ""
    return f"Error: {{error}}{{after}} {{answer.text}}"

{decorator}
def {name}(customer: str, request: str) -> str:
    """{doc}

    Args:
        customer: whose
        request: a name for this request
    """
{body}
'''
RAISE = "    return ask(customer, request)"
STRING = """\
    try:
        return ask(customer, request)
    except Exception as error:
        return told(error)"""
DOCS = {"fetch_orders": "Return the open orders.", "send_invoice": "Send the invoice."}


@dataclass(frozen=True, slots=True)
class Place:
    """What a trial is made of, before it starts."""

    folder: Path
    tool_url: str
    model_url: str

    @property
    def home(self) -> Path:
        return self.folder / "agent"


def command(
    place: Place, scenario: Scenario, style: str, environment: Environment, pace: Pace
) -> Sequence[str | Path]:
    """Write what the peer needs; return how it is started."""
    task = TASKS[scenario.tool]
    if environment.peer.name == "standpipe":
        _make_home(place, scenario, style, environment, pace)
        run = ("-m", "standpipe", "run", task, "--json", "--home", place.home)
        return [environment.python, *run]
    _write_tool(place.folder, scenario, style, place, pace)
    trial = {
        "task": task, "tool": scenario.tool, "model_url": place.model_url,
        "model_seconds": pace.model_seconds if scenario.silent else None,
    }  # fmt: skip
    (place.folder / "trial.json").write_text(json.dumps(trial))
    script = f"run_{environment.peer.name.replace('-', '_')}.py"
    return [environment.python, PEERS / script, place.folder]


def surroundings(place: Place) -> Mapping[str, str]:
    """Return the environment of a peer: ours, with the model's address, and nobody called home."""
    return {
        **os.environ,
        "OPENAI_API_KEY": "sk-test-key",
        "OPENAI_BASE_URL": f"{place.model_url}/v1",
        "PYTHONUNBUFFERED": "1",
        "LANGSMITH_TRACING": "false",
        "OPENAI_AGENTS_DISABLE_TRACING": "1",
        "NO_COLOR": "1",
        "COLUMNS": "300",  # no line of smolagents is cut in the middle of a cause
    }


def _make_home(
    place: Place, scenario: Scenario, style: str, environment: Environment, pace: Pace
) -> None:
    shutil.copytree(_new_home(environment.python), place.home)
    _write_tool(place.home, scenario, style, place, pace, declared=True)
    if scenario.tool == EFFECT:
        with (place.home / "standpipe.toml").open("a") as settings:
            settings.write(f'\n[tools.{EFFECT}]\npolicy = "allow"\n')


@cache
def _new_home(python: Path) -> Path:
    """Return a home as `standpipe init` makes it; made once, copied for each trial."""
    folder = tempfile.TemporaryDirectory(prefix="failures-home-")
    atexit.register(folder.cleanup)
    home = Path(folder.name) / "agent"
    init = [python, "-m", "standpipe", "init", home, "--model", "openai:gpt-test"]
    subprocess.run(init, check=True, capture_output=True)
    return home


def _write_tool(
    folder: Path,
    scenario: Scenario,
    style: str,
    place: Place,
    pace: Pace,
    *,
    declared: bool = False,
) -> None:
    effect = scenario.tool == EFFECT
    timeouts = {"": CLIENT_SECONDS, "client": pace.client_seconds, "none": None}
    limit = f", timeout={pace.client_seconds}" if scenario.hangs == "none" else ""
    kind = "once" if effect else "read"
    text = TOOL.format(
        imports="import standpipe as sp\n" if declared else "",
        method="POST" if effect else "GET",
        url=place.tool_url,
        timeout=timeouts[scenario.hangs],
        reads="json.dumps(answer.json())" if scenario.reads == "json" else "answer.text",
        decorator=f'\n@sp.tool(effect="{kind}"{limit})' if declared else "",
        name=scenario.tool,
        doc=DOCS[scenario.tool],
        body=RAISE if style == "raise" else STRING,
    )
    (folder / "tools.py").write_text(text)

"""A home whose agents do things that must happen once, and the stories they play.

Rule 1: every effect has an order of its own, so the ledger can tell once from twice.
Rule 2: a story is made of its number and the seed alone.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from durable_lab.ledger import Ledger

from standpipe.cli.scaffold import scaffold

TOOLS = '''
import json, os, time, urllib.request

import standpipe as sp

LEDGER, BUSY = "URL", "ELSEWHERE"


def ask(kind: str, order: str, where: str = LEDGER, **said: object) -> object:
    time.sleep(0.03)  # a kill in here leaves an intent whose effect never happened
    body = json.dumps({"pid": os.getpid(), "key": "", **said}).encode() if kind != "look" else None
    with urllib.request.urlopen(f"{where}/{kind}/{order}", body, timeout=60) as answer:
        return json.load(answer)


def was_sent(order: str) -> object:
    return ask("look", order)


@sp.tool(effect="read")
def look(order: str) -> object:
    """Look whether an order has landed."""
    return ask("look", order)


@sp.tool(effect="once", policy="allow", control=[], verify=was_sent, verify_after_seconds=0.5)
def send_verified(order: str) -> object:
    """Send to somebody who can be asked whether it arrived."""
    return ask("verified", order)


@sp.tool(effect="once", policy="allow", control=[], idempotency_key="key")
def send_keyed(order: str, key: str) -> object:
    """Send to somebody who does the same key once."""
    return ask("keyed", order, key=key)


@sp.tool(effect="once", policy="allow", control=[])
def send_blind(order: str) -> object:
    """Send to somebody who honours no key and answers no question."""
    return ask("blind", order)


@sp.tool(effect="once", policy="ask", control=[], verify=was_sent, verify_after_seconds=0.5)
def pay(order: str) -> object:
    """Send what a person has to allow first."""
    return ask("pay", order)


@sp.tool(effect="once", policy="allow", control=[], verify=was_sent, verify_after_seconds=0.5)
def send_when_free(order: str) -> object:
    """Send to somebody who is busy at first."""
    return ask("busy", order, BUSY)
'''
SENDING = ("send_verified", "send_keyed", "send_blind")
SETTINGS = """\
model = "script:stories/1.yaml"
[budgets]
model_calls = "none"
actions = "none"
minutes = "none"
[failures]
same_way = 3           # a kill of a tool is no reason to ask people at once
visible_seconds = 1.0  # a longer wait ends the segment
"""


@dataclass(frozen=True, slots=True)
class Story:
    """What one run is to do: its script, and the orders that must land once each."""

    number: int
    orders: Sequence[str]

    @property
    def name(self) -> str:
        return f"chaos-{self.number}"

    @property
    def task(self) -> str:
        return f"Send what {self.name} says"

    @property
    def model(self) -> str:
        return f"script:stories/{self.number}.yaml"


def story_of(order: str) -> str:
    """Return the name of the run that is to send an order."""
    return f"chaos-{order.partition('-')[0]}"


def make_home(home: Path, ledger: Ledger, more: str = "") -> None:
    """Write a home whose tools talk to the ledger; `more` are further settings."""
    scaffold(home, model="script:stories/1.yaml")
    tools = TOOLS.replace("URL", ledger.url).replace("ELSEWHERE", ledger.busy_url)
    (home / "tools.py").write_text(tools)
    (home / "standpipe.toml").write_text(SETTINGS + more)
    (home / "stories").mkdir()


def make_story(home: Path, number: int, seed: int, *, short: bool = False) -> Story:
    """Write the script of a run: parallel calls, an approval, a wait and a question among them.

    A `short` one has two turns of calls, and only the approval.
    """
    chance = random.Random(f"{seed}-{number}")  # noqa: S311 -- chance, no secret
    held = [("pay", f"{number}-1-1"), (chance.choice(SENDING), f"{number}-1-2")]
    late = [("send_when_free", f"{number}-2-1"), (chance.choice(SENDING), f"{number}-2-2")]
    turns = [held, *(_parallel(chance, f"{number}-{turn}") for turn in range(3, 6)), late]
    turns = turns[:2] if short else turns
    chance.shuffle(turns)
    lines = ["turns:", *(_call(turn) for turn in turns)]
    if not short:
        lines.insert(3, '  - call: {ask_human: {question: "Which colour?"}}')
    lines.append('  - done: {summary: "All sent.", evidence: ["the receipts"]}')
    (home / "stories" / f"{number}.yaml").write_text("\n".join(lines) + "\n")
    return Story(number, [order for turn in turns for tool, order in turn if tool != "look"])


def _parallel(chance: random.Random, prefix: str) -> list[tuple[str, str]]:
    tools = [*SENDING, "look"][: chance.randint(2, 4)]
    return [(tool, f"{prefix}-{place}") for place, tool in enumerate(tools, 1)]


def _call(turn: Sequence[tuple[str, str]]) -> str:
    calls = [
        {tool: {"order": order} | ({} if tool == "look" else {"why": "the task asks for it"})}
        for tool, order in turn
    ]
    return f"  - call: {json.dumps(calls)}"

"""What the record of a run remembers about an action."""

import pytest

from standpipe.actions import Action, Effect, Tool
from standpipe.journal import drafts
from standpipe.journal.entries import Intended
from standpipe.testing.gates import open_gate

SEND = Tool(
    name="send_note", effect=Effect.ONCE, origin="home", policy="allow", control=(), idempotency_key="key"
)  # fmt: skip


def another(action: Action, *, run: str) -> str:
    return "of-a-newer-version"


async def test_an_action_keeps_the_key_it_was_tried_with_when_a_newer_version_derives_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate, _ = await open_gate({"send_note": SEND}, {"send_note": ["receipt"]})
    action = Action(id="r1.1.1", tool=SEND, arguments={"text": "hi"}, why="the task asks for it")
    await gate.perform(action)
    monkeypatch.setattr(drafts, "idempotency_key", another)
    bodies = [entry.body for entry in gate.record.journal.story(action.id)]
    assert [body.idempotency_key for body in bodies if isinstance(body, Intended)] == [
        gate.record.key(action)
    ]

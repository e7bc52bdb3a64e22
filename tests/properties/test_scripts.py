"""Whatever a run did, its script does again."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from standpipe.adapters.script import Call, Turn, load_script, write_script

TEXTS = st.text(st.characters(codec="utf-8"), max_size=90)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=4,
)
NAMES = st.from_regex(r"[a-z_]{2,12}", fullmatch=True)
ENDS = st.builds(
    Call,
    st.sampled_from(["done", "blocked"]),
    st.fixed_dictionaries({"summary": TEXTS, "evidence": st.lists(TEXTS, max_size=2)})
    | st.fixed_dictionaries({"on": TEXTS, "needs": TEXTS})
    | st.dictionaries(TEXTS, VALUES, max_size=2),
)
CALLS = st.builds(Call, NAMES, st.dictionaries(TEXTS, VALUES, max_size=2), st.none() | TEXTS)
TURNS = st.builds(Turn, TEXTS, st.lists(CALLS | ENDS, max_size=2).map(tuple))


@settings(max_examples=60)
@given(turns=st.lists(TURNS, min_size=1, max_size=2))
def test_a_written_script_reads_back_as_the_same_run(
    tmp_path_factory: pytest.TempPathFactory, turns: list[Turn]
) -> None:
    path = tmp_path_factory.getbasetemp() / "story.yaml"
    save(path, turns)
    assert [meant(turn) for turn in load_script(path).turns] == [meant(turn) for turn in turns]


def save(path: Path, turns: list[Turn]) -> None:
    path.write_text(write_script(turns), encoding="utf-8", newline="")


def meant(turn: Turn) -> tuple[str, list[tuple[str, str, str | None]]]:
    """Arguments as JSON text, so that 1, 1.0 and true differ."""
    return turn.say, [(call.name, as_json(call), call.id) for call in turn.calls]


def as_json(call: Call) -> str:
    given = call.arguments
    return json.dumps(json.loads(given) if isinstance(given, str) else dict(given), sort_keys=True)

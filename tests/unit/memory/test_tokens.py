import json
from pathlib import Path

import pytest

from standpipe.memory.tokens import estimate_tokens

# The largest count of cl100k, o200k (tiktoken 0.14) and the older public Anthropic vocabulary
# (all three from litellm 1.109.1) on exactly these texts.
COUNTED = json.loads((Path(__file__).parents[2] / "golden/token_counts.json").read_text("utf-8"))


@pytest.mark.parametrize("kind", COUNTED)
def test_the_estimate_errs_high_and_not_by_much(kind: str) -> None:
    counted = COUNTED[kind]
    assert 0.95 <= estimate_tokens(counted["text"]) / counted["tokens"] <= 1.7


def test_nothing_costs_nothing_and_joining_never_costs_more() -> None:
    assert estimate_tokens("") == 0
    assert estimate_tokens("one\ntwo") <= estimate_tokens("one") + estimate_tokens(
        "\n"
    ) + estimate_tokens("two")

"""Real runs, real kills: nothing happens twice, nothing gets lost, no run fails, and the journal stays whole.

The long form, with its figures, is `benchmarks/chaos.py`; this is the same harness with a few kills.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

CHAOS = Path(__file__).parents[2] / "benchmarks" / "chaos.py"
BROKEN = ("duplicates", "lost", "failed", "asked", "unreal", "broken")

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
]


WAYS = {
    "sqlite": ["--store", "sqlite", "--ways", "run", "--kills", "5"],
    "postgres": ["--store", "postgres", "--ways", "worker", "--workers", "2", "--kills", "4"],
}


@pytest.mark.parametrize("store", WAYS)
def test_runs_that_are_killed_again_and_again_do_everything_once(
    store: str, tmp_path: Path
) -> None:
    any_seed = "7" if os.environ.get("CI") else str(random.SystemRandom().randrange(1_000_000))
    seed = int(os.environ.get("CHAOS_SEED", "") or any_seed)  # CI tries the same story each time
    told = tmp_path / "told.json"
    words = [*WAYS[store], "--every", "0.6", "--short", "--alone", "--seed", str(seed)]
    done = subprocess.run(
        [sys.executable, CHAOS, *words, "--json", told],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    said = f"CHAOS_SEED={seed}\n{done.stdout}\n{done.stderr}"
    assert told.exists(), said
    found = json.loads(told.read_text())
    assert {name: found[name] for name in BROKEN} == {name: [] for name in BROKEN}, said
    assert done.returncode == 0, said

"""Provoke every cause and write second.jsonl: one line per message that was not there before.

python benchmarks/errors_second/make.py [--each 10] [--only LABEL ...] [--out FILE]
"""

import argparse
import json
import shutil
from collections import Counter
from pathlib import Path
from random import Random

import causes_cloud
import causes_commands
import causes_database
import causes_http
import causes_parsing
import servers
from draws import WORK, Cause, Draw

SEED = 20_261_122
FEW = 5


def line(cause: Cause, draw: Draw) -> dict[str, object] | None:
    try:
        cause.provoke(draw)
    except Exception as error:  # noqa: BLE001 -- any failure is what is wanted
        kind = type(error)
        plain = kind.__name__ == "ToolError" and kind.__module__ == "draws"
        return {
            "label": cause.label, "kinds": cause.kinds and list(cause.kinds), "type": kind.__name__,
            "module": "tools" if plain else kind.__module__, "message": str(error), "args": list(dict.fromkeys(draw.args)),
        }  # fmt: skip
    return None


def lines(causes: list[Cause], each: int) -> list[dict[str, object]]:
    made: list[dict[str, object]] = []
    for cause in causes:
        seen: set[str] = set()
        for number in range(each):
            one = line(cause, Draw(Random(f"{SEED}{cause.label}{number}")))  # noqa: S311 -- no secret
            if one is None:
                print(f"{cause.label}: did not fail")
            elif one["message"] not in seen:
                seen.add(str(one["message"]))
                made.append(one)
    return made


def twins(made: list[dict[str, object]]) -> list[str]:
    """Name pairs of labels that share a message: such a set could not be right."""
    owners: dict[str, set[str]] = {}
    for one in made:
        owners.setdefault(str(one["message"]), set()).add(str(one["label"]))
    return sorted({" = ".join(sorted(names)) for names in owners.values() if len(names) > 1})


def all_causes() -> list[Cause]:
    return [*causes_http.CAUSES, *causes_cloud.CAUSES, *causes_database.CAUSES, *causes_parsing.CAUSES,
            *causes_commands.CAUSES]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--each", type=int, default=10, help="tries per cause")
    parser.add_argument("--only", nargs="*", help="labels that start so")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("second.jsonl"))
    options = parser.parse_args()
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    causes = [
        cause
        for cause in all_causes()
        if not options.only or cause.label.startswith(tuple(options.only))
    ]
    with servers.postgres() as postgres, servers.redis() as redis:
        causes_database.PORTS.update(postgres=postgres, redis=redis)
        made = lines(causes, options.each)
    options.out.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in made))
    counts = Counter(str(one["label"]) for one in made)
    print(
        f"{len(made)} messages, {len(counts)} causes; fewer than {FEW}: {[k for k, n in counts.items() if n < FEW]}"
    )
    print(f"twins: {twins(made)}")


if __name__ == "__main__":
    main()

"""Provoke every cause and write third.jsonl: one line per message that was not there before.

python benchmarks/errors_third/make.py [--each 9] [--only LABEL ...] [--out FILE]
"""

import argparse
import json
import shutil
from collections import Counter
from pathlib import Path
from random import Random

import causes_clients
import causes_languages
import causes_mariadb
import causes_parsers
import causes_programs
import causes_web
from draws import HOME, WORK, Cause, Draw

SEED = "third 2026-11-22"
FEWEST = 5


def line(cause: Cause, draw: Draw) -> dict[str, object] | None:
    try:
        cause.provoke(draw)
    except Exception as error:  # noqa: BLE001 -- any failure is what is wanted
        kind = type(error)
        module = "tools" if kind.__name__ == "ToolError" else kind.__module__
        return {"label": cause.label, "kinds": cause.kinds and list(cause.kinds), "type": kind.__name__, "module": module,
                "message": str(error), "args": list(dict.fromkeys(draw.args))}  # fmt: skip
    return None


def lines(causes: list[Cause], each: int) -> list[dict[str, object]]:
    made: dict[str, dict[str, object]] = {}
    for cause in causes:
        for number in range(each):
            one = line(cause, Draw(Random(f"{SEED} {cause.label} {number}")))  # noqa: S311 -- no secret
            if one is None:
                print(f"{cause.label}: did not fail")
            elif made.setdefault(str(one["message"]), one)["label"] != cause.label:
                raise ValueError(f"two labels for one message: {one['message']}")
    return list(made.values())


def all_causes() -> list[Cause]:
    return [*causes_clients.CAUSES, *causes_mariadb.CAUSES, *causes_web.CAUSES, *causes_parsers.CAUSES,
            *causes_languages.CAUSES, *causes_programs.CAUSES]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--each", type=int, default=9, help="tries per cause")
    parser.add_argument("--only", nargs="*", help="labels that start so")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("third.jsonl"))
    options = parser.parse_args()
    shutil.rmtree(WORK, ignore_errors=True)
    for folder in (WORK, HOME / "home"):
        folder.mkdir(parents=True, exist_ok=True)
    wanted = [
        one for one in all_causes() if not options.only or one.label.startswith(tuple(options.only))
    ]
    with causes_mariadb.server():
        made = lines(wanted, options.each)
    counts = Counter(str(one["label"]) for one in made)
    few = {label: count for label, count in counts.items() if count < FEWEST}
    kept = [one for one in made if str(one["label"]) not in few]
    options.out.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in kept))
    print(
        f"{len(kept)} messages, {len(counts) - len(few)} causes; left out, fewer than {FEWEST}: {few}"
    )


if __name__ == "__main__":
    main()

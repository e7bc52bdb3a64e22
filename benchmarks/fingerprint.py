"""Are two failures the same? Which kind are they? Asked of three sets of real messages, and timed.

    python benchmarks/fingerprint.py [--dev FILE] [--second FILE] [--third FILE] [--rounds N] [--misses]

dev        messages the rules were tuned on (the repository has a sample; --dev names the whole set)
second     messages of other libraries and programs, made after the code was frozen (errors_second/)
third      messages of yet others, made by somebody else after what the second set taught (errors_third/)
precision  of all pairs of messages with the same fingerprint, how many have the same cause
recall     of all pairs of messages with the same cause, how many have the same fingerprint
kinds      of the messages whose kind the table decides, how many have an acceptable one
time       judge + fingerprints + recover, per message, the least of N rounds

Pairs are of unique messages. Ours is the cause fingerprint (kind, code, template) of an error with a
type, a module and a message, without the attributes a live exception has. drain3 and the word masks
get the message alone; drain3 in an environment that this script makes, in the order of the file.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from standpipe import __version__
from standpipe.actions import Effect, Tool
from standpipe.governor.fingerprint import Fingerprints, fingerprints
from standpipe.governor.recovery import recover
from standpipe.outcomes.classify import judge
from standpipe.outcomes.evidence import error
from standpipe.outcomes.outcome import Failed

HERE = Path(__file__).parent
SECOND = HERE / "errors_second"
THIRD = HERE / "errors_third"
PEER = "drain3==0.9.11"
TOOL = Tool(name="probe", effect=Effect.READ, origin="declared")
MASKS = tuple(
    re.compile(pattern)
    for pattern in (
        r"\b\w+://\S+", r"\b[\w.+-]+@[\w.-]+\.\w+\b", r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b",
        r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d:\d\d\S*)?", r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b",
        r"\b0x[0-9a-fA-F]+\b", r"\b[0-9a-f]{16,}\b", r"(?:/[\w.-]+){2,}", r"'[^'\n]*'", r'"[^"\n]*"', r"\b\d+(?:\.\d+)?\b",
    )
)  # fmt: skip


class Line(Struct, frozen=True):
    label: str
    kinds: tuple[str, ...] | None
    type: str
    module: str
    message: str
    args: tuple[str, ...]

    @property
    def arguments(self) -> Mapping[str, object]:
        return {f"argument_{number}": value for number, value in enumerate(self.args)}


class Verdict(Struct, frozen=True):
    kind: str
    prints: Fingerprints


class Score(Struct, frozen=True):
    precision: float
    recall: float


class Goal(Struct, frozen=True):
    precision: float
    recall: float
    kinds: float


GOALS = {
    "dev": Goal(1.0, 0.985, 0.97),
    "second": Goal(0.995, 0.97, 0.97),
    "third": Goal(0.995, 0.97, 0.97),
}
MEDIAN_MS, P99_MS = 0.1, 0.5


def read_lines(path: Path) -> list[Line]:
    """Return the lines whose message was not there before."""
    lines: dict[str, Line] = {}
    for text in path.read_bytes().splitlines():
        line = msgspec.json.decode(text, type=Line)
        lines.setdefault(line.message, line)
    return list(lines.values())


def verdict(line: Line) -> Verdict:
    """Do with one message what happens to the failure of a `read` tool."""
    result = error(line.type, line.message, line.module)
    outcome = judge(TOOL, result)
    if not isinstance(outcome, Failed):
        raise TypeError(f"an error was not judged as one: {line.message[:80]}")
    prints = fingerprints(TOOL.name, line.arguments, outcome)
    recover(outcome, tool=TOOL, attempt=1, seen=1, jitter=0.5)
    return Verdict(str(outcome.kind), prints)


def timed(lines: Sequence[Line], rounds: int) -> list[float]:
    """Return the milliseconds of each message, the least of some rounds over all of them."""
    least = [float("inf")] * len(lines)
    for _ in range(rounds):
        for number, line in enumerate(lines):
            start = time.perf_counter()
            verdict(line)
            least[number] = min(least[number], (time.perf_counter() - start) * 1e3)
    return least


def score(lines: Sequence[Line], groups: Sequence[Hashable]) -> Score:
    labels = [line.label for line in lines]
    both = pairs(Counter(zip(labels, groups, strict=True)))
    grouped, true = pairs(Counter(groups)), pairs(Counter(labels))
    return Score(both / grouped if grouped else 1.0, both / true if true else 1.0)


def pairs(counts: Mapping[Hashable, int]) -> int:
    return sum(count * (count - 1) // 2 for count in counts.values())


def kinds_right(lines: Sequence[Line], verdicts: Sequence[Verdict]) -> tuple[int, int]:
    decided = [
        (line.kinds, one.kind) for line, one in zip(lines, verdicts, strict=True) if line.kinds
    ]
    return sum(kind in kinds for kinds, kind in decided), len(decided)


def masked(message: str) -> str:
    for mask in MASKS:
        message = mask.sub("<*>", message)
    return message


def drained(sets: Mapping[str, Sequence[Line]]) -> dict[str, dict[str, list[int]]] | str:
    """Cluster each set with the peer, in an environment made for it."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        venv.create(home, with_pip=True)
        python = home / "bin" / "python"
        install = subprocess.run(
            [python, "-m", "pip", "install", "-q", PEER],
            capture_output=True,
            text=True,
            check=False,
        )
        if install.returncode:
            return f"{PEER} could not be installed: {install.stderr.strip().splitlines()[-1:]}"
        return {title: clustered(python, lines) for title, lines in sets.items()}


def clustered(python: Path, lines: Sequence[Line]) -> dict[str, list[int]]:
    ran = subprocess.run(
        [python, HERE / "peer_drain3.py"], input=json.dumps([line.message for line in lines]),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(ran.stdout)


def row(name: str, got: Score, rest: str = "") -> str:
    return f"  {name:<24}{got.precision:>10.4f}{got.recall:>10.4f}{rest}"


def beside(got: float, goal: float, at_least: Callable[[float, float], bool]) -> str:
    return "reached" if at_least(got, goal) else "MISSED"


def show_goals(title: str, got: Score, kinds: float, times: Sequence[float]) -> None:
    goal = GOALS[title]
    ordered = sorted(times)
    reached = (
        ("precision", got.precision, goal.precision, float.__ge__), ("recall", got.recall, goal.recall, float.__ge__),
        ("kinds right", kinds, goal.kinds, float.__ge__),
        ("median ms", statistics.median(ordered), MEDIAN_MS, float.__le__),
        ("p99 ms", ordered[int(len(ordered) * 0.99)], P99_MS, float.__le__),
    )  # fmt: skip
    for name, value, wanted, holds in reached:
        sign = ">=" if holds is float.__ge__ else "<="
        print(f"    {name:<14}{value:>9.4f}   {sign} {wanted:<7}{beside(value, wanted, holds)}")


def show_misses(lines: Sequence[Line], verdicts: Sequence[Verdict]) -> None:
    """Name what was merged, what was split and whose kind is wrong, by label."""
    owners: dict[str, Counter[str]] = defaultdict(Counter)
    splits: dict[str, Counter[str]] = defaultdict(Counter)
    wrong: Counter[str] = Counter()
    for line, one in zip(lines, verdicts, strict=True):
        owners[one.prints.cause][line.label] += 1
        splits[line.label][f"{one.kind}: {one.prints.template}"] += 1
        if line.kinds and one.kind not in line.kinds:
            wrong[f"{line.label}: {one.kind}, not {' or '.join(line.kinds)}"] += 1
    for labels in owners.values():
        if len(labels) > 1:
            print("  merged   " + ", ".join(f"{label} x{count}" for label, count in labels.items()))
    for label, templates in sorted(splits.items(), key=lambda entry: -len(entry[1])):
        show_split(label, templates)
    for what, count in wrong.most_common():
        print(f"  kind     {what} x{count}")


def show_split(label: str, templates: Counter[str]) -> None:
    if len(templates) > 1:
        print(f"  split    {label} into {len(templates)}")
        for template, count in templates.most_common(3):
            print(f"             x{count} {template[:150]!r}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--dev", type=Path, default=HERE.parent / "tests/golden/errors-sample.jsonl"
    )
    parser.add_argument("--second", type=Path, default=SECOND / "second.jsonl")
    parser.add_argument("--third", type=Path, default=THIRD / "third.jsonl")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--misses", action="store_true", help="what was merged, split and misnamed")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    sets = {title: read_lines(getattr(options, title)) for title in GOALS}
    print(f"standpipe {__version__}, Python {platform.python_version()}, {platform.platform()}, "
          f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {PEER}, {options.rounds} rounds\n")  # fmt: skip
    peers = drained(sets)
    for title, lines in sets.items():
        verdicts = [verdict(line) for line in lines]
        times = timed(lines, options.rounds)
        right, decided = kinds_right(lines, verdicts)
        got = score(lines, [one.prints.cause for one in verdicts])
        print(f"{title}: {len(lines)} messages, {len({line.label for line in lines})} causes, "
              f"{decided} with a decided kind")  # fmt: skip
        print(f"  {'':<24}{'precision':>10}{'recall':>10}")
        print(row("standpipe", got, f"   kinds {right}/{decided}"))
        if not isinstance(peers, str):
            for threshold, groups in peers[title].items():
                print(row(f"drain3 {threshold}", score(lines, groups)))
        print(row("word masks", score(lines, [masked(line.message) for line in lines])))
        show_goals(title, got, right / decided, times)
        if options.misses:
            show_misses(lines, verdicts)
        print()
    if isinstance(peers, str):
        print(peers, file=sys.stderr)


if __name__ == "__main__":
    main()

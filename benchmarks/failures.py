"""What a failure costs, and who is told: six agent frameworks and Standpipe, the same faults.

    python benchmarks/failures.py [--quick] [--peers A,B] [--scenarios A,B] [--styles raise,string]
                                  [--json FILE] [--beside FILE] [--envs DIR]

A scripted model repeats its call until it succeeds; a FaultServer fails as told. Each framework has an
environment of its own, made here once and kept. Peers run with their default settings and are stopped
after 20 s (8 s with --quick), counted from their first request to the model: `>` marks their counts.

tokens     characters of the requests to the model / 4, the same for everybody
inside     requests sent before the Retry-After was over
visible    seconds from the first failing request until a person can read the cause: printed by the
           peer, or for Standpipe shown by its report to another process
end        how it ended, and after how many seconds
true       it claims success exactly where the tool has succeeded
cause      the root cause stands in what the caller is told

--beside takes the rows of the peers from an earlier --json FILE, to measure only Standpipe again.

All of it takes about an hour on two idle cores, --quick half of that.

Every figure of the goal is judged below the tables. What is missed is printed as missed.
"""

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from failures_lab.environments import PEERS, Environment, prepare
from failures_lab.reckoning import Row
from failures_lab.scenarios import FULL, QUICK, SCENARIOS, Pace, Scenario
from failures_lab.tables import heading, line
from failures_lab.trial import measure
from failures_lab.verdicts import OWN, Verdict, summary, verdicts


@dataclass(frozen=True, slots=True)
class Plan:
    environments: Sequence[Environment]
    scenarios: Sequence[Scenario]
    styles: Sequence[str]
    pace: Pace

    def trials(self, scenario: Scenario) -> Iterator[Row]:
        """Run a scenario with everybody, one after the other."""
        for style in scenario.styles:
            if style in self.styles:
                for environment in self.environments:
                    yield measure(scenario, style, environment, self.pace)


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, _leave)
    named = [OWN] if options.beside else options.peers
    peers = [peer for peer in PEERS if peer.name in named]
    plan = Plan(
        environments=[prepare(peer, options.envs) for peer in peers],
        scenarios=[one for one in SCENARIOS if one.name in options.scenarios],
        styles=options.styles,
        pace=QUICK if options.quick else FULL,
    )
    about = _about(plan, options.beside)
    print(about)
    rows: list[Row] = []
    judged: list[Verdict] = []
    for scenario in plan.scenarios:
        found = _told(plan, scenario, options.beside)
        rows += found
        judged += verdicts(scenario, found)
        if options.json:
            _write(options.json, about, rows, judged)
    print(f"\n{summary(judged)}")


def _leave(sign: int, _: object) -> None:
    """End as an exception does, so that no peer outlives us."""
    sys.exit(128 + sign)


def _told(plan: Plan, scenario: Scenario, beside: Path | None) -> list[Row]:
    """Print a table while it is measured, and return its rows."""
    print(f"\n{scenario.name}: {scenario.title}\n{heading()}", flush=True)
    rows: list[Row] = []
    for row in chain(_earlier(beside, scenario, plan.styles), plan.trials(scenario)):
        print(line(row), flush=True)
        rows.append(row)
    return rows


def _earlier(file: Path | None, scenario: Scenario, styles: Sequence[str]) -> Iterator[Row]:
    """Take the peers' rows of a run that was written down; its machine and pace stand in the file."""
    if file:
        for told in json.loads(file.read_text())["rows"]:
            row = Row(**told)
            if row.scenario == scenario.name and row.style in styles and row.peer != OWN:
                yield row


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kept = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "standpipe/benchmarks"
    parser.add_argument("--quick", action="store_true", help="shorter caps and deadlines")
    parser.add_argument("--envs", type=Path, default=kept, help=f"default: {kept}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rows there")
    parser.add_argument("--beside", type=Path, metavar="FILE", help="peers' rows from there")
    _choice(parser, "--peers", [peer.name for peer in PEERS])
    _choice(parser, "--scenarios", [scenario.name for scenario in SCENARIOS])
    _choice(parser, "--styles", ["raise", "string"])
    return parser.parse_args()


def _choice(parser: argparse.ArgumentParser, name: str, known: Sequence[str]) -> None:
    def chosen(text: str) -> list[str]:
        names = text.split(",")
        if wrong := [one for one in names if one not in known]:
            raise argparse.ArgumentTypeError(f"no {', '.join(wrong)}; known: {', '.join(known)}")
        return names

    parser.add_argument(name, type=chosen, default=list(known), metavar="A,B", help=",".join(known))


def _about(plan: Plan, beside: Path | None) -> str:
    today = datetime.now(UTC).date()
    machine = f"{today}, {platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    versions = ", ".join(environment.label for environment in plan.environments)
    pace = plan.pace
    earlier = f"\npeers as measured before: {' '.join(_about_of(beside))}" if beside else ""
    return (
        f"{machine}\n{versions}\n"
        f"peers stopped after {pace.cap_seconds:g} s, a hanging tool has {pace.client_seconds:g} s, "
        f"Retry-After {pace.retry_after_seconds} s; a peer's client of a silent model has "
        f"{pace.model_seconds:g} s for its 600, reckoned back once a request{earlier}"
    )


def _about_of(file: Path) -> Sequence[str]:
    return json.loads(file.read_text())["about"]


def _write(file: Path, about: str, rows: Sequence[Row], judged: Sequence[Verdict]) -> None:
    told = {
        "about": about.splitlines(),
        "rows": [asdict(row) for row in rows],
        "verdicts": [asdict(one) for one in judged],
    }
    file.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()

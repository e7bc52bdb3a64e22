"""Who is told that it is stuck, when, and who is told so wrongly: our rules beside those of four agents.

    python benchmarks/loops.py [--traces] [--seeds N]

given     18 traces from before the rules were written, 9 of them stuck
own       36 more, made with the rules at hand, 18 of them stuck
days      ten honest working days of 100 calls and more (honest_days.py); with --seeds, N times ten
early     stuck traces ended before the call after which a person would have (`stuck_at` in the trace)
late      calls made after that one, median over the stuck traces that were caught and not early
The peers' rules are in our words (peer_loops.py). What Standpipe does at a *first* failure (retry below
the model, refresh, a question) is left out here, and so are everybody's budgets.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from honest_days import days
from msgspec import Struct
from peer_loops import PEERS, Rule

from standpipe import __version__
from standpipe.governor.loops import Step, look
from standpipe.testing.traces import Trace, read_traces, replay

FOLDER = Path(__file__).parent.parent / "tests" / "golden" / "loops"
LOOKS = 300
FirstHalt = Callable[[Trace], int | None]


class Score(Struct, frozen=True):
    caught: int
    stuck: int
    early: int
    late: float | None
    false_alarms: int
    healthy: int


def ours(trace: Trace) -> int | None:
    halt = replay(trace)
    return halt.step if halt else None


def theirs(rule: Rule) -> FirstHalt:
    def first(trace: Trace) -> int | None:
        steps = range(1, len(trace.calls) + 1)
        return next((step for step in steps if rule(trace.calls[max(0, step - 30) : step])), None)

    return first


RULES: dict[str, FirstHalt] = {
    "Standpipe": ours,
    **{name: theirs(rule) for name, rule in PEERS.items()},
}


def score(traces: Sequence[Trace], first: FirstHalt) -> Score:
    stuck = [(trace, first(trace)) for trace in traces if trace.stuck]
    alarms = [first(trace) for trace in traces if not trace.stuck]
    behind = [step - (trace.stuck_at or 0) for trace, step in stuck if step is not None]
    late = [calls for calls in behind if calls >= 0]
    return Score(
        caught=len(behind),
        stuck=len(stuck),
        early=sum(calls < 0 for calls in behind),
        late=statistics.median(late) if late else None,
        false_alarms=sum(step is not None for step in alarms),
        healthy=len(alarms),
    )


def show_scores(sets: dict[str, list[Trace]]) -> None:
    for title, traces in sets.items():
        print(f"{title:<20}{'caught':>9}{'early':>7}{'late':>7}{'false alarms':>15}")
        for name, first in RULES.items():
            got = score(traces, first)
            caught = f"{got.caught}/{got.stuck}" if got.stuck else "-"
            late = "-" if got.late is None else f"{got.late:g}"
            print(
                f"  {name:<18}{caught:>9}{got.early:>7}{late:>7}{got.false_alarms:>9}/{got.healthy}"
            )
        print()


def show_traces(traces: Sequence[Trace]) -> None:
    print(f"{'first told after call':<58}{'person':>7}{''.join(f'{name:>15}' for name in RULES)}")
    for trace in traces:
        told = "".join(f"{first(trace) or '-':>15}" for first in RULES.values())
        print(f"{trace.name:<58}{trace.stuck_at or '-':>7}{told}")
    print()


def microseconds(empty_every: int) -> float:
    """Time one look at a long run in which nothing is wrong."""
    steps = [
        Step(
            tool="search" if n % empty_every == 0 else f"t{n % 7}",
            call=f"c{n}",
            came=f"r{n}",
            ok=True,
            empty=n % empty_every == 0,
        )
        for n in range(1_001)
    ]
    times: list[float] = []
    for _ in range(LOOKS):
        start = time.perf_counter()
        look(steps)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--traces", action="store_true", help="one line per trace")
    parser.add_argument("--seeds", type=int, default=1, help="how many times ten days")
    options = parser.parse_args()
    given, own = (read_traces((FOLDER / f"{name}.jsonl").read_bytes()) for name in ("given", "own"))
    worked = [day for number in range(options.seeds) for day in days(10 * number)]
    calls = sum(len(day.calls) for day in worked)
    print(f"standpipe {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
          f"one look after 1,001 steps: {microseconds(499):.0f} us; if the last is a search, one in 50, that "
          f"finds nothing: {microseconds(50):.0f} us\n")  # fmt: skip
    show_scores({"given": given, "own": own, f"days ({calls} calls)": worked})
    if options.traces:
        show_traces([*given, *own, *worked[:10]])


if __name__ == "__main__":
    main()

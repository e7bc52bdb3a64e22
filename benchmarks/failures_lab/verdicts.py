"""The figures of the goal, held against what was measured.

Rule 1: every figure that a scenario asks is judged in both styles; none is left out because it is missed.
Rule 2: a value that could not be measured is missed.
"""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from failures_lab.reckoning import Row
from failures_lab.scenarios import Limits, Scenario
from failures_lab.tables import short

OWN = "standpipe"
TOLD_SECONDS = 1.0
BLOCKED_SECONDS = 30.0
RECOVERY_SECONDS = 0.5
DATE_SECONDS = 1.0  # a date names a whole second
TOKENS_RATIO = 100


@dataclass(frozen=True, slots=True)
class Verdict:
    scenario: str
    style: str
    figure: str
    limit: str
    value: str
    reached: bool


@dataclass(frozen=True, slots=True)
class Judge:
    """Says what a row reaches."""

    row: Row

    def at_most(self, figure: str, value: float | None, limit: float, unit: str = "") -> Verdict:
        fine = value is not None and value <= limit and not self.row.capped
        shown = "never" if value is None else f"{'> ' if self.row.capped else ''}{value:.4g}{unit}"
        return self.say(figure, f"<= {limit:g}{unit}", shown, reached=fine)

    def say(self, figure: str, limit: str, value: str, *, reached: bool) -> Verdict:
        return Verdict(self.row.scenario, self.row.style, figure, limit, value, reached)


def verdicts(scenario: Scenario, rows: Sequence[Row]) -> list[Verdict]:
    """Judge Standpipe's rows of a scenario, beside those of the peers."""
    found: list[Verdict] = []
    for row in rows:
        if row.peer == OWN:
            peers = [one for one in rows if one.peer != OWN and one.style == row.style]
            found += [*_counts(row, scenario.limits), *_times(row, scenario.limits)]
            found += [*_words(row, scenario.limits), *_tokens(row, peers, scenario.limits)]
    return found


def summary(judged: Sequence[Verdict]) -> str:
    """Return one line per row of Standpipe, and below it what that row misses."""
    lines = ["Standpipe: figures reached"]
    for name, style in dict.fromkeys((one.scenario, one.style) for one in judged):
        mine = [one for one in judged if (one.scenario, one.style) == (name, style)]
        missed = [one for one in mine if not one.reached]
        lines.append(f" {name:<13} {style:<7} {len(mine) - len(missed)}/{len(mine)}")
        lines += [f"    MISSED  {one.figure}: {one.value}, asked {one.limit}" for one in missed]
    reached = sum(one.reached for one in judged)
    return "\n".join(
        [*lines, f"{reached} of {len(judged)} reached, {len(judged) - reached} missed"]
    )


def _counts(row: Row, limits: Limits) -> Iterator[Verdict]:
    judge = Judge(row)
    if limits.model_calls is not None:
        yield judge.at_most("model calls", row.model_calls, limits.model_calls)
    if limits.hits is not None:
        yield judge.at_most("hits", row.hits, limits.hits)
    yield judge.at_most("duplicate effects", row.duplicates, 0)
    yield judge.at_most("requests inside Retry-After", row.inside_retry_after, 0)


def _times(row: Row, limits: Limits) -> Iterator[Verdict]:
    judge = Judge(row)
    if limits.recovers:
        allowed = RECOVERY_SECONDS + (DATE_SECONDS if limits.date else 0)
        yield judge.at_most("recovery after Retry-After", row.recovered_seconds, allowed, " s")
    if limits.told_in_time:
        seen = row.visible_seconds
        late = None if seen is None else max(seen - row.deadline_seconds, 0.0)
        yield judge.at_most("first event after failure or deadline", late, TOLD_SECONDS, " s")
    ended = row.ended_seconds
    late = None if ended is None else max(ended - row.deadline_seconds, 0.0)
    yield judge.at_most("end after failure or deadline", late, BLOCKED_SECONDS, " s")


def _words(row: Row, limits: Limits) -> Iterator[Verdict]:
    judge = Judge(row)
    yield judge.say("end is truthful", "yes", row.end, reached=row.truthful)
    if limits.cause:
        first = row.message.partition("\n")[0][:90]
        yield judge.say("message has its cause", "yes", repr(first), reached=row.cause is True)


def _tokens(row: Row, peers: Sequence[Row], limits: Limits) -> Iterator[Verdict]:
    """Hold the tokens against the median peer; a peer that was stopped had spent at least so much."""
    if limits.tokens and peers:
        whole = [one.prompt_tokens for one in peers]
        yield _fewer(row, "tokens of the whole run", row.prompt_tokens, statistics.median(whole))
        after = [one.tokens_after_failure for one in peers]
        spent = row.tokens_after_failure
        yield _fewer(row, "tokens after the failure", spent, statistics.median(after))


def _fewer(row: Row, figure: str, own: int, median: float) -> Verdict:
    """Say how many times as much the median peer spent; nothing is fewer than nothing."""
    ratio = median / own if own else (math.inf if median else 0.0)
    shown = f"{ratio:.3g} x fewer ({short(own)} against {short(median)})"
    reached = ratio >= TOKENS_RATIO and not row.capped
    return Judge(row).say(figure, f">= {TOKENS_RATIO} x fewer", shown, reached=reached)

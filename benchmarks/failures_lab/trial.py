"""One peer in one scenario: started, watched, ended, and handed over to be reckoned."""

import tempfile
import time
from pathlib import Path

from failures_lab.environments import Environment
from failures_lab.model_server import ModelServer
from failures_lab.reckoning import Row, Trial, own_end, peer_end, row
from failures_lab.scenarios import ROUTE, Pace, Scenario, ok
from failures_lab.watch import Watch, watched
from failures_lab.workplace import Place, command, surroundings

from standpipe.testing import FaultServer

START_SECONDS = 60  # a peer that has not asked its model by then never will
TICK_SECONDS = 0.02


def measure(scenario: Scenario, style: str, environment: Environment, pace: Pace) -> Row:
    """Run one trial in a folder of its own."""
    own = environment.peer.name == "standpipe"
    with (
        tempfile.TemporaryDirectory(prefix="failures-", ignore_cleanup_errors=True) as name,
        FaultServer() as faults,
        ModelServer(scenario.behaviour(pace)) as model,
    ):
        _script(faults, scenario, pace)
        place = Place(Path(name), faults.url + ROUTE, model.url)
        words = command(place, scenario, style, environment, pace)
        home = place.home if own else None
        with watched(words, surroundings(place), scenario.cause, place.folder, home) as watch:
            ended_at = _wait(watch, model, pace.own_cap_seconds if own else pace.cap_seconds)
        code = None if ended_at is None else watch.process.returncode
        trial = Trial(
            scenario=scenario,
            style=style,
            peer=environment.peer.name,
            pace=pace,
            seen=tuple(one for one in faults.requests if one.path.startswith(ROUTE)),
            landed=len(faults.effects),
            asked=tuple(model.asked),
            window_ends=model.window_ends,
            succeeded=model.succeeded,
            visible_at=watch.visible_at,
            ended_at=ended_at,
            end=own_end(code, watch) if own else peer_end(code, place, watch),
        )
    return row(trial)


def _script(faults: FaultServer, scenario: Scenario, pace: Pace) -> None:
    """A fault that holds for a time is over after it; any other is for ever."""
    fault = scenario.fault(pace)
    if fault.holds_seconds:
        faults.script(ROUTE, fault, then=ok())
    else:
        faults.script(ROUTE, fault)


def _wait(watch: Watch, model: ModelServer, cap_seconds: float) -> float | None:
    """Return when the process ended by itself; None where its time was over first."""
    limit = time.monotonic() + START_SECONDS
    begun = False
    while time.monotonic() < limit:
        if watch.process.poll() is not None:
            return time.monotonic()
        if model.asked and not begun:
            begun, limit = True, model.asked[0].at + cap_seconds
        time.sleep(TICK_SECONDS)
    return None

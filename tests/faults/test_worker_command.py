"""Real workers that are told to stop, that are killed, and that share one home.

What is asserted holds however slow the machine is: what a tool did, and what the journal says.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from standpipe.cli.scaffold import scaffold
from standpipe.journal.entries import Entry
from standpipe.journal.projections import RUNS, RunRow, read_row
from standpipe.opening import open_store
from standpipe.runtime import Runtime
from standpipe.testing.postgres import Server, server

TOOLS = '''
import os, time
from pathlib import Path

import standpipe as sp

MARKS = Path("MARKED")  # outside of the workspace: a file that changes there is work


def mark(name: str, word: str) -> None:
    with (MARKS / name).open("a") as file:
        file.write(f"{word}\\n")


def work(name: str) -> str:
    mark("begun", name)
    mark("pids", str(os.getpid()))
    while not (MARKS / "GO").exists():
        time.sleep(0.01)
    mark("done", name)
    return "a receipt"


def was_done(name: str) -> object:
    return name in (MARKS / "done").read_text() if (MARKS / "done").exists() else False


@sp.tool(effect="once", policy="allow", control=[], timeout=300, verify=was_done)
def act(name: str) -> str:
    """Act, and be able to tell whether it happened."""
    return work(name)


@sp.tool(effect="once", policy="allow", control=[], timeout=300)
def act_blindly(name: str) -> str:
    """Act, and be able to ask nobody whether it happened."""
    return work(name)
'''
DATABASE = "STANDPIPE_WORKERS_OF_A_TEST"
LOOKS_MAX = 1_200  # a tenth of a second each, on a machine that does much else

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
]


@dataclass
class Station:
    """A home, and the processes that work on its runs."""

    home: Path
    marks: Path
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    processes: list[subprocess.Popen[bytes]] = field(
        default_factory=list["subprocess.Popen[bytes]"]
    )

    def worker(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a worker, and return when it looks for runs."""
        name = f"out{len(self.processes)}"
        argv = [sys.executable, "-m", "standpipe", "worker", "--json", "--home", str(self.home)]
        with (self.marks / name).open("wb") as out, (self.marks / f"{name}.err").open("wb") as err:
            started = subprocess.Popen(
                [*argv, *words],
                env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8"}
                | dict(self.environment),
                stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            )  # fmt: skip
        self.processes.append(started)
        until(lambda: "ready" in self.text(name), started)
        return started

    def submit(self, name: str = "story", *, tool: str = "act") -> str:
        """Queue a run that calls one tool and is done."""
        call = f"  - call: {{{tool}: {{name: {name}, why: the task asks for it}}}}\n"
        done = "  - done: {summary: Done., evidence: [a receipt]}\n"
        (self.home / f"{name}.yaml").write_text(f"turns:\n{call}{done}")

        async def submitted() -> str:
            model = f"script:{name}.yaml"
            async with Runtime.open(self.home, model=model, tools=False) as runtime:
                return await runtime.submit(f"Act as {name}")

        return asyncio.run(submitted())

    def events(self, worker: int = 0) -> list[Mapping[str, str]]:
        return [json.loads(line) for line in self.lines(f"out{worker}")]

    def text(self, name: str) -> str:
        path = self.marks / name
        return path.read_text() if path.exists() else ""

    def lines(self, name: str) -> list[str]:
        return self.text(name).splitlines()

    def go(self) -> None:
        (self.marks / "GO").touch()

    def rows(self) -> Mapping[str, RunRow]:
        async def read() -> Mapping[str, RunRow]:
            store = open_store(self.home)
            try:
                found = (await store.rows(RUNS)).values()
            finally:
                await store.close()
            rows = [row for text in found if (row := read_row(RunRow, text))]
            return {row.id: row for row in rows}

        return asyncio.run(read())

    def status(self, run: str) -> str:
        return self.rows()[run].status

    def entries(self, run: str) -> Sequence[Entry]:
        async def read() -> Sequence[Entry]:
            store = open_store(self.home)
            try:
                return await store.read(run)
            finally:
                await store.close()

        return asyncio.run(read())


@pytest.fixture
def station(tmp_path: Path) -> Generator[Station]:
    home, marks = tmp_path / "agent", tmp_path / "marks"
    marks.mkdir()
    scaffold(home, model="script:story.yaml")
    (home / "tools.py").write_text(TOOLS.replace("MARKED", str(marks)))
    made = Station(home, marks)
    yield made
    made.go()
    for process in made.processes:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture
def database() -> Generator[Server]:
    """A server of its own: it is killed."""
    with server() as running:
        yield running


@pytest.fixture
def stations(
    station: Station, database: Server, monkeypatch: pytest.MonkeyPatch
) -> Generator[Station]:
    """The same home, with its journal in a database."""
    url = database.database()
    monkeypatch.setenv(DATABASE, url)  # for the reading of this process
    with (station.home / "standpipe.toml").open("a") as file:
        file.write(f'\n[journal]\nstore = "postgres"\nurl_secret = "{DATABASE}"\n')
    station.environment = {DATABASE: url}
    yield station
    for process in station.processes:  # before the server
        process.kill()


def until(condition: Callable[[], object], running: subprocess.Popen[bytes] | None = None) -> None:
    """Look again and again, for as long as what is `running` may still bring it about."""
    for _ in range(LOOKS_MAX):
        over = running is not None and running.poll() is not None
        if condition():
            return
        assert not over, "the worker ended before it came to that"
        time.sleep(0.1)
    raise AssertionError("it never came to that")


def is_gone(pid: int) -> bool:
    """Whether a process has ended; a zombie that waits for its parent has."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # it went before the look, or during it
        return Path("/proc/self").exists()


def test_a_worker_told_to_stop_ends_the_action_in_flight_and_gives_the_run_back(
    station: Station,
) -> None:
    run = station.submit()
    worker = station.worker("--grace", "1h")
    until(lambda: station.lines("begun"), worker)
    worker.terminate()
    until(lambda: "stopping" in station.text("out0.err"), worker)
    station.go()
    assert worker.wait() == 0
    assert station.lines("done") == ["story"]
    assert station.status(run) == "yielded"
    kinds = [entry.kind for entry in station.entries(run)]
    assert kinds[-1] == "segment.ended"
    assert kinds.count("action.outcome") == 1
    other = station.worker()
    until(lambda: station.status(run) == "done", other)
    assert station.lines("done") == ["story"]


def test_a_second_signal_stops_a_worker_at_once_and_what_was_in_flight_is_asked_about(
    station: Station,
) -> None:
    run = station.submit(tool="act_blindly")
    worker = station.worker("--grace", "1h")
    until(lambda: station.lines("begun"), worker)
    worker.send_signal(signal.SIGINT)
    until(lambda: "stopping" in station.text("out0.err"), worker)
    worker.terminate()
    assert worker.wait() == 143
    until(lambda: all(is_gone(int(pid)) for pid in station.lines("pids")))
    station.go()
    other = station.worker()
    until(lambda: station.status(run) == "blocked", other)
    assert station.lines("begun") == ["story"]
    assert [entry.kind for entry in station.entries(run)].count("action.in_doubt") == 1


def test_a_worker_whose_grace_is_over_ends_what_is_in_flight_and_gives_the_run_back(
    station: Station,
) -> None:
    run = station.submit()
    worker = station.worker("--grace", "0.1s")
    until(lambda: station.lines("begun"), worker)
    worker.terminate()
    assert worker.wait() == 0
    until(lambda: all(is_gone(int(pid)) for pid in station.lines("pids")))
    assert station.status(run) == "yielded"


def test_a_run_whose_worker_was_killed_is_taken_over_and_its_effect_is_not_repeated(
    station: Station,
) -> None:
    run = station.submit()
    worker, other = station.worker(), station.worker()
    until(lambda: station.lines("begun"), worker)
    began = next(at for at in (0, 1) if len(station.events(at)) > 1)
    (worker, other)[began].kill()
    until(lambda: len(station.events(1 - began)) > 1)
    station.go()
    until(lambda: station.status(run) == "done")
    assert len(station.lines("done")) == 1
    assert [event["event"] for event in station.events(1 - began)][:2] == ["ready", "began"]


def test_two_workers_share_the_runs_of_a_home_and_do_none_twice(station: Station) -> None:
    station.go()
    names = [f"story{number}" for number in range(6)]
    runs = [station.submit(name) for name in names]
    workers = station.worker("--concurrency", "2"), station.worker("--concurrency", "2")
    until(lambda: {station.rows()[run].status for run in runs} == {"done"}, workers[0])
    for worker in workers:
        worker.terminate()
        assert worker.wait() == 0
    assert sorted(station.lines("done")) == names
    told = [event for at in (0, 1) for event in station.events(at) if event["event"] == "ended"]
    assert sorted(event["run"] for event in told) == sorted(runs)
    assert {event["status"] for event in told} == {"done"}


def test_a_run_that_a_worker_has_is_refused_to_everybody_else_by_name(station: Station) -> None:
    run = station.submit()
    worker = station.worker()
    until(lambda: station.lines("begun"), worker)
    argv = [sys.executable, "-m", "standpipe", "run", run, "--detach", "--home", str(station.home)]
    refused = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert str(worker.pid) in refused.stderr
    assert "hint:" in refused.stderr
    station.go()
    until(lambda: station.status(run) == "done", worker)


def test_a_run_that_cannot_be_is_told_and_stops_no_other(station: Station) -> None:
    station.go()
    bad = station.submit("bad")
    (station.home / "bad.yaml").unlink()
    good = station.submit("good")
    worker = station.worker()
    until(lambda: station.status(good) == "done", worker)
    until(lambda: any(one["event"] == "trouble" for one in station.events()), worker)
    trouble = next(event for event in station.events() if event["event"] == "trouble")
    assert trouble["run"] == bad
    assert "bad.yaml" in trouble["text"]


def test_an_occurrence_of_a_schedule_becomes_one_run_however_many_workers_plan_it(
    station: Station,
) -> None:
    station.go()
    station.submit("tick")  # writes the script
    with (station.home / "standpipe.toml").open("a") as file:
        file.write('\n[[schedule]]\nid = "tick"\ntask = "Tick"\nevery = "1s"\noverlap = "queue"\n')
        file.write('model = "script:tick.yaml"\n')
    workers = station.worker(), station.worker()

    def planned() -> list[RunRow]:
        return [one for one in station.rows().values() if one.caller_id.startswith("schedule-tick")]

    until(lambda: len([one for one in planned() if one.status == "done"]) >= 3, workers[0])
    for worker in workers:
        worker.terminate()
        assert worker.wait() == 0
    names = [row.caller_id for row in planned()]
    assert len(names) == len(set(names))


def test_a_frozen_worker_loses_its_run_and_disturbs_nobody_when_it_thaws(
    stations: Station,
) -> None:
    stations.submit()
    frozen = stations.worker()
    until(lambda: stations.lines("begun"), frozen)
    frozen.send_signal(signal.SIGSTOP)
    other = stations.worker()
    until(lambda: len(stations.events(1)) > 1, other)
    frozen.send_signal(signal.SIGCONT)
    until(lambda: stations.events(0)[-1]["event"] == "gone", frozen)
    until(lambda: is_gone(int(stations.lines("pids")[0])))
    stations.go()
    until(lambda: stations.events(1)[-1]["event"] == "ended", other)
    assert stations.lines("done") == ["story"]
    told = [(event["event"], event.get("status")) for event in stations.events(1)]
    assert told == [("ready", None), ("began", None), ("ended", "done")]
    frozen.terminate()
    assert frozen.wait() == 0


def test_no_run_fails_because_its_database_is_gone_for_a_while(
    stations: Station, database: Server
) -> None:
    runs = [stations.submit(name) for name in ("one", "other")]
    worker = stations.worker("--concurrency", "2")
    until(lambda: len(stations.lines("begun")) == 2, worker)
    database.kill()
    stations.go()
    until(lambda: len(stations.lines("done")) == 2, worker)  # kept in memory meanwhile
    database.start()
    until(lambda: {stations.status(run) for run in runs} == {"done"}, worker)
    assert sorted(stations.lines("done")) == ["one", "other"]
    database.kill()
    worker.terminate()
    assert worker.wait() == 0
    database.start()

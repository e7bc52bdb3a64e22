"""Failures below the model, over runs and processes of one home, each from call to what people see."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from standpipe.actions import Action, Change, Done, Effect, Fault, Raised, Returned, Tool
from standpipe.clock import stamp
from standpipe.desk.answers import give
from standpipe.execution.faults import fault_of
from standpipe.gate import Gate
from standpipe.governor.sites import Site
from standpipe.ids import HOME
from standpipe.journal.ending import must_end
from standpipe.journal.entries import CredentialRefreshed, Draft, Settled, SiteProbed
from standpipe.journal.failures import unresolved
from standpipe.journal.projections import SITES, read_row
from standpipe.journal.views import open_blockers, pointed_at
from standpipe.outcomes.outcome import Failed, Kind, Outcome, Refused, Succeeded, Unknown
from standpipe.stores.memory import MemoryStore
from standpipe.testing.fakes import Crash, FakeClock
from standpipe.testing.gates import Line, ScriptedExecutor, nothing_given, open_gate


class HttpError(Exception):
    """What HTTP clients raise: a status and headers hang on it."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status_code = status
        self.headers = dict(headers or {})


READ = Tool(name="fetch", effect=Effect.READ, origin="home")
OTHER = Tool(name="look_up", effect=Effect.READ, origin="home")
SEND = Tool(name="send_note", effect=Effect.ONCE, origin="home", policy="allow", control=("to",))
FORBIDDEN = HttpError(403, "HTTP 403 Forbidden: scope orders.read is missing")
BUSY = HttpError(503, "HTTP 503 Service Unavailable")


class Home:
    """One home with its clock; each run of it is a gate of its own."""

    def __init__(
        self, tools: Sequence[Tool] = (READ, OTHER, SEND), clock: FakeClock | None = None
    ) -> None:
        self.clock = clock or FakeClock()
        self.credentials: Callable[[str, Sequence[str]], Mapping[str, str]] = nothing_given
        self.store = MemoryStore(self.clock)
        self.tools = {tool.name: tool for tool in tools}

    async def run(self, **lines: Sequence[Line]) -> "Run":
        gate, executor = await open_gate(
            self.tools, {name: list(played) for name, played in lines.items()},
            store=self.store, clock=self.clock,
        )  # fmt: skip
        record = gate.record
        refusals = replace(record.outlook.refusals, credentials=self.credentials)
        outlook = replace(record.outlook, refusals=refusals)
        return Run(replace(gate, record=replace(record, outlook=outlook)), executor)

    async def again(self, run: "Run", **lines: Sequence[Line]) -> "Run":
        gate, executor = await open_gate(
            self.tools, {name: list(played) for name, played in lines.items()},
            store=self.store, clock=self.clock, run=run.id,
        )  # fmt: skip
        return Run(gate, executor, turn=run.turn)

    async def sites(self) -> list[Site]:
        rows = (await self.store.rows(SITES)).values()
        return [row for text in rows if (row := read_row(Site, text))]


class Run:
    """One run of it, which makes one call per response."""

    def __init__(self, gate: Gate, executor: ScriptedExecutor, turn: int = 0) -> None:
        self.gate, self.executor, self.turn = gate, executor, turn

    @property
    def id(self) -> str:
        return self.gate.record.journal.run

    async def call(self, tool: str, **arguments: object) -> Outcome:
        self.turn += 1
        return await self.gate.perform(self.action(tool, f"{self.turn}.1", **arguments))

    def action(self, tool: str, place: str, **arguments: object) -> Action:
        return Action(
            id=f"{self.id}.{place}", tool=self.gate.tool(tool), arguments=arguments, why="x"
        )

    @property
    def asked(self) -> list[str]:
        return list(open_blockers(self.gate.record.journal.entries))

    @property
    def points(self) -> tuple[str, ...]:
        return pointed_at(self.gate.record.journal.entries)


async def test_an_open_site_refuses_every_run_without_an_attempt_and_points_to_the_one_question() -> (
    None
):
    home = Home()
    first = await home.run(fetch=[FORBIDDEN])
    assert isinstance(await first.call("fetch"), Failed)
    [blocker] = first.asked
    second = await home.run(fetch=["data"])
    outcome = await second.call("fetch", day="tuesday")
    assert isinstance(outcome, Refused)
    assert "HTTP 403" in outcome.reason
    assert (second.executor.calls, second.asked, second.points) == ([], [], (blocker,))


async def test_an_answer_closes_the_site_and_the_next_call_is_one_probe() -> None:
    home = Home()
    first = await home.run(fetch=[FORBIDDEN])
    await first.call("fetch")
    [blocker] = first.asked
    await give(home.store, blocker, "the scope is granted", "ann")
    second = await home.run(fetch=["data"])
    assert await second.call("fetch") == Succeeded("data")
    assert [site.count for site in await home.sites()] == [0]


async def test_a_probe_that_fails_asks_at_once_whatever_the_count() -> None:
    tool = Tool(name="fetch", effect=Effect.READ, origin="home", same_way=3)
    home = Home([tool])
    conflict = HttpError(409, "HTTP 409 Conflict: stale version")
    first = await home.run(fetch=[conflict])
    for number in range(3):
        assert first.asked == []
        await first.call("fetch", n=number)
    [blocker] = first.asked
    await give(home.store, blocker, "mended", "ann")
    second = await home.run(fetch=[conflict])
    await second.call("fetch")
    assert len(second.asked) == 1


async def test_a_transient_site_half_opens_after_its_cool_down_for_one_attempt_at_a_time() -> None:
    home = Home()
    first = await home.run(fetch=[BUSY])
    await first.call("fetch")
    home.clock.advance(29)
    assert isinstance(await (await home.run(fetch=["data"])).call("fetch"), Refused)
    home.clock.advance(2)
    second, third = await home.run(fetch=["data"]), await home.run(fetch=["data"])
    refused: list[Outcome] = []

    async def meanwhile() -> None:
        refused.append(await third.call("fetch"))

    second.executor.during = meanwhile
    assert await second.call("fetch") == Succeeded("data")
    assert isinstance(refused[0], Refused)
    assert third.executor.calls == []


async def test_a_failed_probe_opens_the_site_for_twice_as_long_under_the_same_question() -> None:
    home = Home()
    first = await home.run(fetch=[BUSY])
    await first.call("fetch")
    home.clock.advance(31)
    second = await home.run(fetch=[BUSY])
    await second.call("fetch")
    assert (second.asked, second.points) == ([], tuple(first.asked))
    [site] = await home.sites()
    assert (site.open, site.cooldown_seconds) == (True, 60.0)


async def test_a_changed_manifest_half_opens_a_site() -> None:
    home = Home()
    await (await home.run(fetch=[FORBIDDEN])).call("fetch")
    home.tools["fetch"] = Tool(name="fetch", effect=Effect.READ, origin="home", source="edited")
    assert await (await home.run(fetch=["data"])).call("fetch") == Succeeded("data")


async def test_success_of_another_tool_resets_nothing() -> None:
    home = Home()
    run = await home.run(fetch=[HttpError(404, "HTTP 404 no such order")], look_up=["fine"])
    await run.call("fetch", order="a")
    await run.call("look_up")
    await run.call("fetch", order="b")
    assert len(run.asked) == 1


async def test_what_the_model_causes_refuses_only_the_very_same_call_in_other_runs() -> None:
    home = Home()
    first = await home.run(fetch=[HttpError(404, "HTTP 404 no such order")])
    await first.call("fetch", order="a")
    await first.call("fetch", order="a")
    second = await home.run(fetch=["order b"])
    refused = await second.call("fetch", order="a")
    assert isinstance(refused, Refused)
    assert f"{first.id}.2.1" in refused.reason
    assert await second.call("fetch", order="b") == Succeeded("order b")
    third = await home.run(fetch=["order a"])
    assert await third.call("fetch", order="a") == Succeeded("order a")


async def test_an_edit_between_two_equal_failures_is_progress_until_the_fourth() -> None:
    home = Home()
    red = "Error: 1 failed, 12 passed"
    run = await home.run(fetch=[red], look_up=["edited"])
    told = run.executor.attempt

    async def attempt(action: Action, **given: object) -> Done:
        done = await told(action, **given)  # pyright: ignore[reportArgumentType]
        edits = (Change("a.py", "modified"),) if action.tool.name == "look_up" else ()
        return Done(done.result if edits == () else Returned("edited"), changes=edits)

    run.executor.attempt = attempt
    for number in range(3):
        await run.call("fetch", n=number)
        assert run.asked == []
        await run.call("look_up", n=number)
    await run.call("fetch", n=3)
    assert len(run.asked) == 1


async def test_one_refresh_serves_ten_calls_that_were_rejected_together() -> None:
    tool = Tool(name="fetch", effect=Effect.READ, origin="home", refresh="renew_token")
    home = Home([tool])
    rejected = HttpError(401, "HTTP 401 token_expired")
    run = await home.run(fetch=["data"])
    together = asyncio.Barrier(10)

    async def attempt(action: Action, **given: object) -> Done:
        del action, given
        if run.executor.refreshed:
            return Done(Returned("data"))
        await together.wait()  # all ten are out with the old token
        return Done(Raised(fault_of(rejected)))

    run.executor.attempt = attempt
    calls = [run.action("fetch", f"1.{n}", n=n) for n in range(1, 11)]
    outcomes = await asyncio.gather(*map(run.gate.perform, calls))
    assert outcomes == [Succeeded("data")] * 10
    assert run.executor.refreshed == 1
    assert len(run.gate.record.journal.of(CredentialRefreshed)) == 1


async def test_a_second_rejection_after_the_refresh_asks_a_person() -> None:
    tool = Tool(name="fetch", effect=Effect.READ, origin="home", refresh="renew_token")
    home = Home([tool])
    run = await home.run(fetch=[HttpError(401, "HTTP 401 token_expired")])
    await run.call("fetch")
    assert (run.executor.refreshed, len(run.executor.calls), len(run.asked)) == (1, 2, 1)


async def test_twins_of_an_effect_in_doubt_are_held_in_every_run() -> None:
    home = Home()
    first = await home.run(send_note=[TimeoutError("the line went dead")])
    assert isinstance(await first.call("send_note", to="ann", text="one"), Unknown)
    [blocker] = first.asked
    second = await home.run(send_note=["sent"])
    held = await second.call("send_note", to="ann", text="two")
    assert isinstance(held, Refused)
    assert (second.executor.calls, second.points) == ([], (blocker,))
    assert await second.call("send_note", to="bob", text="one") == Succeeded("sent")
    await give(home.store, blocker, "no", "ann")
    again = await home.again(first, send_note=["sent"])
    assert await again.gate.perform(
        again.action("send_note", "1.1", to="ann", text="one")
    ) == Succeeded("sent")
    third = await home.run(send_note=["sent"])
    assert await third.call("send_note", to="ann", text="three") == Succeeded("sent")


async def test_a_call_in_flight_in_a_living_process_is_not_in_doubt() -> None:
    home = Home()
    first, second = await home.run(send_note=["sent"]), await home.run(send_note=["sent"])
    found: list[Outcome] = []

    async def meanwhile() -> None:
        first.executor.during = None
        found.append(await second.call("send_note", to="ann", text="two"))

    first.executor.during = meanwhile
    await first.call("send_note", to="ann", text="one")
    assert found == [Succeeded("sent")]


async def test_nobody_of_the_home_asks_a_host_before_the_time_it_named() -> None:
    home = Home()
    limited = HttpError(429, "HTTP 429 for url 'http://api.shop.example/a'", {"Retry-After": "3"})
    limited.request = type("Request", (), {"url": "http://api.shop.example/a"})()  # type: ignore[attr-defined]
    first = await home.run(fetch=[limited, "data"])
    second = await home.run(look_up=["data"])
    await first.call("fetch", url="http://api.shop.example/a")
    assert home.clock.slept == [3.0]
    del second


async def test_a_wait_beyond_what_people_may_wait_ends_the_run_with_the_time() -> None:
    home = Home()
    run = await home.run(fetch=[HttpError(429, "HTTP 429", {"Retry-After": "3600"}), "data"])
    await run.call("fetch")
    [body] = open_blockers(run.gate.record.journal.entries).values()
    assert (body.kind, body.default) == ("wait", "resume")
    assert body.expires_at == stamp(home.clock.now() + timedelta(hours=1))
    assert home.clock.slept == []


async def test_waits_of_one_call_together_stay_within_the_time_people_see_it() -> None:
    home = Home()
    run = await home.run(fetch=[HttpError(429, "HTTP 429", {"Retry-After": "14"})])
    await run.call("fetch")
    assert sum(home.clock.slept) <= 30
    assert [body.kind for body in open_blockers(run.gate.record.journal.entries).values()] == [
        "wait"
    ]


async def test_repeats_to_a_host_have_a_budget() -> None:
    home = Home()
    url = "http://api.shop.example/a"
    for number in range(8):
        run = await home.run(fetch=[BUSY])
        await run.call("fetch", url=url, n=number)
        for blocker in run.asked:
            await give(home.store, blocker, "try again", "ann")
    last = await home.run(fetch=[BUSY])
    await last.call("fetch", url=url, n=99)
    assert len(last.executor.calls) == 1


async def test_an_alternate_that_worked_resolves_the_failure() -> None:
    mirrored = Tool(name="fetch", effect=Effect.READ, origin="home", alternates=("look_up",))
    home = Home([mirrored, OTHER])
    run = await home.run(fetch=[BUSY], look_up=["from the mirror"])
    assert await run.call("fetch") == Succeeded("from the mirror")
    assert [site.count for site in await home.sites()] == [0]
    assert run.asked == []


async def test_a_loop_is_told_once_and_then_stops_the_run() -> None:
    home = Home()
    run = await home.run(fetch=["the same"])
    told = [await run.call("fetch", q="x") for _ in range(6)]
    assert [type(outcome) for outcome in told] == [Succeeded] * 4 + [Refused] * 2
    assert len(run.executor.calls) == 4
    end = must_end(run.gate.record.journal.entries)
    assert end
    assert (end.status, end.kind) == ("failed", "loop")


async def test_a_way_out_of_a_loop_is_open() -> None:
    home = Home()
    run = await home.run(fetch=["the same"], look_up=["something else"])
    for _ in range(4):
        await run.call("fetch", q="x")
    assert isinstance(await run.call("fetch", q="x"), Refused)
    assert await run.call("fetch", q="another") == Succeeded("the same")
    assert await run.call("look_up") == Succeeded("something else")


@pytest.mark.parametrize("kind", [Kind.FORBIDDEN, Kind.OVERLOADED])
async def test_the_first_failure_is_in_the_journal_before_anything_is_done_about_it(
    kind: Kind,
) -> None:
    home = Home()
    error = FORBIDDEN if kind is Kind.FORBIDDEN else BUSY
    run = await home.run(fetch=[error, "data"])
    seen: list[int] = []
    sleep = home.clock.sleep

    async def watched(seconds: float) -> None:
        seen.append(len(run.gate.record.journal.of(Settled)))
        await sleep(seconds)

    home.clock.sleep = watched
    await run.call("fetch")
    assert seen == ([] if kind is Kind.FORBIDDEN else [1])


async def test_a_lost_probe_lets_another_one_try() -> None:
    home = Home()
    await (await home.run(fetch=[BUSY])).call("fetch")
    [site] = await home.sites()
    home.clock.advance(31)
    until = stamp(home.clock.now() + timedelta(seconds=90))
    await home.store.post(HOME, [Draft("x", SiteProbed(site.site, "r9.1.1", until))])
    assert isinstance(await (await home.run(fetch=["data"])).call("fetch"), Refused)
    home.clock.advance(91)
    assert await (await home.run(fetch=["data"])).call("fetch") == Succeeded("data")


async def test_a_person_may_say_to_go_on_without_it() -> None:
    home = Home()
    first = await home.run(fetch=[FORBIDDEN])
    await first.call("fetch")
    [blocker] = first.asked
    await give(home.store, blocker, "skip", "ann")
    again = await home.again(first, fetch=["data"])
    assert await again.gate.perform(again.action("fetch", "1.1")) == Refused(
        "ann decided to go on without it"
    )
    assert again.executor.calls == []
    assert unresolved(again.gate.record.journal.entries) == []


async def test_a_tool_with_a_bug_is_not_called_by_any_run_until_its_code_changes() -> None:
    home = Home()
    first = await home.run(fetch=[KeyError("day")])

    async def attempt(action: Action, **given: object) -> Done:
        del action, given
        return Done(Raised(Fault(type="KeyError", message="'day'", own_code=True)))

    first.executor.attempt = attempt
    await first.call("fetch")
    end = must_end(first.gate.record.journal.entries)
    assert end
    assert end.status == "failed"
    second = await home.run(fetch=["data"])
    refused = await second.call("fetch")
    assert isinstance(refused, Refused)
    assert "until its code is changed" in refused.reason
    assert second.executor.calls == []
    home.tools["fetch"] = Tool(name="fetch", effect=Effect.READ, origin="home", source="mended")
    assert await (await home.run(fetch=["data"])).call("fetch") == Succeeded("data")


async def test_a_success_ends_the_probation_that_an_answer_began() -> None:
    home = Home()
    first = await home.run(fetch=[HttpError(409, "HTTP 409 Conflict")])
    await first.call("fetch", n=1)
    await first.call("fetch", n=2)
    [blocker] = first.asked
    await give(home.store, blocker, "mended", "ann")
    second = await home.run(fetch=["data", HttpError(409, "HTTP 409 Conflict")])
    assert await second.call("fetch", n=3) == Succeeded("data")
    await second.call("fetch", n=4)
    assert second.asked == []  # the first failure again, not the last


class TickingClock(FakeClock):
    """Time that passes a little whenever anybody looks."""

    def now(self) -> datetime:
        self.advance(0.001)
        return super().now()


async def test_a_wait_as_long_as_people_may_wait_is_slept_and_not_dropped() -> None:
    home = Home(clock=TickingClock())
    run = await home.run(fetch=[HttpError(429, "HTTP 429", {"Retry-After": "30"}), "data"])
    assert await run.call("fetch") == Succeeded("data")
    assert home.clock.slept == [30.0]


async def test_an_effect_without_an_answer_holds_its_twins_while_it_is_being_verified() -> None:
    tool = Tool(
        name="send_note", origin="home", policy="allow", control=("to",), verify=True,
        verify_after_seconds=20,
    )  # fmt: skip
    home = Home([tool])
    first = await home.run(send_note=[TimeoutError("lost")])
    first.executor.verdicts = [None]
    second = await home.run(send_note=["sent"])
    held: list[Outcome] = []
    sleep = home.clock.sleep

    async def meanwhile(seconds: float) -> None:
        held.append(await second.call("send_note", to="ann", text="two"))
        await sleep(seconds)

    home.clock.sleep = meanwhile
    await first.call("send_note", to="ann", text="one")
    assert isinstance(held[0], Refused)
    assert second.executor.calls == []


async def test_a_call_that_may_have_happened_is_put_in_doubt_and_never_denied() -> None:
    keyed = Tool(
        name="send_note", origin="home", policy="allow", control=("to",), idempotency_key="key"
    )
    home = Home([keyed])
    first, second = [await home.run(send_note=[TimeoutError("lost")]) for _ in range(2)]

    async def meanwhile() -> None:
        first.executor.during = None
        second.executor.verdicts = []
        await second.call("send_note", to="ann", text="two")

    first.executor.during = meanwhile
    assert isinstance(await first.call("send_note", to="ann", text="one"), Unknown)
    kinds = [body.kind for body in open_blockers(first.gate.record.journal.entries).values()]
    assert kinds == ["in_doubt"]


async def test_a_twin_of_a_killed_run_blocks_until_that_run_has_gone_on() -> None:
    home = Home()
    first = await home.run(send_note=["sent"])
    killed = first.action("send_note", "1.1", to="ann")

    async def kill() -> None:
        raise Crash

    first.executor.during = kill
    with pytest.raises(Crash):
        await first.gate.perform(killed)
    await home.again(first, send_note=["sent"])  # a newer segment: nobody waits for the old one
    second = await home.run(send_note=["sent"])
    assert isinstance(await second.call("send_note", to="ann"), Refused)
    end = must_end(second.gate.record.journal.entries)
    assert end
    assert (end.status, end.kind, second.executor.calls) == ("blocked", "in_doubt", [])
    assert f"go on with {first.id}" in end.why


async def test_a_host_that_became_known_is_no_change() -> None:
    home = Home()

    def of_the_shop(_: str, hosts: Sequence[str]) -> Mapping[str, str]:
        return {"SHOP": "same"} if "shop.example" in hosts else {}

    home.credentials = of_the_shop
    first = await home.run(fetch=[FORBIDDEN])
    told = first.executor.attempt

    async def attempt(action: Action, **given: object) -> Done:
        done = await told(action, **given)  # pyright: ignore[reportArgumentType]
        return Done(done.result, hosts=("shop.example",))

    first.executor.attempt = attempt
    await first.call("fetch")
    second = await home.run(fetch=["data"])
    assert isinstance(await second.call("fetch"), Refused)


async def test_what_a_host_does_to_two_tools_it_does_to_all_whatever_secrets_they_have() -> None:
    third = Tool(name="list_all", effect=Effect.READ, origin="home")
    home = Home([READ, OTHER, third])

    def of_each_tool(tool: str, _: Sequence[str]) -> Mapping[str, str]:
        return {tool: f"of {tool}"} if tool else {}

    home.credentials = of_each_tool
    url = "https://shop.example/x"
    first, second = await home.run(fetch=[FORBIDDEN]), await home.run(look_up=[FORBIDDEN])
    await first.call("fetch", url=url)
    await second.call("look_up", url=url)
    other = await home.run(list_all=["data"])
    assert isinstance(await other.call("list_all", url=url), Refused)
    assert (other.executor.calls, other.points) == ([], tuple(second.asked))


async def test_a_tool_that_works_is_not_refused_because_another_is_forbidden_at_its_host() -> None:
    home = Home()
    url = "https://shop.example/x"
    for _ in range(2):
        run = await home.run(fetch=[FORBIDDEN])
        await run.call("fetch", url=url)
        await give(home.store, run.asked[0], "mended", "ann")
    run = await home.run(fetch=[FORBIDDEN], look_up=["data"])
    await run.call("fetch", url=url)
    assert await run.call("look_up", url=url) == Succeeded("data")


async def test_going_on_decides_a_refused_call_anew() -> None:
    home = Home()
    first = await home.run(fetch=[FORBIDDEN])
    await first.call("fetch")
    second = await home.run(fetch=["data"])
    await second.call("fetch", day="friday")
    again = await home.again(second, fetch=["data"])
    refused = again.action("fetch", "1.1", day="friday")
    assert isinstance(await again.gate.perform(refused), Refused)
    assert again.points == tuple(first.asked)
    await give(home.store, first.asked[0], "granted", "ann")
    mended = await home.again(second, fetch=["data"])
    assert await mended.gate.perform(refused) == Succeeded("data")


async def test_after_an_answer_one_call_tries_and_the_others_wait_for_it() -> None:
    home = Home()
    first = await home.run(fetch=[FORBIDDEN])
    await first.call("fetch")
    await give(home.store, first.asked[0], "granted", "ann")
    second = await home.run(fetch=["data"])
    meanwhile: list[Outcome] = []

    async def another() -> None:
        second.executor.during = None
        third = await home.run(fetch=["data"])
        meanwhile.append(await third.call("fetch", n=2))

    second.executor.during = another
    assert await second.call("fetch", n=1) == Succeeded("data")
    assert isinstance(meanwhile[0], Refused)
    assert await (await home.run(fetch=["data"])).call("fetch", n=3) == Succeeded("data")


async def test_a_probe_is_one_attempt_and_is_not_repeated() -> None:
    home = Home()
    await (await home.run(fetch=[BUSY])).call("fetch")
    home.clock.advance(31)
    second = await home.run(fetch=[BUSY])
    await second.call("fetch")
    assert second.executor.calls == ["fetch"]


async def test_alternates_do_not_get_past_an_open_site_by_being_fewer() -> None:
    tools = [
        Tool(name="fetch", effect=Effect.READ, origin="home", alternates=("look_up", "list_all")),
        Tool(name="look_up", effect=Effect.READ, origin="home", alternates=("list_all",)),
        Tool(name="list_all", effect=Effect.READ, origin="home"),
    ]
    home = Home(tools)
    first = await home.run(look_up=[FORBIDDEN], list_all=[FORBIDDEN])
    await first.call("look_up")
    for _ in range(3):
        run = await home.run(fetch=[BUSY], look_up=["data"], list_all=["data"])
        await run.call("fetch")
        assert "look_up" not in run.executor.calls
        home.clock.advance(700)


async def test_the_same_question_is_not_asked_of_each_of_many_calls() -> None:
    home = Home()
    wrong = HttpError(422, "HTTP 422 `day` is no date")
    run = await home.run(fetch=[wrong])
    for turn in (1, 2):
        calls = [run.action("fetch", f"{turn}.{n}", n=turn * 100 + n) for n in range(1, 11)]
        await asyncio.gather(*map(run.gate.perform, calls))
    assert len(run.asked) == 1


async def test_a_refused_call_points_to_the_question_that_clears_it() -> None:
    home = Home()
    first = await home.run(fetch=[HttpError(404, "HTTP 404 no such order")])
    await first.call("fetch", order="a")
    await first.call("fetch", order="a")
    second = await home.run(fetch=["order a"])
    await second.call("fetch", order="a")
    await second.call("fetch", order="a")
    assert (second.asked, second.points) == ([], tuple(first.asked))


async def test_a_credential_that_is_renewed_each_time_is_no_change() -> None:
    tool = Tool(name="fetch", effect=Effect.READ, origin="home", refresh="renew_token")
    home = Home([tool])
    now = ["from the environment"]

    def given(_: str, hosts: Sequence[str]) -> Mapping[str, str]:
        del hosts
        return {"TOKEN": now[0]}

    home.credentials = given
    first = await home.run(fetch=[HttpError(401, "HTTP 401 token_expired")])

    async def renewed() -> None:
        now[0] = "renewed" if first.executor.refreshed else now[0]

    first.executor.during = renewed
    await first.call("fetch")
    now[0] = "from the environment"
    second = await home.run(fetch=["data"])
    assert isinstance(await second.call("fetch"), Refused)


async def test_a_run_killed_in_a_refresh_renews_the_credential_when_it_goes_on() -> None:
    home = Home([Tool(name="fetch", effect=Effect.READ, origin="home", refresh="renew_token")])
    first = await home.run(fetch=[HttpError(401, "HTTP 401 token_expired")])
    first.executor.renewed = Crash()
    call = first.action("fetch", "1.1")
    with pytest.raises(Crash):
        await first.gate.perform(call)
    again = await home.again(first, fetch=["data"])
    assert await again.gate.perform(call) == Succeeded("data")
    assert again.executor.refreshed == 1


async def test_what_is_in_doubt_is_listed_until_somebody_knows() -> None:
    home = Home()
    first = await home.run(send_note=[TimeoutError("lost")])
    await first.call("send_note", to="ann")
    [site] = await home.sites()
    assert (site.kind, site.count, site.open) == (Kind.IN_DOUBT, 1, False)
    await give(home.store, first.asked[0], "yes", "ann")
    again = await home.again(first)
    await again.gate.perform(again.action("send_note", "1.1", to="ann"))
    [site] = await home.sites()
    assert (site.count, site.resolved_by) == (0, "ann")

"""What one run of a home learns of hosts, sites, calls and effects, and what the other runs make of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import msgspec
import pytest

from standpipe.actions import Action, Done, Effect, Fault, Raised, Tool
from standpipe.clock import stamp
from standpipe.desk.answers import give
from standpipe.gate import Gate
from standpipe.governor.fingerprint import VERSION, Fingerprints, fingerprints
from standpipe.governor.hosts import TOKENS_MAX, Host
from standpipe.governor.sites import RUNS_MAX, Site
from standpipe.journal.ending import End, closing
from standpipe.journal.entries import BlockedRaised, Draft, Entry, InDoubt, Settled, SiteProbed
from standpipe.journal.projections import (
    CALLS,
    HOST_SITES,
    HOSTS,
    SITES,
    TOOLS,
    TWINS,
    CallRow,
    RunRow,
    ToolRow,
    TwinRow,
    read_row,
)
from standpipe.journal.store import Seen
from standpipe.journal.views import open_blockers, pointed_at
from standpipe.outcomes.outcome import Failed, Outcome, Refused, Succeeded, Unknown
from standpipe.stores.memory import MemoryStore
from standpipe.testing.fakes import Crash, FakeClock
from standpipe.testing.gates import Line, ScriptedExecutor, open_gate

NAMES = ("fetch", "look_up", "list_all")
SHOP, DEPOT = "http://shop.example/orders", "http://depot.example/orders"


class HttpError(Exception):
    def __init__(self, status: int, message: str = "", **headers: str) -> None:
        super().__init__(message or f"HTTP {status}")
        self.status_code = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class StrikeError(Exception):
    """Nothing anybody has a name for: told once, and the second time a person is asked."""


FORBIDDEN, CONFLICT, MISSING = HttpError(403), HttpError(409), HttpError(404, "no such order")
BUSY, BROKEN, REJECTED = HttpError(503), HttpError(500), HttpError(401)
STRIKE = StrikeError("on strike")
SEND = Tool(name="send", effect=Effect.ONCE, origin="home", policy="allow", control=("to",))


@dataclass
class Run:
    """One run, which makes one call per response; `hosts` is whom its tools are seen to talk to."""

    gate: Gate
    executor: ScriptedExecutor
    turn: int = 0

    @property
    def id(self) -> str:
        return self.gate.record.journal.run

    async def call(self, tool: str, url: str = "", **arguments: object) -> Outcome:
        self.turn += 1
        given = {"url": url, **arguments} if url else arguments
        action = Action(
            id=f"{self.id}.{self.turn}.1", tool=self.gate.tool(tool), arguments=given, why="x"
        )
        return await self.gate.perform(action)

    @property
    def asked(self) -> list[str]:
        return list(open_blockers(self.gate.record.journal.entries))

    @property
    def points(self) -> tuple[str, ...]:
        return pointed_at(self.gate.record.journal.entries)

    @property
    def why(self) -> str:
        """Return the reason of the last recovery."""
        last = self.gate.record.journal.of(Settled)[-1].body
        assert isinstance(last, Settled)
        return last.recovery.why


@dataclass
class Home:
    """One home with its clock; each run of it is a gate of its own."""

    tools: dict[str, Tool] = field(
        default_factory=lambda: {
            name: Tool(name=name, effect=Effect.READ, origin="home") for name in NAMES
        }
    )
    clock: FakeClock = field(default_factory=FakeClock)
    secret_version: int = 1
    alive: bool = True
    credentials_asked: list[str] = field(default_factory=list[str])
    store: MemoryStore = field(init=False)

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.clock)

    async def run(
        self, again: Run | None = None, hosts: Sequence[str] = (), **lines: Sequence[Line]
    ) -> Run:
        """Begin a run, or the next segment of one, in which tools play these lines."""
        played = {name: list(lines.get(name, ["data"])) for name in self.tools}
        gate, executor = await open_gate(
            self.tools, played, store=self.store, clock=self.clock, run=again.id if again else None
        )
        refusals = replace(
            gate.record.outlook.refusals,
            credentials=self.credentials,
            alive=self.is_alive,
        )
        record = replace(gate.record, outlook=replace(gate.record.outlook, refusals=refusals))
        if hosts:
            sees(executor, tuple(hosts))
        return Run(replace(gate, record=record), executor, again.turn if again else 0)

    async def is_alive(self, run: RunRow) -> bool:
        del run
        return self.alive

    def credentials(self, tool: str, hosts: Sequence[str]) -> Mapping[str, str]:
        del tool
        self.credentials_asked = [*dict.fromkeys((*self.credentials_asked, *hosts))]
        return {"TOKEN": str(self.secret_version)}

    async def answer(self, blocker: str, said: str = "it is mended") -> None:
        await give(self.store, blocker, said, "ann")

    async def site(self, tool: str) -> Site:
        rows = (await self.store.rows(SITES)).values()
        found = [row for text in rows if (row := read_row(Site, text)) and row.tool == tool]
        return found[-1]

    async def wide(self) -> list[Site]:
        rows = (await self.store.rows(HOST_SITES)).values()
        return [row for text in rows if (row := read_row(Site, text))]

    async def tokens(self, host: str = "shop.example") -> float:
        row = read_row(Host, await self.store.row(HOSTS, host))
        return row.tokens if row else TOKENS_MAX


def sees(executor: ScriptedExecutor, hosts: tuple[str, ...]) -> None:
    """Let its tools be seen to talk to these hosts."""
    told = executor.attempt

    async def attempt(action: Action, **given: object) -> Done:
        done = await told(action, **given)  # pyright: ignore[reportArgumentType]
        return msgspec.structs.replace(done, hosts=hosts)

    executor.attempt = attempt


# -- hosts ---------------------------------------------------------------------------------------


async def test_a_host_that_asked_for_an_hour_is_asked_by_no_tool_of_any_run_before() -> None:
    home = Home()
    limited = HttpError(429, retry_after="3600")
    await (await home.run(fetch=[limited])).call("fetch", SHOP)
    second = await home.run()
    assert isinstance(await second.call("look_up", SHOP), Refused)
    [body] = open_blockers(second.gate.record.journal.entries).values()
    assert (body.kind, second.executor.calls) == ("wait", [])
    assert await second.call("look_up", DEPOT) == Succeeded("data")
    home.clock.advance(3_599)
    third = await home.run()
    assert await third.call("list_all", SHOP) == Succeeded("data")
    assert home.clock.slept == [1.0]


async def test_a_guess_of_ours_how_long_to_wait_holds_for_every_run() -> None:
    home = Home()
    run = await home.run(fetch=[HttpError(429), "data"])
    paused: list[Mapping[str, float]] = []
    sleep = home.clock.sleep

    async def watched(seconds: float) -> None:
        paused.append(await run.gate.record.outlook.refusals.paused())
        await sleep(seconds)

    home.clock.sleep = watched
    assert await run.call("fetch", SHOP) == Succeeded("data")
    assert paused == [{"shop.example": 0.5}]


async def test_a_busy_host_that_names_no_time_pauses_nobody_else() -> None:
    home = Home()
    run = await home.run(fetch=[BUSY])
    await run.call("fetch", SHOP)
    assert await run.gate.record.outlook.refusals.paused() == {}


async def test_whom_a_tool_talks_to_is_learnt_from_its_calls() -> None:
    home = Home()
    await (await home.run(hosts=["shop.example"])).call("fetch")
    await (await home.run(hosts=["shop.example", "depot.example"])).call("list_all")
    limited = HttpError(429, retry_after="3600")
    await (await home.run(look_up=[limited])).call("look_up", SHOP)
    run = await home.run()
    assert isinstance(await run.call("fetch"), Refused)
    # Of several nobody knows which: it may begin, and its worker refuses the one that is paused.
    assert await run.call("list_all") == Succeeded("data")


async def test_a_repeat_in_vain_costs_a_token_and_a_success_earns_a_tenth() -> None:
    home = Home()
    run = await home.run(fetch=[BROKEN, "data"])
    await run.call("fetch", SHOP)
    assert (
        await home.tokens() == TOKENS_MAX
    )  # the first attempt is no repeat, and the second worked
    await (await home.run(fetch=[BROKEN])).call("fetch", SHOP, n=1)
    assert await home.tokens() == TOKENS_MAX - 1
    await (await home.run()).call("look_up", SHOP)
    assert await home.tokens() == TOKENS_MAX - 0.9


async def test_what_a_host_does_to_two_tools_it_does_to_all_of_them() -> None:
    home = Home()
    first = await home.run(fetch=[FORBIDDEN])
    await first.call("fetch", SHOP)
    second = await home.run(look_up=[FORBIDDEN])
    assert isinstance(await second.call("look_up", SHOP), Failed)  # once proves nothing of the host
    assert "seen 2 times the same way" in second.why
    assert len({*first.asked, *second.asked}) == 2
    third = await home.run()
    refused = await third.call("list_all", SHOP)
    assert isinstance(refused, Refused)
    assert refused.reason.startswith("shop.example, whichever tool asks it, failed 2 times")
    assert (third.executor.calls, third.points) == ([], tuple(second.asked))
    assert await third.call("list_all", DEPOT) == Succeeded("data")


async def both_reject(home: Home) -> str:
    await (await home.run(fetch=[REJECTED])).call("fetch", SHOP)
    second = await home.run(look_up=[REJECTED])
    await second.call("look_up", SHOP)
    return second.asked[0]


async def test_an_answer_about_a_host_lets_every_tool_try_it() -> None:
    home = Home()
    await home.answer(await both_reject(home))
    [wide] = await home.wide()
    assert (wide.count, wide.probation, wide.resolved_by) == (0, True, "ann")
    assert await (await home.run()).call("list_all", SHOP) == Succeeded("data")


async def test_a_new_credential_lets_one_call_try_a_host_and_its_success_opens_it_for_all() -> None:
    home = Home()
    await both_reject(home)
    assert isinstance(await (await home.run()).call("look_up", SHOP), Refused)
    home.secret_version = 2
    assert await (await home.run()).call("look_up", SHOP) == Succeeded("data")
    assert [site.count for site in await home.wide()] == [0]
    home.secret_version = 1
    assert await (await home.run()).call("list_all", SHOP) == Succeeded("data")


async def test_a_conflict_of_two_tools_is_no_matter_of_their_host() -> None:
    home = Home()
    run = await home.run(fetch=[CONFLICT], look_up=[CONFLICT])
    await run.call("fetch", SHOP)
    await run.call("look_up", SHOP)
    assert (run.asked, await home.wide()) == ([], [])


# -- sites ---------------------------------------------------------------------------------------


async def test_a_success_at_the_same_place_starts_a_new_count() -> None:
    home = Home()
    run = await home.run(fetch=[STRIKE, "data", STRIKE])
    for number in range(3):
        await run.call("fetch", SHOP, n=number)
    assert run.asked == []
    await run.call("fetch", SHOP, n=4)
    assert len(run.asked) == 1


@pytest.mark.parametrize(("error", "asked"), [(STRIKE, 1), (CONFLICT, 0)])
async def test_a_success_elsewhere_resolves_only_what_any_arguments_resolve(
    error: Exception, asked: int
) -> None:
    home = Home()
    run = await home.run(fetch=[error, "data", error])
    for number, url in enumerate((SHOP, DEPOT, SHOP)):
        await run.call("fetch", url, n=number)
    assert len(run.asked) == asked


async def test_an_attempt_below_the_model_is_not_counted() -> None:
    home = Home()
    run = await home.run(fetch=[BROKEN, "data"])
    await run.call("fetch", SHOP)
    assert await home.store.rows(SITES) == {}


async def test_a_site_remembers_when_how_often_and_in_which_runs() -> None:
    home = Home()
    began = stamp(home.clock.now())
    first = await home.run(fetch=[STRIKE])
    await first.call("fetch")
    home.clock.advance(60)
    second = await home.run(fetch=[STRIKE])
    await second.call("fetch")
    site = await home.site("fetch")
    assert (site.count, site.total, site.runs) == (2, 2, (first.id, second.id))
    assert (site.first_at, site.last_at) == (began, stamp(home.clock.now()))
    assert (site.open, [site.blocker]) == (True, second.asked)
    await home.answer(second.asked[0])
    closed = await home.site("fetch")
    assert (closed.count, closed.total, closed.runs, closed.blocker) == (0, 2, (), "")
    assert (closed.resolved_by, closed.resolved_at) == ("ann", stamp(home.clock.now()))
    assert len(site.runs) <= RUNS_MAX


async def test_an_attempt_that_fails_in_another_way_leaves_the_open_site_to_somebody_else() -> None:
    home = Home()
    await (await home.run(fetch=[BUSY])).call("fetch")
    home.clock.advance(31)
    await (await home.run(fetch=[MISSING])).call("fetch")
    assert await (await home.run()).call("fetch") == Succeeded("data")


async def test_a_cool_down_begins_anew_after_it_was_mended() -> None:
    home = Home()
    await (await home.run(fetch=[BUSY])).call("fetch")
    home.clock.advance(31)
    await (await home.run(fetch=[BUSY])).call("fetch")
    assert (await home.site("fetch")).cooldown_seconds == 60
    home.clock.advance(61)
    await (await home.run(fetch=["data", BUSY])).call("fetch")
    third = await home.run(fetch=[BUSY])
    await third.call("fetch")
    assert (await home.site("fetch")).cooldown_seconds == 30


async def test_a_site_that_a_newer_version_names_otherwise_keeps_its_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = Home()
    await (await home.run(fetch=[STRIKE])).call("fetch")
    old = await home.site("fetch")

    def newer(
        tool: str, arguments: Mapping[str, object], outcome: Failed | Unknown
    ) -> Fingerprints:
        found = fingerprints(tool, arguments, outcome)
        return msgspec.structs.replace(found, site="newer")

    monkeypatch.setattr("standpipe.journal.record.fingerprints", newer)
    monkeypatch.setattr("standpipe.governor.sites.VERSION", VERSION + 1)
    second = await home.run(fetch=[STRIKE])
    await second.call("fetch")
    site = await home.site("fetch")
    assert (site.site, site.count, site.aliases) == ("newer", 2, (old.site,))
    assert len(second.asked) == 1
    rows = (await home.store.rows(SITES)).values()
    assert {row.site: row.count for text in rows if (row := read_row(Site, text))} == {
        "newer": 2,
        old.site: 0,
    }


# -- the very same call --------------------------------------------------------------------------


async def stopped(home: Home) -> Run:
    """Let a run be stopped by what its model asked for."""
    run = await home.run(fetch=[MISSING])
    await run.call("fetch", order="a")
    await run.call("fetch", order="a")
    assert len(run.asked) == 1
    return run


async def test_a_call_that_stopped_a_run_is_refused_in_others_with_the_question_about_it() -> None:
    home = Home()
    first = await stopped(home)
    second = await home.run()
    refused = await second.call("fetch", order="a")
    assert isinstance(refused, Refused)
    assert f"have {first.asked[0]} answered" in refused.reason
    assert second.executor.calls == []


async def test_a_call_that_stopped_a_run_may_be_made_again_after_the_answer() -> None:
    home = Home()
    first = await stopped(home)
    await home.answer(first.asked[0])
    assert await (await home.run()).call("fetch", order="a") == Succeeded("data")


async def test_a_call_that_stopped_a_run_may_be_made_again_after_seven_days() -> None:
    home = Home()
    await stopped(home)
    home.clock.advance(timedelta(days=7).total_seconds() + 1)
    assert await (await home.run()).call("fetch", order="a") == Succeeded("data")


async def test_a_call_that_stopped_a_run_may_be_made_again_with_another_credential() -> None:
    home = Home()
    await stopped(home)
    home.secret_version = 2
    assert await (await home.run()).call("fetch", order="a") == Succeeded("data")


async def test_the_run_that_was_stopped_may_make_its_call_again_itself() -> None:
    home = Home()
    first = await stopped(home)
    again = await home.run(first)
    assert await again.call("fetch", order="a") == Succeeded("data")


# -- what a model causes -------------------------------------------------------------------------


async def test_a_success_of_the_tool_starts_the_count_of_a_model_anew() -> None:
    home = Home()
    run = await home.run(fetch=[MISSING, "data", MISSING])
    for number in range(3):
        await run.call("fetch", n=number)
    assert run.asked == []


async def test_an_answer_starts_the_count_of_a_model_anew() -> None:
    home = Home()
    run = await home.run(fetch=[MISSING])
    await run.call("fetch", n=1)
    await run.call("fetch", n=2)
    await home.answer(run.asked[0])
    again = await home.run(run, fetch=[MISSING])
    await again.call("fetch", n=3)
    assert again.asked == []
    await again.call("fetch", n=4)
    assert len(again.asked) == 1


async def test_an_answer_about_something_else_starts_no_count_anew() -> None:
    home = Home()
    run = await home.run(fetch=[MISSING], look_up=[STRIKE])
    await run.call("fetch", n=1)
    await run.call("look_up", n=1)
    await run.call("look_up", n=2)
    await home.answer(run.asked[0])
    again = await home.run(run, fetch=[MISSING])
    await again.call("fetch", n=2)
    assert len(again.asked) == 1


async def test_two_different_mistakes_of_a_model_are_not_the_same_one_twice() -> None:
    home = Home()
    run = await home.run(fetch=[MISSING, HttpError(422, "day: not a day")])
    await run.call("fetch", n=1)
    await run.call("fetch", n=2)
    assert run.asked == []


# -- effects -------------------------------------------------------------------------------------


async def test_an_effect_that_ended_is_in_nobodys_way() -> None:
    home = Home({"send": SEND}, alive=False)
    run = await home.run(send=["sent", HttpError(422), "sent"])
    for number in range(3):
        await run.call("send", to="ann", n=number)
    assert len(run.executor.calls) == 3
    [text] = (await home.store.rows(TWINS)).values()
    row = read_row(TwinRow, text)
    assert row
    assert row.flights == ()


@pytest.mark.parametrize("alive", [True, False])
async def test_only_the_effect_of_a_process_that_is_gone_holds_its_twins(alive: bool) -> None:
    home = Home({"send": SEND}, alive=alive)
    first, second = await home.run(), await home.run()
    found: list[Outcome] = []

    async def meanwhile() -> None:
        first.executor.during = None
        found.append(await second.call("send", to="ann", n=2))

    first.executor.during = meanwhile
    await first.call("send", to="ann", n=1)
    assert [type(outcome) for outcome in found] == [Succeeded if alive else Refused]


# -- credentials ---------------------------------------------------------------------------------


async def test_a_refresh_of_one_credential_does_not_stand_for_another() -> None:
    tools = {
        name: Tool(name=name, effect=Effect.READ, origin="home", refresh=f"renew_{name}")
        for name in ("fetch", "look_up")
    }
    home = Home(tools)
    run = await home.run(fetch=[REJECTED, "data"], look_up=[REJECTED, "data"])
    assert await run.call("fetch") == Succeeded("data")
    assert await run.call("look_up") == Succeeded("data")
    assert run.executor.refreshed == 2


async def test_a_new_process_has_lost_what_was_renewed_and_renews_it_again() -> None:
    tool = Tool(name="fetch", effect=Effect.READ, origin="home", refresh="renew")
    home = Home({"fetch": tool})
    run = await home.run(fetch=[REJECTED, "data"])
    await run.call("fetch", n=1)
    again = await home.run(run, fetch=[REJECTED, "data"])
    assert await again.call("fetch", n=2) == Succeeded("data")
    assert again.executor.refreshed == 1


async def test_a_pause_is_shown_again_only_after_what_people_were_told() -> None:
    home = Home()
    run = await home.run(fetch=[HttpError(429, retry_after="40")])
    await run.call("fetch", SHOP)
    [blocker] = run.asked
    home.clock.advance(40)
    await give(home.store, blocker, "resume", "clock")
    again = await home.run(run, fetch=[HttpError(429, retry_after="20"), "data"])
    again.turn -= 1
    assert await again.call("fetch", SHOP) == Succeeded("data")  # 20 s more, told anew


# -- what happens at the same time ----------------------------------------------------------------


async def test_of_two_runs_that_find_a_half_open_site_at_once_only_one_tries_it() -> None:
    home = Home()
    await (await home.run(fetch=[BUSY])).call("fetch")
    site = (await home.site("fetch")).site
    home.clock.advance(31)
    until = stamp(home.clock.now() + timedelta(seconds=90))
    slow, post = await home.run(), home.store.post

    async def overtaken(run: str, drafts: Sequence[Draft]) -> Sequence[Entry]:
        await post(run, [Draft("faster", SiteProbed(site, "r9.1.1", until))])
        return await post(run, drafts)

    home.store.post = overtaken
    assert isinstance(await slow.call("fetch"), Refused)
    assert slow.executor.calls == []


async def test_two_runs_that_fail_at_the_same_place_at_once_ask_one_question() -> None:
    home = Home()
    slow, fast = await home.run(fetch=[REJECTED]), await home.run(fetch=[REJECTED])
    append = home.store.append

    async def overtaken(
        run: str, epoch: int, drafts: Sequence[Draft], *, seen: Seen | None = None
    ) -> Sequence[Entry]:
        if run == slow.id and any(isinstance(draft.body, BlockedRaised) for draft in drafts):
            home.store.append = append  # after it has looked, and before it writes
            await fast.call("fetch", SHOP)
        return await append(run, epoch, drafts, seen=seen)

    home.store.append = overtaken
    assert isinstance(await slow.call("fetch", SHOP), Failed)
    [blocker] = fast.asked
    assert slow.asked == []
    assert slow.points == (blocker,)


async def test_the_one_attempt_at_a_half_open_site_is_one_and_is_not_repeated() -> None:
    home = Home()
    await (await home.run(fetch=[BUSY])).call("fetch")
    home.clock.advance(31)
    second = await home.run(fetch=[BUSY, "data"])
    assert isinstance(await second.call("fetch"), Failed)
    assert len(second.executor.calls) == 1


async def test_a_call_that_was_out_when_its_site_opened_keeps_it_open_no_longer() -> None:
    home = Home()
    first, second = await home.run(fetch=[FORBIDDEN]), await home.run(fetch=[FORBIDDEN])
    opened: list[str] = []

    async def meanwhile() -> None:
        await second.call("fetch")
        opened.append((await home.site("fetch")).until)
        home.clock.advance(5)

    first.executor.during = meanwhile
    await first.call("fetch")
    site = await home.site("fetch")
    assert (site.count, [site.until]) == (2, opened)
    assert (first.asked, first.points) == ([], tuple(second.asked))


async def test_two_effects_whose_processes_are_gone_are_both_in_the_way() -> None:
    home = Home({"send": SEND})
    first, second = await home.run(), await home.run()

    async def die() -> None:
        raise Crash

    async def meanwhile() -> None:
        second.executor.during = die
        with pytest.raises(Crash):
            await second.call("send", to="ann", n=2)
        raise Crash

    first.executor.during = meanwhile
    with pytest.raises(Crash):
        await first.call("send", to="ann", n=1)
    [text] = (await home.store.rows(TWINS)).values()
    row = read_row(TwinRow, text)
    assert row
    assert [flight.run for flight in row.flights] == [first.id, second.id]
    assert await (await home.run()).call("send", to="ann", n=3) == Succeeded("data")
    await home.run(first)  # its process is known to be gone once another one goes on with it
    held = await (await home.run()).call("send", to="ann", n=4)
    assert isinstance(held, Refused)
    assert held.reason == (
        f"`send` to the same place may have happened in {first.id}.1.1, and nobody knows yet; "
        f"go on with {first.id} first"
    )


# -- more of the same ------------------------------------------------------------------------------


async def test_an_open_site_of_one_host_keeps_nobody_from_another() -> None:
    home = Home()
    first = await home.run(fetch=[HttpError(403, "not for you")])
    await first.call("fetch", SHOP)
    second = await home.run()
    assert await second.call("fetch", DEPOT) == Succeeded("data")
    refused = await second.call("fetch", SHOP)
    assert refused == Refused(
        "`fetch` failed once (forbidden: HTTP 403: not for you) and is not tried "
        f"again until somebody answers {first.asked[0]}"
    )
    assert isinstance(await second.call("fetch"), Refused)  # nobody knows where that goes


async def test_a_long_message_is_cut_where_a_refusal_quotes_it() -> None:
    home = Home()
    await (await home.run(fetch=[HttpError(403, "very " * 200)])).call("fetch")
    refused = await (await home.run()).call("fetch")
    assert isinstance(refused, Refused)
    assert "very …" in refused.reason
    assert len(refused.reason) < 450


async def test_the_question_of_a_run_about_its_own_mistakes_is_not_that_of_another_run() -> None:
    home = Home()
    first = await stopped(home)
    second = await home.run(fetch=[MISSING])
    await second.call("fetch", order="b")
    await second.call("fetch", order="c")
    assert len(second.asked) == 1
    assert second.asked != first.asked


async def test_a_tool_with_a_bug_is_left_alone_until_its_code_changes() -> None:
    home = Home()
    bug = Raised(Fault(type="KeyError", message="'total'", own_code=True))
    await (await home.run(fetch=[bug])).call("fetch")
    assert isinstance(await (await home.run()).call("fetch"), Refused)
    home.clock.advance(3_600)
    assert isinstance(await (await home.run()).call("fetch"), Refused)
    home.tools["fetch"] = msgspec.structs.replace(home.tools["fetch"], source="mended")
    assert await (await home.run()).call("fetch") == Succeeded("data")


async def test_whoever_is_asked_about_a_credential_reads_its_name() -> None:
    home = Home()
    run = await home.run(fetch=[REJECTED])
    await run.call("fetch", SHOP)
    [body] = open_blockers(run.gate.record.journal.entries).values()
    assert body.secrets == ("TOKEN",)
    assert home.credentials_asked == ["shop.example"]


async def test_a_keyed_effect_is_not_in_its_own_way() -> None:
    home = Home({"send": msgspec.structs.replace(SEND, idempotency_key="key")}, alive=False)
    run = await home.run(send=[TimeoutError("the line went dead"), "sent"])
    assert await run.call("send", to="ann") == Succeeded("sent")


async def test_an_effect_a_person_has_seen_is_in_nobodys_way() -> None:
    home = Home({"send": SEND})
    run = await home.run(send=[TimeoutError("the line went dead")])
    assert isinstance(await run.call("send", to="ann"), Unknown)
    await home.answer(run.asked[0], "yes")
    again = await home.run(run)
    again.turn -= 1
    assert isinstance(await again.call("send", to="ann"), Succeeded)
    assert again.executor.calls == []
    assert await (await home.run()).call("send", to="ann") == Succeeded("data")


async def test_a_pause_that_comes_with_an_overload_holds_for_every_run() -> None:
    home = Home()
    first = await home.run(fetch=[HttpError(503, retry_after="20"), "data"])
    second = await home.run()
    paused: list[float] = []
    sleep = home.clock.sleep

    async def watched(seconds: float) -> None:
        paused.extend((await second.gate.record.outlook.refusals.paused()).values())
        await sleep(seconds)

    home.clock.sleep = watched
    await first.call("fetch", SHOP)
    assert paused == [20.0]


async def test_an_overload_without_a_time_is_no_pause_for_others() -> None:
    home = Home()
    run = await home.run(fetch=[BUSY, "data"])
    paused: list[Mapping[str, float]] = []
    sleep = home.clock.sleep

    async def watched(seconds: float) -> None:
        paused.append(await run.gate.record.outlook.refusals.paused())
        await sleep(seconds)

    home.clock.sleep = watched
    await run.call("fetch", SHOP)
    assert paused == [{}]


async def test_a_host_seen_twice_is_still_one_host() -> None:
    home = Home()
    run = await home.run(hosts=["shop.example"])
    await run.call("fetch", n=1)
    await run.call("fetch", n=2)
    await (await home.run(look_up=[HttpError(429, retry_after="3600")])).call("look_up", SHOP)
    assert isinstance(await (await home.run()).call("fetch"), Refused)


async def test_a_failure_of_no_known_host_is_resolved_wherever_the_tool_works() -> None:
    home = Home()
    await (await home.run(fetch=[STRIKE])).call("fetch", n=1)
    await (await home.run(hosts=["shop.example"])).call("fetch", n=2)
    assert (await home.site("fetch")).count == 0


async def test_two_ways_of_failing_of_one_tool_are_counted_apart() -> None:
    home = Home()
    run = await home.run(fetch=[STRIKE, CONFLICT, HttpError(501)])
    for number in range(3):
        await run.call("fetch", n=number)
    assert run.asked == []
    rows = (await home.store.rows(SITES)).values()
    assert [row.count for text in rows if (row := read_row(Site, text))] == [1] * len(rows)


async def test_what_is_lifted_of_a_refused_call_is_lifted_everywhere() -> None:
    home = Home()
    await stopped(home)
    await (await home.run()).call("fetch", order="b")  # it works again
    [call] = (await home.store.rows(CALLS)).values()
    row, tool = read_row(CallRow, call), await home.store.row(TOOLS, "fetch")
    index = read_row(ToolRow, tool)
    assert row
    assert index
    assert (row.refused, index.calls) == (False, ())
    answered = Home()
    first = await stopped(answered)
    await answered.answer(first.asked[0])
    [call] = (await answered.store.rows(CALLS)).values()
    row, index = (
        read_row(CallRow, call),
        read_row(ToolRow, await answered.store.row(TOOLS, "fetch")),
    )
    assert row
    assert index
    assert (row.refused, index.calls, row.blocker) == (False, (), first.asked[0])


async def test_a_person_who_takes_long_takes_nothing_of_the_time_to_wait() -> None:
    home = Home({"pay": Tool(name="pay", origin="home", control=())})
    run = await home.run(pay=[HttpError(429, retry_after="20"), "paid"])
    assert isinstance(await run.call("pay"), Refused)
    home.clock.advance(3_600)
    await home.answer(run.asked[0], "yes")
    await run.gate.record.journal.refresh()
    run.turn -= 1
    assert await run.call("pay") == Succeeded("paid")
    assert home.clock.slept == [20.0]


async def test_an_effect_in_doubt_holds_its_twins_before_anybody_is_asked_about_it() -> None:
    home = Home({"send": SEND})
    first, second = await home.run(send=[TimeoutError("the line went dead")]), await home.run()
    append = home.store.append

    async def killed(
        run: str, epoch: int, drafts: Sequence[Draft], *, seen: Seen | None = None
    ) -> Sequence[Entry]:
        if any(isinstance(draft.body, InDoubt) for draft in drafts):
            raise Crash
        return await append(run, epoch, drafts, seen=seen)

    home.store.append = killed
    with pytest.raises(Crash):
        await first.call("send", to="ann")
    home.store.append = append
    assert isinstance(await second.call("send", to="ann"), Refused)
    assert second.executor.calls == []


async def test_an_effect_of_a_cancelled_run_that_nobody_will_know_of_is_put_to_a_person() -> None:
    home = Home({"send": SEND})
    first, second = await home.run(send=[TimeoutError("the line went dead")]), await home.run()
    await first.call("send", to="ann")
    journal = first.gate.record.journal
    end = closing(End("cancelled", "ann"), run=first.id, epoch=journal.epoch)
    await journal.append(*end)
    assert isinstance(await second.call("send", to="ann"), Refused)
    assert second.executor.calls == []
    [blocker] = second.asked
    await home.answer(blocker, "yes")
    again = await home.run(second)
    again.turn -= 1
    assert isinstance(await again.call("send", to="ann"), Succeeded)


async def test_whoever_is_late_at_a_site_that_was_mended_meanwhile_may_try() -> None:
    home = Home()
    first = await home.run(fetch=[BUSY])
    await first.call("fetch")
    home.clock.advance(31)
    slow, post = await home.run(), home.store.post

    async def overtaken(run: str, drafts: Sequence[Draft]) -> Sequence[Entry]:
        home.store.post = post
        await home.answer(first.asked[0])
        return await post(run, drafts)

    home.store.post = overtaken
    assert await slow.call("fetch") == Succeeded("data")


async def test_a_success_ends_the_probation_of_a_site_and_of_its_host() -> None:
    home = Home()
    first = await home.run(fetch=[STRIKE])
    await first.call("fetch", SHOP, n=1)
    await first.call("fetch", SHOP, n=2)
    await home.answer(first.asked[0])
    assert (await home.site("fetch")).probation
    second = await home.run(fetch=["data", STRIKE])
    await second.call("fetch", SHOP, n=3)
    assert not (await home.site("fetch")).probation
    await second.call("fetch", SHOP, n=4)
    assert second.asked == []
    host = Home()
    await host.answer(await both_reject(host))
    assert [site.probation for site in await host.wide()] == [True]
    await (await host.run()).call("look_up", SHOP)
    assert [site.probation for site in await host.wide()] == [False]


async def test_on_probation_one_more_failure_closes_a_host_to_every_tool() -> None:
    home = Home()
    await home.answer(await both_reject(home))
    await (await home.run(look_up=[REJECTED])).call("look_up", SHOP)
    assert isinstance(await (await home.run()).call("list_all", SHOP), Refused)


async def test_an_answer_about_one_call_lifts_no_other() -> None:
    home = Home()
    first = await stopped(home)
    second = await home.run(fetch=[HttpError(422, "day: not a day")])
    await second.call("fetch", order="b")
    await second.call("fetch", order="b")
    await home.answer(first.asked[0])
    third = await home.run()
    refused = await third.call("fetch", order="b")
    assert isinstance(refused, Refused)
    assert f"have {second.asked[0]} answered" in refused.reason
    assert await third.call("fetch", order="a") == Succeeded("data")

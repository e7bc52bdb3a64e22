from datetime import datetime, timedelta

import msgspec
import pytest

from standpipe.clock import moment, stamp
from standpipe.desk.sites import Overview, nothing, only, overview
from standpipe.errors import NotFoundError
from standpipe.governor.hosts import Host
from standpipe.governor.sites import Site
from standpipe.journal.projections import CALLS, HOST_SITES, HOSTS, SITES, CallRow, Row
from standpipe.outcomes.outcome import Kind
from standpipe.stores.memory import MemoryStore
from standpipe.testing.fakes import FakeClock

NOW = moment("2026-11-22T07:00:00.000Z")


class Rows(MemoryStore):
    """A journal of which only the rows are looked at."""

    def __init__(self, *rows: tuple[str, str, Row]) -> None:
        super().__init__(FakeClock())
        self.kept = rows

    async def rows(self, view: str) -> dict[str, bytes]:
        return {key: msgspec.json.encode(row) for of, key, row in self.kept if of == view}


def at(seconds: float) -> str:
    return stamp(NOW + timedelta(seconds=seconds))


def site(name: str, **more: object) -> Site:
    facts: dict[str, object] = {
        "tool": "fetch", "kind": Kind.CREDENTIAL, "count": 1, "total": 1, "first_at": at(-60),
        "last_at": at(-30),
    }  # fmt: skip
    return Site(site=name, **{**facts, **more})  # type: ignore[arg-type]


def call(name: str, action: str, since: str, *, refused: bool = True, blocker: str = "") -> CallRow:
    return CallRow(
        call=name, tool="read_file", site="s", action=action, kind="not_found",
        message="no such file", at=since, blocker=blocker, refused=refused,
    )  # fmt: skip


async def seen(*sites: Site, view: str = SITES, now: datetime = NOW) -> Overview:
    return await overview(Rows(*((view, one.site, one) for one in sites)), now=now)


async def state(one: Site, now: datetime = NOW) -> str:
    return (await seen(one, now=now)).sites[0].state


async def test_the_open_ones_stand_on_top_and_the_newest_first() -> None:
    found = await seen(
        site("over", count=0, last_at=at(-1)),
        site("old", open=True, until=at(60), last_at=at(-20)),
        site("counts", last_at=at(-2)),
        site("new", open=True, until=at(60), last_at=at(-10)),
        site("tried", open=True, until=at(-1)),
    )
    assert [one.id for one in found.sites] == ["new", "old", "tried", "counts", "over"]
    assert found.counts == {"open": 2, "half_open": 1, "counting": 1, "resolved": 1}


async def test_a_site_is_open_until_its_time_has_come_and_half_open_from_then_on() -> None:
    cooling = site("s", open=True, until=at(30))
    assert await state(cooling) == "open"
    assert await state(cooling, NOW + timedelta(seconds=29)) == "open"
    assert await state(cooling, NOW + timedelta(seconds=30)) == "half_open"


async def test_while_one_call_tries_a_site_it_is_half_open_and_names_the_call() -> None:
    tried = site("s", open=True, until=at(600), probe="r2.1.1", probe_until=at(90))
    (one,) = (await seen(tried)).sites
    assert (one.state, one.probe) == ("half_open", "r2.1.1")
    (one,) = (await seen(tried, now=NOW + timedelta(seconds=90))).sites
    assert (one.state, one.probe) == ("open", None)


async def test_what_a_person_closed_is_half_open_until_a_call_has_shown_it() -> None:
    closed = site("s", count=0, probation=True, resolved_by="operator", resolved_at=at(-5))
    (one,) = (await seen(closed)).sites
    assert (one.state, one.closed_by, one.closed_at) == ("half_open", "operator", at(-5))


async def test_what_a_host_does_to_every_tool_is_listed_from_its_second_time_on() -> None:
    assert not (await seen(site("h", tool="", host="api.shop.example"), view=HOST_SITES)).sites
    twice = site("h", tool="", host="api.shop.example", count=2, total=2, open=True, until=at(9))
    (one,) = (await seen(twice, view=HOST_SITES)).sites
    assert (one.tool, one.host, one.state) == ("", "api.shop.example", "open")


async def test_a_site_that_has_a_new_name_is_listed_once() -> None:
    found = await seen(site("old", count=0), site("new", count=3, total=3, aliases=("old",)))
    assert [one.id for one in found.sites] == ["new"]


async def test_hosts_that_ask_for_a_pause_or_have_used_up_their_repeats_are_told() -> None:
    waits = Host("api.shop.example", from_at=at(-10), delay_seconds=40)
    spent, full = Host("b.example", tokens=4.0), Host("c.example", from_at=at(-10), delay_seconds=5)
    hosts = (
        await overview(Rows(*((HOSTS, h.host, h) for h in (spent, waits, full))), now=NOW)
    ).hosts
    assert [one.host for one in hosts] == ["api.shop.example", "b.example"]
    assert (hosts[0].paused_until, hosts[0].may_repeat) == (at(30), True)
    assert (hosts[1].paused_until, hosts[1].may_repeat) == (None, False)


async def test_a_call_that_stopped_its_run_is_refused_for_a_week_unless_it_is_cleared() -> None:
    calls = [
        call("c1", "r1.1.1", at(-10), blocker="b1"),
        call("c2", "r1.2.1", at(-10), refused=False),
        call("c3", "r1.3.1", at(-7 * 86_400)),
    ]
    found = await overview(Rows(*((CALLS, one.call, one) for one in calls)), now=NOW)
    assert [(one.action, one.question) for one in found.calls] == [("r1.1.1", "b1")]
    assert found.calls[0].refused_until == at(7 * 86_400 - 10)


async def test_the_beginning_of_an_id_names_one_site_with_what_belongs_to_it() -> None:
    rows: list[tuple[str, str, Row]] = [
        (SITES, "ab12", site("ab12", host="api.shop.example")),
        (SITES, "ac34", site("ac34")),
        (HOSTS, "x", Host("api.shop.example", tokens=1.0)),
        (HOSTS, "y", Host("b.example", tokens=1.0)),
    ]
    found = await overview(Rows(*rows), now=NOW)
    one = only(found, "AB")
    assert [s.id for s in one.sites] == ["ab12"]
    assert [h.host for h in one.hosts] == ["api.shop.example"]
    assert one.counts["counting"] == 1
    with pytest.raises(NotFoundError, match="could be any of ab12, ac34"):
        only(found, "a")


def test_a_home_in_which_nothing_ran_has_nothing_to_tell() -> None:
    found = nothing(now=NOW)
    assert (found.sites, found.hosts, found.calls) == ((), (), ())
    assert found.updated_at == stamp(NOW)

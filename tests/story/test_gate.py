"""One tool call, followed through the gate; the whole journal as a snapshot."""

import msgspec
import pytest
from inline_snapshot import snapshot

from standpipe.actions import Action, Effect, Fault, Raised, Tool
from standpipe.errors import StateError
from standpipe.journal.entries import AnswerGiven, Draft, Entry
from standpipe.journal.views import open_blockers
from standpipe.outcomes.outcome import Failed, Kind, Refused, Succeeded, Unknown
from standpipe.policy.decision import Allow
from standpipe.stores.memory import MemoryStore
from standpipe.testing.fakes import FakeClock
from standpipe.testing.gates import open_gate

READ = Tool(name="read_page", effect=Effect.READ, origin="home")
SEND = Tool(name="send_note", effect=Effect.ONCE, origin="home", policy="allow", control=())
ASKS = Tool(name="pay", effect=Effect.ONCE, origin="home", control=())


def call(tool: Tool, number: int = 1, **arguments: object) -> Action:
    return Action(id=f"r1.{number}.1", tool=tool, arguments=arguments, why="the task asks for it")


def told(entries: list[Entry]) -> list[str]:
    return [f"{entry.seq} {entry.kind} {entry.key}" for entry in entries]


async def test_a_tool_call_is_decided_written_down_done_and_judged() -> None:
    gate, _ = await open_gate({"send_note": SEND}, {"send_note": ["receipt 12"]})
    assert await gate.perform(call(SEND, text="hi")) == Succeeded("receipt 12")
    assert told(gate.record.journal.entries) == snapshot(
        [
            "1 run.created r1",
            "2 segment.started 1",
            "3 action.proposed r1.1.1",
            "4 action.decided r1.1.1#1",
            "5 action.intended r1.1.1#1",
            "6 action.outcome r1.1.1#1",
        ]
    )


async def test_the_intent_is_on_disk_before_the_effect_starts() -> None:
    gate, executor = await open_gate({"send_note": SEND}, {"send_note": ["receipt"]})
    seen: list[str] = []

    async def look() -> None:
        seen.extend(entry.kind for entry in await gate.record.journal.store.read("r1"))

    executor.during = look
    await gate.perform(call(SEND))
    assert seen[-1] == "action.intended"


async def test_an_action_id_seen_before_returns_its_recorded_outcome_and_does_nothing() -> None:
    gate, executor = await open_gate(
        {"send_note": SEND}, {"send_note": ["receipt 12", "receipt 13"]}
    )
    assert await gate.perform(call(SEND)) == await gate.perform(call(SEND))
    assert executor.calls == ["send_note"]


async def test_other_arguments_under_a_known_id_are_an_error() -> None:
    gate, _ = await open_gate({"send_note": SEND}, {"send_note": ["receipt"]})
    await gate.perform(call(SEND, text="one"))
    with pytest.raises(StateError, match="hint: a decision holds for one exact call"):
        await gate.perform(call(SEND, text="two"))


async def test_an_effect_that_times_out_is_never_repeated_and_is_put_to_a_human() -> None:
    gate, executor = await open_gate(
        {"send_note": SEND}, {"send_note": [TimeoutError("no answer")]}
    )
    outcome = await gate.perform(call(SEND, text="hi"))
    assert isinstance(outcome, Unknown)
    assert await gate.perform(call(SEND, text="hi")) == outcome
    assert executor.calls == ["send_note"]
    [question] = open_blockers(gate.record.journal.entries).values()
    assert (question.kind, question.choices) == ("in_doubt", ("yes", "no", "give-up"))


@pytest.mark.parametrize(
    ("verdicts", "calls", "value"),
    [(["receipt 7"], 1, "receipt 7"), ([False], 2, "receipt 13")],
    ids=["it happened", "it did not"],
)
async def test_verify_decides_what_became_of_a_lost_effect(
    verdicts: list[object], calls: int, value: str
) -> None:
    tool = Tool(name="send_note", origin="home", policy="allow", control=(), verify=True)
    lines = {"send_note": [TimeoutError("lost"), "receipt 13"]}
    gate, executor = await open_gate({"send_note": tool}, lines, verdicts=verdicts)
    outcome = await gate.perform(call(tool))
    assert isinstance(outcome, Succeeded)
    assert (outcome.value, len(executor.calls)) == (value, calls)


async def test_verify_is_asked_only_once_the_other_side_had_its_time() -> None:
    clock = FakeClock()
    tool = Tool(
        name="send_note", origin="home", policy="allow", control=(), verify=True,
        verify_after_seconds=20,
    )  # fmt: skip
    gate, _ = await open_gate(
        {"send_note": tool}, {"send_note": [TimeoutError("lost")]}, verdicts=["receipt"],
        clock=clock, store=MemoryStore(clock),
    )  # fmt: skip
    await gate.perform(call(tool))
    assert sum(clock.slept) == 20


@pytest.mark.parametrize(
    ("answer", "calls"), [("yes", 1), ("no", 2), ("give-up", 1)], ids=["yes", "no", "give-up"]
)
async def test_a_human_decides_what_became_of_an_effect_nobody_can_verify(
    answer: str, calls: int
) -> None:
    clock = FakeClock()
    store = MemoryStore(clock)
    lines = {"send_note": [TimeoutError("lost"), "receipt 13"]}
    gate, executor = await open_gate({"send_note": SEND}, lines, store=store, clock=clock)
    await gate.perform(call(SEND))
    await store.post("r1", [Draft("b1", AnswerGiven(answer, "operator"))])
    await gate.record.journal.refresh()
    outcome = await gate.perform(call(SEND))
    assert len(executor.calls) == calls
    assert isinstance(outcome, Failed if answer == "give-up" else Succeeded)


async def test_a_held_action_is_asked_once_and_done_once_a_human_agrees() -> None:
    clock = FakeClock()
    store = MemoryStore(clock)
    gate, executor = await open_gate({"pay": ASKS}, {"pay": ["paid"]}, store=store, clock=clock)
    held = await gate.perform(call(ASKS, amount=5))
    assert isinstance(held, Refused)
    assert held.blocker == "b1"
    assert await gate.perform(call(ASKS, amount=5)) == held
    [question] = open_blockers(gate.record.journal.entries).values()
    assert question.setting == 'under [tools.pay]: policy = "allow"'
    await store.post("r1", [Draft("b1", AnswerGiven("yes", "operator"))])
    await gate.record.journal.refresh()
    assert await gate.perform(call(ASKS, amount=5)) == Succeeded("paid")
    assert executor.calls == ["pay"]


async def test_an_approval_binds_the_exact_call_and_manifest() -> None:
    clock = FakeClock()
    store = MemoryStore(clock)
    gate, _ = await open_gate({"pay": ASKS}, {"pay": ["paid"]}, store=store, clock=clock)
    await gate.perform(call(ASKS, amount=5))
    await store.post("r1", [Draft("b1", AnswerGiven("yes", "operator"))])
    changed = Tool(name="pay", origin="home", control=(), description="now pays twice")
    again, executor = await open_gate(
        {"pay": changed}, {"pay": ["paid"]}, store=store, clock=clock, run="r1"
    )
    outcome = await again.perform(call(changed, amount=5))
    assert isinstance(outcome, Refused)
    assert outcome.blocker == "b2"
    assert executor.calls == []


async def test_a_person_who_says_no_is_obeyed_and_the_agent_hears_why() -> None:
    clock = FakeClock()
    store = MemoryStore(clock)
    gate, executor = await open_gate({"pay": ASKS}, {"pay": ["paid"]}, store=store, clock=clock)
    await gate.perform(call(ASKS))
    await store.post("r1", [Draft("b1", AnswerGiven("no: too expensive", "operator"))])
    await gate.record.journal.refresh()
    assert await gate.perform(call(ASKS)) == Refused("a person said no: too expensive")
    assert executor.calls == []


async def test_a_read_that_fails_once_is_repeated_below_the_model() -> None:
    gate, executor = await open_gate(
        {"read_page": READ}, {"read_page": [TimeoutError("slow"), "text"]}
    )
    assert await gate.perform(call(READ)) == Succeeded("text")
    assert len(executor.calls) == 2


def http(status: int, body: str = "") -> Raised:
    fault = Fault(
        type="HttpFailure",
        message=f"HTTP {status}: {body}",
        attributes={"status_code": status},
        body=body,
        url="http://127.0.0.1:8080/orders",
    )
    return Raised(fault)


async def test_a_failure_with_other_arguments_and_other_words_is_the_same_failure() -> None:
    errors = [http(404, f"no page {n}00, request 7f{n}e4a21") for n in range(1, 10)]
    gate, executor = await open_gate({"read_page": READ}, {"read_page": errors})
    for number in range(1, 3):
        await gate.perform(call(READ, number, page=number * 100))
    assert len(executor.calls) == 2
    [question] = open_blockers(gate.record.journal.entries).values()
    assert question.kind == "failure"
    assert "2 times" in question.why


async def test_a_permanent_failure_stops_at_its_second_time_whatever_else_happened() -> None:
    gate, executor = await open_gate(
        {"read_page": READ, "send_note": SEND},
        {"read_page": [http(400, "bad day")], "send_note": ["ok"]},
    )
    await gate.perform(call(READ, 1, day="x"))
    await gate.perform(call(SEND, 2))
    await gate.perform(call(READ, 3, day="y"))
    assert executor.calls.count("read_page") == 2
    assert len(open_blockers(gate.record.journal.entries)) == 1


async def test_success_starts_a_new_count() -> None:
    lines = [http(404, "no such page"), "text", http(404, "no such page")]
    gate, _ = await open_gate({"read_page": READ}, {"read_page": lines})
    for number in range(1, 4):
        await gate.perform(call(READ, number, page=number))
    assert open_blockers(gate.record.journal.entries) == {}


async def test_retry_after_is_obeyed_below_the_model() -> None:
    clock = FakeClock()
    fault = http(429).fault
    busy = Raised(msgspec.structs.replace(fault, headers={"retry-after": "3"}))
    gate, executor = await open_gate(
        {"read_page": READ}, {"read_page": [busy, "text"]}, clock=clock, store=MemoryStore(clock)
    )
    assert await gate.perform(call(READ)) == Succeeded("text")
    assert len(executor.calls) == 2
    assert sum(clock.slept) >= 3


async def test_a_wait_longer_than_anybody_waits_parks_the_run_and_holds_no_process() -> None:
    clock = FakeClock()
    busy = Raised(msgspec.structs.replace(http(429).fault, headers={"retry-after": "3600"}))
    gate, executor = await open_gate(
        {"read_page": READ}, {"read_page": [busy, "text"]}, clock=clock, store=MemoryStore(clock)
    )
    await gate.perform(call(READ))
    [question] = open_blockers(gate.record.journal.entries).values()
    assert (question.kind, clock.slept, len(executor.calls)) == ("wait", [], 1)


async def test_a_login_page_is_not_data() -> None:
    page = '<html><title>Sign in</title><form><input type="password"></form></html>'
    gate, _ = await open_gate({"read_page": READ}, {"read_page": [page]})
    outcome = await gate.perform(call(READ))
    assert isinstance(outcome, Failed)
    assert outcome.kind is Kind.LOGIN_PAGE


async def test_a_declared_alternate_is_tried_below_the_model_and_recorded_as_such() -> None:
    first = Tool(name="read_page", effect=Effect.READ, origin="home", alternates=("mirror",))
    mirror = Tool(name="mirror", effect=Effect.READ, origin="home")
    page = '<html><title>Sign in</title><form><input type="password"></form></html>'
    gate, executor = await open_gate(
        {"read_page": first, "mirror": mirror}, {"read_page": [page], "mirror": ["data"]}
    )
    assert await gate.perform(call(first)) == Succeeded("data")
    assert executor.calls == ["read_page", "mirror"]
    assert {entry.action for entry in gate.record.journal.entries} >= {"r1.1.1", "r1.1.1a"}


async def test_a_rejected_credential_is_refreshed_once_and_then_put_to_a_human() -> None:
    tool = Tool(name="read_page", effect=Effect.READ, origin="home", refresh="renew_token")
    gate, executor = await open_gate(
        {"read_page": tool}, {"read_page": [http(401, "token_expired"), "text"]}
    )
    assert await gate.perform(call(tool)) == Succeeded("text")
    assert (executor.refreshed, len(executor.calls)) == (1, 2)
    again, executor = await open_gate(
        {"read_page": tool}, {"read_page": [http(401, "token_expired")]}
    )
    await again.perform(call(tool))
    assert (executor.refreshed, len(executor.calls)) == (1, 2)
    [question] = open_blockers(again.record.journal.entries).values()
    assert "401" in question.ask


async def test_behind_a_hook_the_two_halves_meet_in_the_journal() -> None:
    clock = FakeClock()
    store = MemoryStore(clock)
    gate, executor = await open_gate(
        {"send_note": SEND}, {"send_note": ["ok"]}, store=store, clock=clock
    )
    assert isinstance(await gate.admit(call(SEND)), Allow)
    done = await executor.attempt(call(SEND), key="k")
    await gate.settle(call(SEND), done)
    assert gate.record.told(call(SEND)) == Succeeded("ok")

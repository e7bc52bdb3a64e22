"""What holds for every script of failures and every order of answers."""

from hypothesis import HealthCheck, given, settings, strategies as st

from standpipe.actions import Action, Died, Effect, Expired, Fault, Raised, Returned, Tool
from standpipe.journal.entries import AnswerGiven, Draft, Intended, Settled
from standpipe.journal.views import open_blockers
from standpipe.outcomes.outcome import Refused, Succeeded, Unknown
from standpipe.stores.memory import MemoryStore
from standpipe.testing.fakes import FakeClock
from standpipe.testing.gates import open_gate

STATUSES = (400, 401, 403, 404, 408, 409, 422, 429, 500, 502, 503, 529)
words = st.text("abcdefgh0123456789 /", max_size=30)


def http(status: int, text: str) -> Raised:
    return Raised(
        Fault(
            type="HttpFailure",
            message=f"HTTP {status}: {text}",
            attributes={"status_code": status},
            body=text,
            url="http://127.0.0.1:8080/x",
        )
    )


results = st.one_of(
    st.builds(http, st.sampled_from(STATUSES), words),
    words.map(lambda text: Raised(Fault(type="ConnectionRefusedError", message=text))),
    words.map(lambda text: Raised(Fault(type="KeyError", message=text, own_code=True))),
    words.map(lambda text: Raised(Fault(type="OSError", message=text, attributes={"errno": 28}))),
    st.just(Expired(30.0)),
    st.just(Died(-9)),
    st.just(Returned("<html><title>Sign in</title><input type='password'></html>")),
)
relaxed = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@relaxed
@given(
    lines=st.lists(results, min_size=12, max_size=12),
    effect=st.sampled_from(list(Effect)),
    refresh=st.sampled_from(("", "renew_token")),
)
async def test_no_script_of_failures_makes_more_than_the_allowed_attempts(
    lines: list[object], effect: Effect, refresh: str
) -> None:
    tool = Tool(name="x", effect=effect, origin="home", policy="allow", control=(), refresh=refresh)
    gate, executor = await open_gate({"x": tool}, {"x": lines})
    for number in range(1, 4):
        await gate.perform(Action(id=f"r1.{number}.1", tool=tool, arguments={"n": number}, why="w"))
    per_action = [
        len([e for e in gate.record.journal.story(f"r1.{n}.1") if isinstance(e.body, Intended)])
        for n in (1, 2, 3)
    ]
    assert max(per_action) <= 5
    assert len(executor.calls) == sum(per_action)


@relaxed
@given(lines=st.lists(results, min_size=3, max_size=3))
async def test_what_may_have_been_sent_once_is_never_sent_again(lines: list[object]) -> None:
    tool = Tool(name="x", effect=Effect.ONCE, origin="home", policy="allow", control=())
    gate, executor = await open_gate({"x": tool}, {"x": lines})
    action = Action(id="r1.1.1", tool=tool, why="w")
    first = await gate.perform(action)
    calls = len(executor.calls)
    assert await gate.perform(action) == first
    assert len(executor.calls) == calls
    outcomes = [e.body.outcome for e in gate.record.journal.entries if isinstance(e.body, Settled)]
    assert sum(isinstance(outcome, Unknown) for outcome in outcomes) <= 1


@relaxed
@given(
    order=st.permutations([1, 2, 3, 4]),
    said=st.lists(st.sampled_from(["yes", "no"]), min_size=4, max_size=4),
)
async def test_no_order_of_answers_loses_one(order: list[int], said: list[str]) -> None:
    clock = FakeClock()
    store = MemoryStore(clock)
    pay = Tool(name="pay", origin="home", control=())
    gate, executor = await open_gate({"pay": pay}, {"pay": ["paid"]}, store=store, clock=clock)
    actions = {
        n: Action(id=f"r1.1.{n}", tool=pay, arguments={"n": n}, why="w") for n in range(1, 5)
    }
    for action in actions.values():
        await gate.perform(action)
    assert len(open_blockers(gate.record.journal.entries)) == 4
    for n in order:
        await store.post("r1", [Draft(f"b{n}", AnswerGiven(said[n - 1], "operator"))])
        await gate.record.journal.refresh()
        outcome = await gate.perform(actions[n])
        assert isinstance(outcome, Succeeded if said[n - 1] == "yes" else Refused)
    assert len(executor.calls) == said.count("yes")
    assert open_blockers(gate.record.journal.entries) == {}

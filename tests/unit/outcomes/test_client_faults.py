"""Faults of real client libraries, provoked once against loopback servers and kept with their versions.

The libraries are not needed to run this: a classifier that reads them by their shape only needs the shape.
"""

import json
from pathlib import Path

import msgspec
import pytest

from standpipe.actions import Effect, Fault, Raised, Tool
from standpipe.outcomes.classify import classify, judge
from standpipe.outcomes.outcome import Failed, Kind, Phase

GOLDEN = Path(__file__).parents[2] / "golden" / "client_faults.jsonl"


class Case(msgspec.Struct):
    library: str
    case: str
    kind: Kind
    phase: Phase
    fault: Fault


CASES = [msgspec.json.decode(line, type=Case) for line in GOLDEN.read_text().splitlines()]
LOOK = Tool(name="look", effect=Effect.READ)
PAY = Tool(name="pay", effect=Effect.ONCE)


def name(case: Case) -> str:
    return f"{case.library}: {case.case}"


@pytest.mark.parametrize("case", CASES, ids=name)
def test_what_a_client_raised_is_of_the_kind_of_what_happened(case: Case) -> None:
    failed = classify(LOOK, case.fault)
    assert (failed.kind, failed.phase) == (case.kind, case.phase)


@pytest.mark.parametrize("case", CASES, ids=name)
def test_an_effect_has_failed_only_where_a_client_proves_that_it_did_not_happen(case: Case) -> None:
    proven = case.phase in (Phase.NOT_SENT, Phase.PARSED)
    assert isinstance(judge(PAY, Raised(case.fault)), Failed) is proven


@pytest.mark.parametrize("case", CASES, ids=name)
def test_the_exception_of_a_client_says_the_same_inside_a_group_and_under_another(
    case: Case,
) -> None:
    group = Fault("ExceptionGroup", "one of one", group=(case.fault,))
    assert classify(LOOK, group).kind is case.kind
    wrapped = Fault("RuntimeError", "could not load", cause=case.fault)
    assert classify(LOOK, wrapped).kind is case.kind


def test_no_case_is_told_twice() -> None:
    told = [name(case) for case in CASES]
    assert sorted(set(told)) == sorted(told)
    assert all(json.loads(line)["fault"] for line in GOLDEN.read_text().splitlines())

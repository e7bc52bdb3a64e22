from standpipe.actions import Effect, Fault, Raised, Tool
from standpipe.execution import faults
from standpipe.outcomes.classify import judge
from standpipe.outcomes.outcome import Failed, Kind, Unknown

WORDS = (
    faults.BAD_ARGUMENTS, faults.RESULT_TOO_LARGE, faults.RESULT_NOT_JSON, faults.UNKNOWN_TOOL,
    faults.NOT_STARTED,
)  # fmt: skip


def test_everything_our_own_worker_says_has_a_kind() -> None:
    for word in WORDS:
        found = judge(Tool(name="look", effect=Effect.READ), faults.refused(word, "why"))
        assert isinstance(found, Failed)
        assert found.kind is not Kind.OTHER, word


def test_a_result_that_cannot_be_passed_on_leaves_a_once_call_in_doubt() -> None:
    said = faults.refused(faults.RESULT_TOO_LARGE, "the result is 2 GB")
    assert isinstance(judge(Tool(name="send"), said), Unknown)


def test_a_class_of_the_tool_s_own_is_no_bug_whatever_it_is_derived_from() -> None:
    tool = Tool(name="look", effect=Effect.READ)
    own = Fault(type="UnknownSku", module="tools", message="no such sku: A-1", own_code=True,
                bases=("builtins.KeyError", "builtins.LookupError"))  # fmt: skip
    found = judge(tool, Raised(own))
    assert isinstance(found, Failed)
    assert found.kind is not Kind.TOOL_BUG
    bug = judge(tool, Raised(Fault(type="KeyError", message="'sku'", own_code=True)))
    assert isinstance(bug, Failed)
    assert bug.kind is Kind.TOOL_BUG

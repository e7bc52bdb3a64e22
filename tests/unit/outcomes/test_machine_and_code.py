import errno
import os
import subprocess
from collections.abc import Callable

import pytest

from standpipe.actions import Died, Effect, Expired, Fault, Raised, Tool
from standpipe.execution import faults
from standpipe.outcomes.classify import classify, judge
from standpipe.outcomes.families import database
from standpipe.outcomes.outcome import Failed, Kind, Phase, Succeeded, Unknown

Make = Callable[..., Tool]
Convert = Callable[[BaseException], Fault]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "a.txt"), Kind.NOT_FOUND),
        (PermissionError(errno.EACCES, "Permission denied"), Kind.ENVIRONMENT),
        (OSError(errno.ENOSPC, "No space left on device"), Kind.ENVIRONMENT),
        (FileExistsError(errno.EEXIST, "File exists"), Kind.CONFLICT),
        (IsADirectoryError(errno.EISDIR, "Is a directory"), Kind.BAD_INPUT),
        (ModuleNotFoundError("No module named 'pandas'"), Kind.ENVIRONMENT),
        (MemoryError(), Kind.ENVIRONMENT),
        (subprocess.CalledProcessError(127, ["x"], stderr="x: not found"), Kind.ENVIRONMENT),
        (subprocess.CalledProcessError(1, ["git"], stderr="fatal: no such file"), Kind.NOT_FOUND),
        (subprocess.CalledProcessError(2, ["x"], stderr="usage: x [-h]"), Kind.BAD_INPUT),
        (subprocess.CalledProcessError(3, ["x"], stderr="hm"), Kind.ERROR_TEXT),
        (subprocess.TimeoutExpired(["sleep"], 2), Kind.TIMED_OUT),
        (ValueError("user 17 not found"), Kind.NOT_FOUND),
        (ValueError("amount must be positive"), Kind.BAD_INPUT),
        (RuntimeError("hm"), Kind.OTHER),
    ],
)
def test_this_machine_is_read_by_its_numbers(
    error: BaseException, kind: Kind, tool: Make, as_fault: Convert
) -> None:
    assert classify(tool(), as_fault(error)).kind is kind


def test_an_exit_code_is_an_answer_and_a_signal_is_none(tool: Make, as_fault: Convert) -> None:
    exited = subprocess.CalledProcessError(1, ["x"], stderr="no")
    killed = subprocess.CalledProcessError(-9, ["x"], stderr="")
    assert isinstance(judge(tool("once"), Raised(as_fault(exited))), Failed)
    assert isinstance(judge(tool("once"), Raised(as_fault(killed))), Unknown)


def test_an_errno_proves_something_only_of_a_tool_that_stays_here(
    tool: Make, as_fault: Convert
) -> None:
    fault = as_fault(FileNotFoundError(errno.ENOENT, "No such file"))
    assert isinstance(judge(tool("once", local=True), Raised(fault)), Failed)
    assert isinstance(judge(tool("once"), Raised(fault)), Unknown)


def test_a_type_is_a_bug_only_in_the_tools_own_lines(tool: Make) -> None:
    own = Fault(type="KeyError", message="'rate_limit'", own_code=True)
    named = Fault(type="ToolError", module="tools", message="KeyError: 'x'", own_code=True)
    library = Fault(type="TypeError", message="unexpected keyword argument 'colour'")
    assert classify(tool(), own).kind is Kind.TOOL_BUG
    assert classify(tool(), named).kind is not Kind.TOOL_BUG
    assert classify(tool(), library).kind is Kind.BAD_INPUT


def test_a_bug_names_the_line(tool: Make) -> None:
    place = "tools.py:12 in fetch_orders"
    own = Fault(type="KeyError", message="'total'", own_code=True, place=place)
    assert classify(tool(), own).message == "KeyError: 'total' (tools.py:12 in fetch_orders)"


@pytest.mark.parametrize(("phase", "failed"), [("not_sent", True), ("sent", False)])
def test_a_host_that_is_paused_says_how_long_wherever_it_stands_in_the_chain(
    phase: str, failed: bool, tool: Make
) -> None:
    attributes = {"host": "api.shop.example", "retry_after_seconds": 2.5, "phase": phase}
    paused = Fault("HostPausedError", "paused", "standpipe.execution.hosts", attributes)
    outer = Fault("ConnectionError", "?", "requests.exceptions", cause=paused)
    found = classify(tool(), outer)
    assert (found.kind, found.code, found.host) == (
        Kind.RATE_LIMITED,
        "host_paused",
        "api.shop.example",
    )
    assert found.retry_after_seconds == 2.5
    assert isinstance(judge(tool("once"), Raised(outer)), Failed) is failed


def test_a_program_that_may_not_is_a_matter_of_this_machine(tool: Make) -> None:
    error = subprocess.CalledProcessError(1, ["cat"], stderr="cat: /etc/shadow: Permission denied")
    assert classify(tool(), faults.fault_of(error)).kind is Kind.ENVIRONMENT


def test_arguments_refused_by_our_worker_never_reached_the_tool(tool: Make) -> None:
    fault = Fault(type="BadArguments", module="standpipe.execution.worker", message="`to`: missing")
    assert judge(tool("once"), Raised(fault)) == Failed(
        Kind.BAD_INPUT, "`to`: missing", code="arguments", phase=Phase.NOT_SENT
    )


def test_an_effect_that_outlives_its_deadline_is_in_doubt(tool: Make) -> None:
    assert isinstance(judge(tool("once"), Expired(30)), Unknown)
    for effect in ("read", "idempotent"):
        outcome = judge(tool(effect), Expired(30))
        assert isinstance(outcome, Failed)
        assert outcome.kind is Kind.TIMED_OUT


def test_a_tool_whose_process_is_gone_says_how_it_went(tool: Make) -> None:
    killed = judge(tool(), Died(-9))
    assert isinstance(killed, Failed)
    assert killed.kind is Kind.ENVIRONMENT
    assert "SIGKILL" in killed.message
    assert isinstance(judge(tool("once"), Died(-9)), Unknown)
    left = judge(tool(), Died(3, "panic: index out of range"))
    assert isinstance(left, Failed)
    assert left.kind is Kind.OTHER
    assert "panic" in left.message


def test_an_expected_failure_is_an_answer(tool: Make, as_fault: Convert) -> None:
    fault = as_fault(FileNotFoundError(errno.ENOENT, "No such file"))
    outcome = judge(tool(expected=("not_found",)), Raised(fault))
    message = "[Errno 2] No such file"
    assert outcome == Succeeded({"expected": "not_found", "message": message})


def test_an_expected_kind_does_not_hide_what_is_in_doubt(tool: Make) -> None:
    outcome = judge(tool("once", expected=("timed_out",)), Expired(1))
    assert isinstance(outcome, Unknown)


def test_the_cause_speaks_where_the_outer_exception_says_nothing(tool: Make) -> None:
    inner = Fault(type="E", module="psycopg", message="", attributes={"sqlstate": "28P01"})
    outer = Fault(type="RuntimeError", message="could not load orders", cause=inner)
    assert classify(tool(), outer).kind is Kind.CREDENTIAL


def test_a_family_that_crashes_loses_no_failure(
    tool: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "SQLSTATES", None)
    fault = Fault(type="Error", message="disk on fire", attributes={"sqlstate": "99999"})
    failed = classify(tool(), fault)
    assert failed.kind is Kind.OTHER
    assert "disk on fire" in failed.message
    assert "AttributeError" in failed.message


def test_a_message_is_capped_and_shows_what_a_terminal_would_act_on(tool: Make) -> None:
    fault = Fault(type="RuntimeError", message="\x1b[2J\x00" + "x" * 100_000)
    message = classify(tool(), fault).message
    assert len(message) <= 2_000
    assert message.startswith("RuntimeError: \\x1b[2J\\x00")


def test_a_word_in_an_address_or_a_path_says_nothing(tool: Make) -> None:
    for text in (
        "saved /srv/unauthorized/forbidden.txt wrongly",
        "at https://x.example/rate-limit/not-found it went wrong",
    ):
        fault = Fault(type="RuntimeError", message=text)
        assert classify(tool(), fault).kind is Kind.OTHER, text


def test_a_tool_that_refuses_by_its_own_rules_is_a_denial_and_not_a_broken_machine() -> None:
    fault = Fault(
        type="NotAllowedError",
        module="standpipe.execution.tools",
        message="path `../x` goes up",
        bases=("builtins.PermissionError", "builtins.OSError"),
    )
    assert classify(Tool(name="read_file", effect=Effect.READ), fault).kind is Kind.DENIED


@pytest.mark.parametrize("module", ["somebody", "aiosmtplib", "botocore.exceptions"])
def test_a_phase_that_a_stranger_writes_on_its_exception_is_not_believed(
    module: str, tool: Make
) -> None:
    fault = Fault("Lost", "gone", module=module, attributes={"phase": "not_sent"})
    assert isinstance(judge(tool("once"), Raised(fault)), Unknown)


def test_a_phase_of_a_cause_says_nothing_about_what_was_done_around_it(tool: Make) -> None:
    inner = Fault("Stopped", "", module="standpipe.tools.sql", attributes={"phase": "not_sent"})
    assert isinstance(judge(tool("once"), Raised(inner)), Failed)
    outer = Fault("Lost", "gone", module="tools", cause=inner)
    assert isinstance(judge(tool("once"), Raised(outer)), Unknown)


@pytest.mark.parametrize(
    ("type_", "kind"),
    [
        (faults.NOT_STARTED, Kind.ENVIRONMENT),
        (faults.BAD_ARGUMENTS, Kind.BAD_INPUT),
        (faults.UNKNOWN_TOOL, Kind.UNKNOWN_TOOL),
    ],
)
def test_what_was_never_called_has_not_happened(type_: str, kind: Kind, tool: Make) -> None:
    outcome = judge(tool("once"), faults.refused(type_, "why"))
    assert isinstance(outcome, Failed)
    assert (outcome.kind, outcome.phase) == (kind, Phase.NOT_SENT)


@pytest.mark.parametrize("type_", [faults.RESULT_TOO_LARGE, faults.RESULT_NOT_JSON])
def test_what_was_called_and_cannot_be_told_is_in_doubt(type_: str, tool: Make) -> None:
    assert isinstance(judge(tool("once"), faults.refused(type_, "why")), Unknown)

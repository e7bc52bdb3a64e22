import pytest
from pydantic_ai.exceptions import ModelHTTPError

from standpipe.adapters.http_client import PageError
from standpipe.adapters.model_failures import UNREACHABLE_ATTEMPTS_MAX, SoFar, chosen, judged
from standpipe.adapters.model_requests import AnswerCutError, ModelSilentError, StreamCutError
from standpipe.adapters.plan import TooLongError
from standpipe.adapters.script import ScriptEnded
from standpipe.governor.recovery import Alternate, Escalate, Recovery, Retry, Stop, Wait
from standpipe.journal.entries import ModelFailed
from standpipe.outcomes.outcome import Failed, Kind

MAIN, OTHER = "openai:a", "anthropic:b"
URL = "https://api.example.com/v1/"


def before(kind: Kind, times: int, *, model: str = MAIN) -> list[ModelFailed]:
    said = Failed(kind, f"{kind} of {model}")
    return [ModelFailed(3, 1, said, Retry("again"), model, "s")] * times


def choose(failed: Failed, so_far: SoFar) -> Recovery:
    return chosen(RuntimeError(), failed, so_far, jitter=0.5)


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (ModelSilentError("nothing came for 20 s"), Kind.MODEL_SILENT, "deadline"),
        (AnswerCutError("cut after 9 tokens"), Kind.CUT, "length"),
        (StreamCutError("the stream ended"), Kind.TRUNCATED, "stream"),
        (TooLongError("called too long"), Kind.CONTEXT_OVERFLOW, "not_sent_again"),
        (PageError("<html><title>Sign in</title><input type=password>"), Kind.LOGIN_PAGE, ""),
        (PageError("<html><title>Guest Wi-Fi</title>"), Kind.HTML, ""),
        (ModelHTTPError(401, "a", {"code": "invalid_api_key"}), Kind.CREDENTIAL, "invalid_api_key"),
    ],
)
def test_a_failure_has_its_kind_its_code_and_its_host(
    error: Exception, kind: Kind, code: str
) -> None:
    failed = judged(error, model=MAIN, url=URL)
    assert (failed.kind, failed.host) == (kind, "api.example.com")
    assert code in ("", failed.code)
    assert "api.example.com" in failed.message


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (Kind.CREDENTIAL, "put a key that works into `OPENAI_API_KEY`"),
        (Kind.QUOTA, "top up the account of `OPENAI_API_KEY`"),
        (Kind.FORBIDDEN, "use `openai:a`"),
        (Kind.CONTEXT_OVERFLOW, "go on with --model and one that takes more"),
        (Kind.NOT_FOUND, "set a `model` that exists"),
        (Kind.CUT, "a model that may answer longer"),
        (Kind.REFUSAL, "say the task differently"),
        (Kind.OTHER, "answer to try again"),
    ],
)
def test_whoever_is_asked_reads_what_to_do(kind: Kind, says: str) -> None:
    recovery = choose(Failed(kind, "m"), SoFar(model=MAIN, cuts=1))
    assert isinstance(recovery, Escalate | Stop)
    assert says in recovery.why


@pytest.mark.parametrize(
    "kind",
    [
        Kind.OVERLOADED,
        Kind.SERVER_ERROR,
        Kind.MODEL_SILENT,
        Kind.TIMED_OUT,
        Kind.NOT_SENT,
        Kind.REFUSAL,
    ],
)
def test_another_model_is_asked_once_the_attempts_are_used_up(kind: Kind) -> None:
    used_up = SoFar(model=MAIN, here=before(kind, 2), alternates=[OTHER])
    recovery = choose(Failed(kind, "m"), used_up)
    assert isinstance(recovery, Alternate)
    assert recovery.tool == OTHER


@pytest.mark.parametrize("kind", [Kind.CREDENTIAL, Kind.QUOTA, Kind.FORBIDDEN, Kind.RATE_LIMITED])
def test_no_other_model_is_asked_about_keys_accounts_and_limits(kind: Kind) -> None:
    used_up = SoFar(model=MAIN, here=before(kind, 4), alternates=[OTHER])
    assert isinstance(choose(Failed(kind, "m"), used_up), Escalate)


def test_the_attempts_of_one_model_are_not_those_of_another() -> None:
    so_far = SoFar(model=OTHER, here=before(Kind.SERVER_ERROR, 2))
    assert isinstance(choose(Failed(Kind.SERVER_ERROR, "m"), so_far), Retry)


def test_the_last_question_names_every_model_that_failed() -> None:
    here = [*before(Kind.MODEL_SILENT, 2), *before(Kind.SERVER_ERROR, 1, model=OTHER)]
    recovery = choose(Failed(Kind.SERVER_ERROR, "m"), SoFar(model=OTHER, here=here))
    assert isinstance(recovery, Escalate)
    assert f"`{MAIN}` (model_silent: model_silent of {MAIN})" in recovery.why


def test_a_wait_nobody_can_sit_out_is_not_waited_while_another_model_is_free() -> None:
    busy = Failed(Kind.OVERLOADED, "m", retry_after_seconds=600)
    assert isinstance(choose(busy, SoFar(model=MAIN, alternates=[OTHER])), Alternate)
    assert isinstance(choose(busy, SoFar(model=MAIN)), Wait)
    limited = Failed(Kind.RATE_LIMITED, "m", retry_after_seconds=600)
    assert isinstance(choose(limited, SoFar(model=MAIN, alternates=[OTHER])), Wait)


def test_a_server_that_cannot_be_reached_gets_time_to_restart() -> None:
    gone = Failed(Kind.NOT_SENT, "refused")
    for tried in range(UNREACHABLE_ATTEMPTS_MAX - 1):
        so_far = SoFar(model=MAIN, here=before(Kind.NOT_SENT, tried))
        assert isinstance(choose(gone, so_far), Retry)
    so_far = SoFar(model=MAIN, here=before(Kind.NOT_SENT, UNREACHABLE_ATTEMPTS_MAX - 1))
    assert isinstance(choose(gone, so_far), Escalate)


def test_a_request_is_changed_once_and_then_its_end_comes() -> None:
    cut, long = Failed(Kind.CUT, "m"), Failed(Kind.CONTEXT_OVERFLOW, "m")
    assert isinstance(choose(cut, SoFar(model=MAIN)), Retry)
    assert isinstance(choose(cut, SoFar(model=MAIN, cuts=1)), Stop)
    assert isinstance(choose(long, SoFar(model=MAIN, shorter=True)), Retry)
    assert isinstance(choose(long, SoFar(model=MAIN)), Escalate)


def test_a_script_at_its_end_fails_the_run() -> None:
    ended = ScriptEnded("the script `a.yaml` has no turn 3")
    recovery = chosen(ended, Failed(Kind.OTHER, "m"), SoFar(model="script:a.yaml"), jitter=0.5)
    assert recovery == Stop("the script `a.yaml` has no turn 3")

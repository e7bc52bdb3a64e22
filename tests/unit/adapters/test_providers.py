import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.exceptions import ModelHTTPError, UnexpectedModelBehavior
from pydantic_ai.models import Model
from pydantic_ai.usage import RequestUsage

from standpipe.adapters.providers import BODY_MAX, build_model, fault_of, price
from standpipe.errors import ConfigError, UsageError

KEYS = {"OPENAI_API_KEY": "sk-o", "ANTHROPIC_API_KEY": "sk-a"}


def build(name: str, home: Path = Path(), credentials: Mapping[str, str] = KEYS) -> Model[Any]:
    return build_model(
        name, home=home, credentials=credentials, timeout_seconds=7.5, next_turn=lambda: 0
    )


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_a_missing_key_is_named_before_anything_is_sent(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{provider.upper()}_API_KEY"
    monkeypatch.setitem(os.environ, name, "sk-stray")
    with pytest.raises(UsageError) as caught:
        build(f"{provider}:m", credentials={})
    assert caught.value.message == f"no key for {provider}: {name} is not set"
    assert f"export {name}" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("antropic:claude-sonnet-4-6", "did you mean `anthropic:claude-sonnet-4-6`?"),
        ("claude-sonnet-4-6", "did you mean `anthropic:claude-sonnet-4-6`?"),
        ("nobody:nothing-like-this-xyz", "for example `openai:MODEL`"),
        ("openai:", "for example `openai:MODEL`"),
        ("", "for example `openai:MODEL`"),
    ],
)
def test_an_unknown_model_is_answered_with_the_nearest_known_one(name: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        build(name)
    assert f"`{name}`" in caught.value.message
    assert caught.value.hint.startswith(hint)


def test_a_provider_that_is_not_installed_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="cannot use model `groq:x`: Please install"):
        build("groq:x")


def test_a_script_is_looked_for_in_the_home_and_then_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    for folder in (home, here):
        folder.mkdir()
        (folder / "a.yaml").write_text(f"turns: [{{say: {folder.name}}}]")
    (here / "b.yaml").write_text("turns: oops")
    monkeypatch.chdir(here)
    assert build("script:a.yaml", home).model_name == "script:a.yaml"
    (home / "a.yaml").write_text("turns: oops")
    for name in ("a.yaml", "b.yaml"):
        with pytest.raises(ConfigError, match=f"{name}:1"):
            build(f"script:{name}", home)
    with pytest.raises(UsageError, match=r"no script `c\.yaml`"):
        build("script:c.yaml", home)


def test_a_price_is_known_or_none_and_never_a_guess_of_zero() -> None:
    usage = RequestUsage(input_tokens=1_000_000, output_tokens=0)
    url = "https://api.openai.com/v1/"
    assert price("gpt-4o", usage, provider="openai", url=url) == pytest.approx(2.5)
    assert price("gpt-4o", usage, provider="openai", url="http://127.0.0.1:1/v1") is not None
    assert price("script:story.yaml", usage, provider="script") is None
    assert price("my-own-llama", usage, provider="openai", url=url) is None
    assert price("gpt-4o", RequestUsage(), provider="openai") is None
    assert price("gpt-4o", usage) is None


def test_a_provider_error_becomes_data_with_status_body_headers_and_cause() -> None:
    error = ModelHTTPError(
        429,
        "gpt-test",
        {"code": "insufficient_quota"},
        headers={"Retry-After": "7", "Set-Cookie": "session=1"},
        provider_error_code="insufficient_quota",
    )
    error.__cause__ = OSError(111, "refused")
    fault = fault_of(error)
    assert (fault.type, fault.module) == ("ModelHTTPError", "pydantic_ai.exceptions")
    assert fault.attributes["status_code"] == 429
    assert fault.attributes["provider_error_code"] == "insufficient_quota"
    assert fault.headers == {"retry-after": "7"}
    assert fault.body == '{"code": "insufficient_quota"}'
    assert fault.bases[0] == "pydantic_ai.exceptions.ModelAPIError"
    assert fault.cause
    assert fault.cause.type == "ConnectionRefusedError"
    assert fault.cause.attributes["errno"] == 111


def test_an_unreadable_answer_keeps_its_body() -> None:
    assert fault_of(UnexpectedModelBehavior("not JSON", "<html>")).body == "<html>"


def test_an_error_without_a_body_is_a_fault_without_one() -> None:
    assert fault_of(TimeoutError("slow")).body == ""


def test_a_body_of_any_size_is_cut() -> None:
    assert len(fault_of(ModelHTTPError(500, "gpt-test", {"a": "x" * 99_999})).body) == BODY_MAX

"""Model strings: `script:FILE`, and every `provider:model` of Pydantic AI.

Rule 1: no client repeats a request by itself. Repeating is the governor's, and it is counted.
Rule 2: keys and addresses are arguments; openai, anthropic and ollama take none from the environment.
Rule 3: what a provider raises becomes data here (`fault_of`) and is judged by the same classifier
    as a tool's failure.
Rule 4: a price nobody knows is None. A guess of 0 would switch a budget off.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Never, Protocol, runtime_checkable

from msgspec.structs import replace
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import ModelResponse
from pydantic_ai.models import Model, infer_model, known_model_names, parse_model_id
from pydantic_ai.providers import Provider, infer_provider
from pydantic_ai.usage import RequestUsage

from standpipe.actions import Fault
from standpipe.adapters.http_client import look_at
from standpipe.adapters.script import ScriptModel, load_script
from standpipe.errors import ConfigError, UsageError
from standpipe.execution import faults
from standpipe.files import nearest

ANTHROPIC_URL = "https://api.anthropic.com"
OPENAI_URL = "https://api.openai.com/v1"
OLLAMA_URL = "http://127.0.0.1:11434/v1"
NATIVE = ("openai:", "anthropic:", "ollama:")
NO_KEY = "no-key"  # servers on this machine ask for none; the SDK insists on one

_HOOKS = {"response": [look_at]}
BODY_MAX = 4_096  # characters of an answer that a classifier gets to read


def build_models(
    name: str,
    fallbacks: Sequence[str],
    *,
    home: Path,
    credentials: Mapping[str, str],
    timeout_seconds: float,
    next_turn: Callable[[], int],
) -> Mapping[str, Model[Any]]:
    """Return the model of a run and those that stand in for it, by their model strings.

    Raises:
        UsageError: one of them cannot be used.
    """
    build = partial(
        build_model,
        home=home,
        credentials=credentials,
        timeout_seconds=timeout_seconds,
        next_turn=next_turn,
    )
    models = {name: build(name)}
    for other in fallbacks:
        try:
            models.setdefault(other, build(other))
        except UsageError as error:
            where = "standpipe.toml: `fallback_models` in `[failures]`"
            raise ConfigError(f"{where}: {error.message}", hint=error.hint) from None
    return models


async def close(models: Iterable[Model[Any]]) -> None:
    """Close the connections of models; a client that was passed to a provider is not closed by it."""
    for model in models:
        client: object = getattr(model.provider, "client", None)
        if isinstance(client, _Closes):
            await client.close()


def build_model(
    name: str,
    *,
    home: Path,
    credentials: Mapping[str, str],
    timeout_seconds: float,
    next_turn: Callable[[], int],
) -> Model[Any]:
    """Return the model a model string names; one request of it is one request on the wire.

    `credentials` may hold OPENAI_API_KEY, OPENAI_BASE_URL, ANTHROPIC_API_KEY, ANTHROPIC_BASE_URL and
    OLLAMA_BASE_URL; other providers find their own. `next_turn` counts the responses of the run so
    far, for a script. `timeout_seconds` is how long the other side may be silent.

    Raises:
        UsageError: no such provider, script or key.
    """
    provider, model_name = parse_model_id(name)
    if provider == "script" and model_name:
        return ScriptModel(load_script(_script_path(model_name, home)), next_turn)
    if provider is None or not model_name:
        raise UsageError(f"model `{name}` is not of the form `provider:model`", hint=_hint(name))
    if provider == "openai" and credentials.get("OPENAI_BASE_URL"):
        provider = "openai-chat"  # other servers speak chat completions, few the Responses API
    try:
        model = infer_model(
            f"{provider}:{model_name}", lambda kind: _provider(kind, credentials=credentials)
        )
    except (UserError, ImportError, ValueError) as error:
        raise UsageError(f"cannot use model `{name}`: {error}", hint=_hint(name)) from None
    return _asked_once(model, timeout_seconds)


def price(
    model: str, usage: RequestUsage, *, provider: str | None = None, url: str | None = None
) -> float | None:
    """Return what a response cost in USD, or None where nobody knows.

    `model`, `provider` and `url` are `model_name`, `provider_name` and `provider_url` of a response.
    """
    from genai_prices import calc_price  # noqa: PLC0415 -- its data costs more than this module

    if usage.unmeasured_requests or not usage.has_values():
        return None
    places = ((None, url), (provider, None))  # the address knows best, the name is next
    for provider_id, provider_url in places:
        if not (provider_id or provider_url):
            continue
        try:
            found = (
                calc_price(usage, model, provider_id=provider_id)
                if provider_id
                else calc_price(usage, model, provider_api_url=provider_url)
            )
        except (LookupError, ValueError):  # no such model there, or counts that make no sense
            continue
        return float(found.total_price)
    return None


def price_of(response: ModelResponse) -> float | None:
    """Return what a response cost in USD, or None where nobody knows."""
    name, provider = response.model_name or "", response.provider_name
    return price(name, response.usage, provider=provider, url=response.provider_url)


def fault_of(error: BaseException) -> Fault:
    """Return an error of a model request as data, with its address and the body that was parsed.

    Pydantic AI keeps the body; the address only the SDK's own error has, which is its cause.
    """
    fault, body = faults.fault_of(error), getattr(error, "body", None)
    if fault.cause and not fault.url:
        fault = replace(fault, url=fault.cause.url)
    if fault.body or body is None:
        return fault
    return replace(fault, body=faults.plain(json.dumps(body, default=str), BODY_MAX))


@runtime_checkable
class _Closes(Protocol):
    async def close(self) -> None: ...


def _script_path(name: str, home: Path) -> Path:
    places = (home / name, Path(name))
    for place in places:
        if place.is_file():
            return place
    raise UsageError(
        f"no script `{name}`",
        hint=f"looked for {' and '.join(f'`{place}`' for place in places)}",
    )


def _provider(kind: str, *, credentials: Mapping[str, str]) -> Provider[Any]:
    """Make the provider with the keys and addresses we were given, never with those lying around."""
    match kind:
        case "openai" | "openai-chat" | "openai-responses":
            url = credentials.get("OPENAI_BASE_URL")
            key = credentials.get("OPENAI_API_KEY") or (NO_KEY if url else _no_key("openai"))
            from openai import DefaultAsyncHttpxClient  # noqa: PLC0415 -- loads the SDK
            from pydantic_ai.providers.openai import OpenAIProvider  # noqa: PLC0415 -- same

            client = DefaultAsyncHttpxClient(event_hooks=_HOOKS)
            return OpenAIProvider(base_url=url or OPENAI_URL, api_key=key, http_client=client)
        case "anthropic":
            url = credentials.get("ANTHROPIC_BASE_URL") or ANTHROPIC_URL
            key = credentials.get("ANTHROPIC_API_KEY") or _no_key("anthropic")
            from anthropic import DefaultAsyncHttpxClient  # noqa: PLC0415 -- same
            from pydantic_ai.providers.anthropic import AnthropicProvider  # noqa: PLC0415 -- same

            client = DefaultAsyncHttpxClient(event_hooks=_HOOKS)
            return AnthropicProvider(base_url=url, api_key=key, http_client=client)
        case "ollama":
            from openai import DefaultAsyncHttpxClient  # noqa: PLC0415 -- same
            from pydantic_ai.providers.ollama import OllamaProvider  # noqa: PLC0415 -- same

            url = credentials.get("OLLAMA_BASE_URL") or OLLAMA_URL
            client = DefaultAsyncHttpxClient(event_hooks=_HOOKS)
            return OllamaProvider(base_url=url, api_key=NO_KEY, http_client=client)
        case _:
            return infer_provider(kind)


def _no_key(provider: str) -> Never:
    name = f"{provider.upper()}_API_KEY"
    raise UsageError(
        f"no key for {provider}: {name} is not set",
        hint=f"`export {name}=...`, or use a model that needs none: `ollama:NAME`, `script:FILE`",
    )


def _asked_once(model: Model[Any], timeout_seconds: float) -> Model[Any]:
    """Switch off the repeats of the SDK: it repeats even what cannot work, like `insufficient_quota`."""
    client: object = getattr(model.provider, "client", None)
    for option, value in (("max_retries", 0), ("timeout", timeout_seconds)):
        if hasattr(client, option):
            setattr(client, option, value)
    return model


def _hint(name: str) -> str:
    known = [full for full in known_model_names() if ":" in full]
    if ":" not in name:  # of all who serve a model of that name, prefer those we know best
        ranked = sorted(known, key=lambda full: full.startswith(NATIVE))
        by_model = {full.partition(":")[2]: full for full in ranked}
        near = by_model.get(nearest(name, by_model) or "")
    else:
        near = nearest(name, known)
    if near and near != name:
        return f"did you mean `{near}`?"
    return "for example `openai:MODEL`, `anthropic:MODEL`, `ollama:MODEL` or `script:story.yaml`"

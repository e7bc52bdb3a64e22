"""Pydantic AI: `Agent.run_sync`, its defaults."""

from openai import AsyncOpenAI
from peer import Trial, tell
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


def run(trial: Trial) -> object:
    client = AsyncOpenAI(base_url=f"{trial.model_url}/v1", api_key="sk-test", **trial.patience)
    model = OpenAIChatModel("gpt-test", provider=OpenAIProvider(openai_client=client))
    return Agent(model, tools=[trial.tool]).run_sync(trial.task).output


tell(run)

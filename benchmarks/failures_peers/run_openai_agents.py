"""OpenAI Agents SDK: `Runner.run_sync`, its defaults."""

from agents import (
    Agent,
    Runner,
    function_tool,
    set_default_openai_api,
    set_default_openai_client,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from peer import Trial, tell


def run(trial: Trial) -> object:
    client = AsyncOpenAI(base_url=f"{trial.model_url}/v1", api_key="sk-test", **trial.patience)
    set_default_openai_client(client, use_for_tracing=False)
    set_default_openai_api("chat_completions")
    set_tracing_disabled(disabled=True)
    agent = Agent(name="clerk", model="gpt-test", tools=[function_tool(trial.tool)])
    return Runner.run_sync(agent, trial.task).final_output


tell(run)

"""Anthropic's SDK: `tool_runner`, its defaults."""

from anthropic import Anthropic, beta_tool
from peer import Trial, tell


def run(trial: Trial) -> object:
    client = Anthropic(base_url=trial.model_url, api_key="sk-ant-test", **trial.patience)
    runner = client.beta.messages.tool_runner(
        model="claude-test",
        max_tokens=1000,
        tools=[beta_tool(trial.tool)],
        messages=[{"role": "user", "content": trial.task}],
    )
    return "".join(block.text for block in runner.until_done().content if block.type == "text")


tell(run)

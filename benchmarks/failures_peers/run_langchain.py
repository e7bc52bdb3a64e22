"""LangChain: `create_agent`, its defaults."""

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from peer import Trial, tell


def run(trial: Trial) -> object:
    model = ChatOpenAI(
        model="gpt-test", base_url=f"{trial.model_url}/v1", api_key="sk-test", **trial.patience
    )
    agent = create_agent(model, [trial.tool])
    return agent.invoke({"messages": [("user", trial.task)]})["messages"][-1].content


tell(run)

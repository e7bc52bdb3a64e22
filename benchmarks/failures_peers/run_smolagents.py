"""smolagents: `ToolCallingAgent.run`, its defaults."""

from peer import Trial, tell
from smolagents import OpenAIModel, Tool, ToolCallingAgent


def asked(trial: Trial) -> Tool:
    words = {"customer": "whose", "request": "a name for this request"}

    class Wrapped(Tool):
        name = trial.tool.__name__
        description = trial.tool.__doc__ or ""
        inputs = {name: {"type": "string", "description": said} for name, said in words.items()}  # noqa: RUF012 -- as smolagents wants it
        output_type = "string"
        skip_forward_signature_validation = True

        def forward(self, customer: str, request: str) -> str:
            return trial.tool(customer, request)

    return Wrapped()


def run(trial: Trial) -> object:
    kept = {"client_kwargs": trial.patience} if trial.patience else {}
    model = OpenAIModel("gpt-test", api_base=f"{trial.model_url}/v1", api_key="sk-test", **kept)
    return ToolCallingAgent(tools=[asked(trial)], model=model).run(trial.task)


tell(run)

"""What all runners share: where things are, and how an end is told.

A runner is started as `python run_NAME.py FOLDER`. In the folder are `trial.json` and `tools.py`. It
writes `end.json`: whether the framework returned or raised, and its words. What it raised goes on to
the interpreter, as it would for a user.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Trial:
    task: str
    model_url: str
    model_seconds: float | None  # the client's deadline; None leaves the framework's own
    tool: Callable[..., str]

    @property
    def patience(self) -> dict[str, Any]:
        """Return `timeout` for a client, where this trial scales it."""
        return {} if self.model_seconds is None else {"timeout": self.model_seconds}


def tell(run: Callable[[Trial], object]) -> None:
    """Run the framework once and write down how it ended."""
    folder = Path(sys.argv[1])
    sys.path.insert(0, str(folder))
    said = json.loads((folder / "trial.json").read_text())
    tool = getattr(import_module("tools"), said["tool"])
    trial = Trial(said["task"], said["model_url"], said["model_seconds"], tool)
    try:
        text = str(run(trial))
    except BaseException as error:
        _write(folder, "raised", _chain(error))
        raise
    _write(folder, "returned", text)


def _write(folder: Path, ended: str, text: str) -> None:
    (folder / "end.json").write_text(json.dumps({"ended": ended, "text": text}))


def _chain(error: BaseException | None) -> str:
    """Say what a traceback would say, without its frames."""
    told: list[str] = []
    while error is not None and len(told) < 8:  # noqa: PLR2004 -- a chain may be a circle
        told.append(f"{type(error).__name__}: {error}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(told)

"""One environment for each peer, made once and kept.

Rule 1: an environment is named by what was asked for, so another pin makes another one.
Rule 2: it is ready when its marker says so; a half-made one is made again.
Rule 3: the versions that are told are those that were installed, not those that were asked for.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

READY = "ready.json"
CLIENT = "httpx==0.28.1"  # what the tools of every peer fetch with
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Peer:
    """An agent framework: what is installed, and which of it is named in the table."""

    name: str
    shown: str
    requirements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Environment:
    peer: Peer
    folder: Path
    versions: Mapping[str, str]

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def label(self) -> str:
        return f"{self.peer.shown} {self.versions[self.peer.shown]}"


PEERS = (
    Peer("pydantic-ai", "pydantic-ai-slim", ("pydantic-ai-slim[openai]==2.68.0",)),
    Peer("openai-agents", "openai-agents", ("openai-agents==0.24.0",)),
    Peer("langgraph", "langgraph", ("langgraph==1.2.22", "langchain-openai==1.7.3")),
    Peer("langchain", "langchain", ("langchain==1.4.7", "langchain-openai==1.7.3")),
    Peer("smolagents", "smolagents", ("smolagents[openai]==1.26.0",)),
    Peer("anthropic", "anthropic", ("anthropic==2.12.0",)),
    Peer("standpipe", "standpipe", ("-e", str(ROOT))),
)


def prepare(peer: Peer, envs: Path) -> Environment:
    """Return the environment of a peer, made now if it is not there."""
    asked = [*peer.requirements, CLIENT, _dependencies(peer)]
    key = hashlib.sha256("\n".join([*asked, sys.version]).encode()).hexdigest()[:8]
    folder = envs / f"{peer.name}-{key}"
    if not (folder / READY).is_file():
        print(f"making an environment for {peer.name} in {folder}", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        _pip(folder, "install", "-q", *peer.requirements, CLIENT)
        (folder / READY).write_text(_pip(folder, "list", "--format", "json"))
    listed = json.loads((folder / READY).read_text())
    return Environment(peer, folder, {one["name"]: one["version"] for one in listed})


def _dependencies(peer: Peer) -> str:
    """Our own environment follows our own file: what it asks for may change between two runs."""
    return (ROOT / "pyproject.toml").read_text() if peer.name == "standpipe" else ""


def _pip(folder: Path, *arguments: str) -> str:
    quiet = ("--disable-pip-version-check", "--no-input")
    command = [folder / "bin" / "python", "-m", "pip", *quiet, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"pip failed in {folder}\n{done.stderr[-2000:]}")
    return done.stdout

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import get_args

import pytest
from pydantic_ai.models import KnownModelName

from standpipe.cli import main
from standpipe.cli.scaffold import SCRIPT_MODEL, detect_models, instructions_near, scaffold
from standpipe.config import Environment, load_settings
from standpipe.errors import UsageError
from standpipe.files import load_yaml
from standpipe.memory.brain import Brain


def test_a_new_home_can_be_read_and_names_no_folder(tmp_path: Path) -> None:
    home = tmp_path / "agent"
    said = scaffold(home)
    settings = load_settings(home)
    assert (settings.model, set(settings.tools)) == (SCRIPT_MODEL, {"send_email"})
    script = load_yaml((home / "story.yaml").read_text(), name="story.yaml")
    assert isinstance(script, dict)
    assert script["then"] == "stop"
    assert "careful assistant" in Brain.open(home).boot().text
    assert all(str(home) not in path.read_text() for path in home.rglob("*") if path.is_file())
    assert "wrote standpipe.toml" in said
    compile((home / "tools.py").read_text(), "tools.py", "exec")


def test_a_second_init_keeps_every_file_and_says_so(tmp_path: Path) -> None:
    scaffold(tmp_path)
    (tmp_path / "standpipe.toml").write_text('model = "mine"\n')
    said = scaffold(tmp_path, model="openai:x")
    assert load_settings(tmp_path).model == "mine"
    assert {line.split()[0] for line in said} == {"kept"}


def test_the_chosen_model_is_written(tmp_path: Path) -> None:
    scaffold(tmp_path, model='ollama:"odd"')
    assert load_settings(tmp_path).model == 'ollama:"odd"'


@pytest.mark.parametrize(
    ("model", "others"),
    [
        (None, '# or "anthropic:...", "openai:...", "ollama:..."'),
        ("ollama:m", '# or "script:story.yaml": a model that reads its answers from a file'),
    ],
)
def test_the_line_of_the_model_names_what_else_there_is(
    tmp_path: Path, model: str | None, others: str
) -> None:
    scaffold(tmp_path, model=model)
    [line] = [
        line
        for line in (tmp_path / "standpipe.toml").read_text().splitlines()
        if line.startswith("model = ")
    ]
    assert line.endswith(others)


def test_instructions_that_lie_there_become_the_identity_and_name_their_origin(
    tmp_path: Path,
) -> None:
    here, home = tmp_path / "here", tmp_path / "home"
    here.mkdir()
    (here / "AGENTS.md").write_text("\ufeffAnswer in French.\n")
    scaffold(home, adopt=True, here=here)
    identity = (home / "brain/IDENTITY.md").read_text()
    assert identity.startswith("<!-- taken over from AGENTS.md")
    assert identity.endswith("\n\nAnswer in French.\n")
    (home / "CLAUDE.md").write_text("nearer")
    assert instructions_near(home, here) == home / "CLAUDE.md"
    assert instructions_near(tmp_path / "none", tmp_path) is None


def test_instructions_are_taken_over_later_but_never_over_what_a_person_wrote(
    tmp_path: Path,
) -> None:
    scaffold(tmp_path)
    (tmp_path / "AGENTS.md").write_text("Answer in French.\n")
    assert "took over AGENTS.md as brain/IDENTITY.md" in scaffold(tmp_path, adopt=True)
    identity = tmp_path / "brain/IDENTITY.md"
    assert identity.read_text().endswith("Answer in French.\n")
    identity.write_text("mine\n")
    said = scaffold(tmp_path, adopt=True)
    assert "AGENTS.md not taken over: brain/IDENTITY.md exists" in said
    assert identity.read_text() == "mine\n"


def test_init_names_the_model_that_is_in_the_file_and_quotes_the_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = str(tmp_path / "x y")
    assert main(["init", home, "--model", "script:story.yaml"]) == 0
    told = capsys.readouterr().out
    assert "model: script:story.yaml (a script answers, whatever you ask)" in told
    assert f"$ standpipe run \"Summarise the notes\" --home '{home}'" in told
    assert main(["init", home, "--model", "ollama:m"]) == 0
    again = capsys.readouterr().out
    assert "model: script:story.yaml (standpipe.toml was there and stays;" in again


def test_a_target_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot make a home"):
        scaffold(tmp_path / "file")


class Tags(BaseHTTPRequestHandler):
    body = json.dumps({"models": [{"name": "qwen3:8b"}, {"name": "llama3"}]}).encode()

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name of the base class
        pass


@pytest.fixture
def ollama_port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Tags)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_keys_and_a_local_server_are_found_and_name_models_that_exist(ollama_port: int) -> None:
    keys = Environment({"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"})
    found = detect_models(variables=keys, ollama_port=ollama_port)
    assert found[-1] == "ollama:qwen3:8b"
    assert len(found) == 3
    assert set(found[:-1]) <= set(get_args(KnownModelName.__value__))


def test_a_server_that_is_not_ollama_is_not_taken_for_one(
    ollama_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for body in (b"<html>", b"[]", b'{"models": []}', b'{"models": [{"name": 3}]}'):
        monkeypatch.setattr(Tags, "body", body)
        assert detect_models(variables=Environment({}), ollama_port=ollama_port) == []


def test_without_keys_and_servers_no_model_is_found() -> None:
    assert detect_models(variables=Environment({}), ollama_port=1) == []

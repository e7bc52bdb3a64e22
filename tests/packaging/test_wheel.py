"""The wheel, as somebody else gets it: built, installed into a clean environment, run from there."""

import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(900)  # a slow index is not our failure


def done(command: list[str | Path], cwd: Path) -> str:
    ran = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    if uv := shutil.which("uv"):
        done([uv, "build", "-q", "--wheel", "--out-dir", folder, ROOT], folder)
    else:
        done([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT], folder)
    return next(folder.glob("standpipe-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clean")
    home = folder / "env"
    if uv := shutil.which("uv"):
        done([uv, "venv", "-q", "--python", sys.executable, home], folder)
        done([uv, "pip", "install", "-q", "--python", home / "bin" / "python", wheel], folder)
    else:
        venv.create(home, with_pip=True)
        done([home / "bin" / "python", "-m", "pip", "install", "-q", "--no-compile", wheel], folder)
    return home / "bin"


def test_the_wheel_holds_the_package_its_types_and_its_licence_and_nothing_else(
    wheel: Path,
) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "standpipe/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"standpipe"}
    assert not tarfile.is_tarfile(wheel)


def test_the_demo_runs_from_the_installed_wheel(installed: Path, tmp_path: Path) -> None:
    told = done([installed / "standpipe", "demo"], tmp_path)
    assert "5 sent = 5 in the SMTP ledger; journal whole" in told
    assert list(tmp_path.iterdir()) == []


def test_a_new_home_runs_at_once_from_the_installed_wheel(installed: Path, tmp_path: Path) -> None:
    done([installed / "standpipe", "init", "my-agent"], tmp_path)
    told = done(
        [installed / "standpipe", "run", "Summarise the notes", "--home", "my-agent"], tmp_path
    )
    assert "r1 done" in told

"""What pages take from the code is what the code says now: `make docs` writes it anew."""

import sys
from pathlib import Path

import pytest
from cogapp import Cog

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted(ROOT.glob("docs/reference/*.md"))]
WORDED_BY_PYTHON = "cli.md"  # argparse words its help differently in every version of Python


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_shows_what_the_code_says(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if page.name == WORDED_BY_PYTHON and sys.version_info[:2] != (3, 11):
        pytest.skip("the help is written with Python 3.11")
    code = Cog().main(["cog", "--check", "--diff", str(page)])
    assert code == 0, f"`make docs` brings it up to date:\n{capsys.readouterr().out}"

"""What pages take from the code is what the code says now: `make docs` writes it anew."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "ARCHITECTURE.md",
    ROOT / "docs/failures.md",
    *sorted(ROOT.glob("docs/reference/*.md")),
]
WORDED_BY_PYTHON = "cli.md"  # argparse words its help differently in every version of Python


def test_the_pages_show_what_the_code_says() -> None:
    written_with = sys.version_info[:2] == (3, 11)
    pages = [str(page) for page in PAGES if written_with or page.name != WORDED_BY_PYTHON]
    checked = subprocess.run(
        [sys.executable, "-m", "cogapp", "--check", "--diff", *pages],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert checked.returncode == 0, f"`make docs` writes it anew:\n{checked.stdout}{checked.stderr}"

"""Values that vary from call to call, and the list of causes they are poured into.

Rule 1: what a cause draws is an argument of the call and is recorded as such.
Rule 2: what a server makes up by itself (`draw.unseen`) is not.
Rule 3: half of the names carry digits, half do not; some carry dots, hyphens or both cases.
"""

import os
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

WORDS = (
    "harbor", "meadow", "falcon", "copper", "lantern", "orchard", "violet", "granite", "pelican", "saffron",
    "timber", "walnut", "breeze", "cobalt", "dune", "ember", "fjord", "glacier", "heron", "iris",
    "juniper", "kestrel", "lagoon", "maple", "nectar", "opal", "prairie", "quartz", "raven", "sierra",
    "payroll", "tickets", "vendors", "refunds", "shipments", "contacts", "tenants", "metrics", "events", "drafts",
)  # fmt: skip
EXTENSIONS = ("txt", "csv", "json", "log", "yaml", "md", "bin")
FOLDERS = ("/tmp/second/work", "/srv/nowhere", "/home/agent/jobs", "/var/lib/absent")  # noqa: S108 -- WORK, and three that do not exist


@dataclass(slots=True)
class Draw:
    random: Random
    args: list[str] = field(default_factory=list)

    @property
    def unseen(self) -> "Draw":
        """Draw from the same dice without recording: the server's own values."""
        return Draw(self.random)

    def word(self) -> str:
        return self.note(self.random.choice(WORDS))

    def ident(self) -> str:
        """A name that is an identifier in SQL, Python, C and a shell."""
        one, two = self.random.sample(WORDS, 2)
        shapes = (one, f"{one}_{two}", f"{one}{two}", f"{one}_{self.random.randrange(10_000)}",
                  f"{one}{self.random.randrange(100)}")  # fmt: skip
        return self.note(self.random.choice(shapes))

    def name(self) -> str:
        """A name as people give them to files, buckets, channels and hosts' paths."""
        one, two = self.random.sample(WORDS, 2)
        shapes = (one, f"{one}-{two}", f"{one}_{two}", f"{one}-{self.random.randrange(100_000)}",
                  f"{one.title()}{two.title()}", f"{one}.{two}", f"{one}{self.random.randrange(1_000)}")  # fmt: skip
        return self.note(self.random.choice(shapes))

    def number(self, low: int = 100, high: int = 999_999) -> int:
        return int(self.note(str(self.random.randrange(low, high))))

    def hexes(self, length: int = 24) -> str:
        return self.note("".join(self.random.choices("0123456789abcdef", k=length)))

    def uuid(self) -> str:
        made = "".join(self.random.choices("0123456789abcdef", k=32))
        return self.note(f"{made[:8]}-{made[8:12]}-4{made[13:16]}-a{made[17:20]}-{made[20:]}")

    def day(self) -> str:
        year, month, day = (
            self.random.randrange(*span) for span in ((2019, 2027), (1, 13), (1, 29))
        )
        return self.note(f"{year}-{month:02}-{day:02}")

    def path(self, extension: str = "") -> str:
        folder, ending = self.random.choice(FOLDERS), extension or self.random.choice(EXTENSIONS)
        return self.note(f"{folder}/{self.name()}/{self.name()}.{ending}")

    def host(self) -> str:
        one, two = self.random.sample(WORDS, 2)
        return self.note(
            self.random.choice(
                (f"{one}.invalid", f"api.{one}-{two}.invalid", f"{one}7.{two}.invalid")
            )
        )

    def port(self) -> int:
        """A loopback port on which nobody listens."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(self.note(str(probe.getsockname()[1])))

    def choice(self, among: tuple[str, ...]) -> str:
        return self.note(self.random.choice(among))

    def note(self, value: str) -> str:
        self.args.append(value)
        return value


class ToolError(Exception):
    """Plain text, as a tool that runs a program returns it."""


@dataclass(frozen=True, slots=True)
class Cause:
    label: str
    kinds: tuple[str, ...] | None
    provoke: Callable[[Draw], object]


WORK = Path("/tmp/second/work")  # noqa: S108 -- a scratch folder of this script, made by it


def command(*words: str, given: str = "", cwd: Path | None = None, **environment: str) -> None:
    """Run a program; what it says on stderr and its exit code are the message."""
    done = subprocess.run(
        words, input=given, capture_output=True, text=True, check=False, timeout=60, cwd=cwd or WORK, errors="replace",
        env={"PATH": f"{WORK.parent / 'bin'}:{os.environ['PATH']}", "HOME": str(WORK.parent / "home"), "LANG": "C.UTF-8",
             "RUSTUP_HOME": str(Path.home() / ".rustup"), **environment},
    )  # fmt: skip
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip()
        raise ToolError(f"{said}\n(exit code {done.returncode})")


def written(name: str, text: str, folder: str = "") -> Path:
    """Put a file into the scratch folder and name it."""
    place = WORK / folder / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return place

"""The checklist that runs before `done` is believed. Silent when green; closed when it cannot tell.

Rule 1: every line is checked by code; what only the agent says is shown as unverified.
Rule 2: a check that crashes, is missing, or exceeds its deadline has failed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from standpipe.execution.commands import Ran, run_command, shell_argv
from standpipe.journal.causes import cause, way_out
from standpipe.journal.entries import (
    Acceptance,
    BlockedRaised,
    Body,
    Check,
    Entry,
    InDoubt,
    Proposed,
    Reconciled,
    Settled,
    Verdict,
)
from standpipe.journal.failures import Failure, unresolved
from standpipe.journal.views import answers, created
from standpipe.outcomes.outcome import Succeeded

FAILURES = "no unresolved failure"
_SHOWN = 300
_Mask = Callable[[object], object]
_READ_MAX = 50_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Checklist:
    """What must hold before a run is done. `secrets_in` names the secrets in a text."""

    home: Path
    secrets_in: Callable[[object], tuple[str, ...]]
    deadline_seconds: float = 60.0

    async def run(
        self,
        entries: Sequence[Entry],
        *,
        claim: str,
        summary: str,
        evidence: Sequence[str],
        mask: _Mask,
    ) -> tuple[Check, ...]:
        """Check everything; `claim` is the action id of the `done` that is being judged.

        `mask` takes the secrets out of what is shown before it is cut: half of one is found by nobody.
        """
        asked = created(entries)
        told = {"task": asked.task, "summary": summary, "evidence": list(evidence)}
        return (
            no_unresolved_failure(unresolved(entries)),
            nothing_in_doubt(entries),
            nothing_held(entries, claim=claim),
            every_effect_has_its_why(entries),
            self._no_secret_in_files(entries),
            self._no_secret_in_messages(entries),
            *[await self._accepted(line, evidence, mask) for line in asked.acceptance],
            *[await self._executable(path, told, mask) for path in self._executables()],
        )

    def _no_secret_in_files(self, entries: Sequence[Entry]) -> Check:
        problems = [problem for path in _changed(entries) if (problem := self._problem(path))]
        return Check("no secret in a changed file", not problems, "; ".join(problems))

    def _problem(self, path: str) -> str:
        """Say what keeps a changed file from passing; what cannot be read has not passed."""
        if self.secrets_in(path):
            return "a file whose name is a secret"
        file = self.home / "workspace" / path
        if file.is_symlink() or not file.is_file():
            return ""
        try:
            content = file.read_bytes() if file.stat().st_size <= _READ_MAX else None
        except OSError as error:
            return f"{path} (cannot be read: {error.strerror})"
        if content is None:
            return f"{path} (too large to be checked: more than {_READ_MAX // 1_000_000} MB)"
        encodings = ("utf-8", "utf-16-le", "utf-16-be")
        names = {n for e in encodings for n in self.secrets_in(content.decode(e, "replace"))}
        return f"{path} ({', '.join(sorted(names))})" if names else ""

    def _no_secret_in_messages(self, entries: Sequence[Entry]) -> Check:
        sent = _effects(entries)
        found = [
            f"{name} ({', '.join(names)})"
            for name, arguments in sent
            if (names := self.secrets_in(arguments))
        ]
        return Check("no secret in an outgoing message", not found, "; ".join(found))

    async def _accepted(self, line: Acceptance, evidence: Sequence[str], mask: _Mask) -> Check:
        if line.run:
            ran = await run_command(
                shell_argv(line.run), cwd=self.home, deadline_seconds=self.deadline_seconds
            )
            return Check(f"acceptance: {line.run}", ran.passed, _said(ran, mask))
        shown = str(mask("; ".join(line for line in evidence if line.strip())))[:_SHOWN]
        return Check(
            f"acceptance: {line.sentence}",
            bool(shown),
            shown or "no evidence was given",
            verified=False,
        )

    async def _executable(self, path: Path, told: Mapping[str, object], mask: _Mask) -> Check:
        ran = await run_command(
            [str(path)],
            cwd=self.home,
            stdin=msgspec.json.encode({"point": "before_done", **told}),
            deadline_seconds=self.deadline_seconds,
        )
        return Check(f"checks/{path.name}", ran.passed, _said(ran, mask))

    def _executables(self) -> list[Path]:
        """Return what lies in `checks/`; what cannot be run fails when it is run."""
        folder = self.home / "checks"
        if not folder.is_dir():
            return []
        return [
            path
            for path in sorted(folder.iterdir())
            if path.suffix != ".md" and not path.name.startswith(".") and not path.is_dir()
        ]


def no_unresolved_failure(failures: Sequence[Failure]) -> Check:
    """Every failure on the way was overcome, or answered by a human."""
    names = ", ".join(
        f"{f.tool} {f.kind}" for f in failures
    )  # bare: these tell one list from another
    shown = "; ".join(map(_still_open, failures))
    return Check(FAILURES, not failures, f"{names} still open: {shown}" if failures else "")


def nothing_in_doubt(entries: Sequence[Entry]) -> Check:
    """No effect is left of which nobody knows whether it happened."""
    given = answers(entries)
    open_ones = [
        e.body.what for e in entries if isinstance(e.body, InDoubt) and e.body.blocker not in given
    ]
    return Check("nothing in doubt", not open_ones, "; ".join(open_ones))


def nothing_held(entries: Sequence[Entry], *, claim: str) -> Check:
    """No call waits for a human."""
    given = answers(entries)
    held = [
        entry.body.ask
        for entry in entries
        if isinstance(entry.body, BlockedRaised)
        and entry.key not in given
        and entry.body.action != claim
    ]
    return Check("nothing held", not held, "; ".join(held)[:_SHOWN])


def every_effect_has_its_why(entries: Sequence[Entry]) -> Check:
    """Whoever reads the report can see why each effect took place."""
    silent = [
        f"{entry.action} {entry.body.tool}"
        for entry in entries
        if isinstance(entry.body, Proposed)
        and entry.body.effect != "read"
        and entry.body.origin != "agent"
        and not entry.body.why.strip()
        and _happened(entry.action, entries)
    ]
    return Check("every effect has its why", not silent, "; ".join(silent))


def _still_open(failure: Failure) -> str:
    """Say what failed, what was done about it, and what would resolve it."""
    done = "".join(f", {one}" for one in failure.tried)
    return f"`{failure.tool}`: {cause(failure)}{done}; resolved by {way_out(failure)}"


def _happened(action: str, entries: Sequence[Entry]) -> bool:
    return any(entry.action == action and _succeeded(entry.body) for entry in entries)


def _succeeded(body: Body) -> bool:
    match body:
        case Settled(outcome=Succeeded()) | Reconciled(verdict=Verdict.HAPPENED):
            return True
        case _:
            return False


def _changed(entries: Sequence[Entry]) -> list[str]:
    """Return what was written, by an attempt nobody saw the end of, too, whatever it came to."""
    paths = {
        change.path
        for entry in entries
        if isinstance(entry.body, Settled | Reconciled)
        for change in entry.body.changes
    }
    return sorted(paths)


def _effects(entries: Sequence[Entry]) -> list[tuple[str, Mapping[str, object]]]:
    return [
        (f"{entry.action} {entry.body.tool}", entry.body.arguments)
        for entry in entries
        if isinstance(entry.body, Proposed)
        and entry.body.effect != "read"
        and entry.body.origin != "agent"
        and _happened(entry.action, entries)
    ]


def _said(ran: Ran, mask: _Mask) -> str:
    output = str(mask(ran.output))
    return f"exit {ran.code}: {output}"[:_SHOWN] if ran.code is not None else output

"""Rows as they stand in the middle of one entry: read where they lie, kept until they are written."""

from dataclasses import dataclass, field

from standpipe.governor.hosts import Host
from standpipe.journal.projections import HOSTS, TOOLS, Look, R, Row, ToolRow, Update, read_row


@dataclass(slots=True)
class Rows:
    """What an entry has changed so far, in front of what is kept."""

    look: Look
    updates: dict[tuple[str, str], Update] = field(default_factory=dict[tuple[str, str], Update])

    def read(self, kind: type[R], view: str, key: str) -> R | None:
        """Return a row with what this entry has changed in it."""
        changed = self.updates.get((view, key))
        if changed is not None and isinstance(changed.row, kind):
            return changed.row
        return read_row(kind, self.look(view, key))

    def put(self, view: str, key: str, row: Row) -> None:
        """Change a row."""
        self.updates[view, key] = Update(view, key, row)

    def tool(self, name: str) -> ToolRow:
        """Return what is unresolved about a tool."""
        return self.read(ToolRow, TOOLS, name) or ToolRow(name)

    def host(self, name: str) -> Host:
        """Return what is known of a host."""
        return self.read(Host, HOSTS, name) or Host(name)


def added(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    """Return `names` with `name` as the newest."""
    return (*without(names, name), name)


def without(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    """Return `names` but for `name`."""
    return tuple(known for known in names if known != name)

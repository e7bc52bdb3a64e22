"""What a power cut must not take is asked of every connection that writes."""

import sqlite3
from pathlib import Path

from standpipe.stores.file.opening import JournalFile, connect

FULL = 2  # sqlite.org: pragma synchronous


def test_a_commit_returns_only_once_it_is_on_disk(tmp_path: Path) -> None:
    connections: list[sqlite3.Connection] = []

    def kept(address: str) -> sqlite3.Connection:
        db = connect(address)
        db.execute("pragma synchronous = normal")  # as some builds of SQLite have it from the start
        connections.append(db)
        return db

    opened = JournalFile.open(tmp_path / "journal.db", create=True, connect=kept)
    assert connections
    for db in connections:
        assert db.execute("pragma synchronous").fetchone() == (FULL,)
        assert db.execute("pragma journal_mode").fetchone() == ("wal",)
    opened.close()

"""What is believed of a journal after its disk failed under it: only what is read again."""

import sqlite3

from standpipe.errors import BrokenJournalError
from standpipe.journal.chain import link

_ENDS = """
select run.id, run.seq, run.head, entry.epoch, entry.key, entry.kind, entry.v, entry.at, entry.data,
  entry.prev, (select count(*) from entry beyond where beyond.run = run.id and beyond.seq > run.seq)
from run left join entry on entry.run = run.id and entry.seq = run.seq where run.seq > 0
"""


def must_end_well(db: sqlite3.Connection) -> None:
    """Have all that is seen written into the main file, and check the last entry of every stream.

    A failed fsync may have left a commit in the memory of the kernel only, where it can be read and is not on
    disk. SQLite writes it again when it empties its log, and asks for another fsync.

    Raises:
        BrokenJournalError: a stream does not end with what its head says.
    """
    db.execute("pragma wal_checkpoint(truncate)").fetchall()
    for run, seq, head, epoch, key, kind, v, at, data, prev, beyond in db.execute(_ENDS):
        whole = data is not None and head == link(
            run=run, seq=seq, epoch=epoch, key=key, kind=kind, v=v, at=at,
            data=str(data).encode(), prev=prev,
        )  # fmt: skip
        if beyond or not whole:
            raise BrokenJournalError(
                f"after the disk failed, `{run}` does not end with entry {seq} as it was written",
                hint="`standpipe journal verify` tells how much of it is sound; restore it from a backup",
            )

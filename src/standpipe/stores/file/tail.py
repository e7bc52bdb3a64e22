"""What is believed of a journal after its disk failed under it: only what is read again."""

import sqlite3

from standpipe.errors import BrokenJournalError
from standpipe.journal.chain import Stored, link_of
from standpipe.stores.retention import BURIED

_ENDS = """
select run.id, run.seq, run.head, entry.epoch, entry.key, entry.kind, entry.v, entry.at,
  cast(entry.data as blob), entry.prev, exists (
    select * from entry beyond where beyond.run = run.id and beyond.seq > run.seq)
from run left join entry on entry.run = run.id and entry.seq = run.seq
where run.seq > 0 and not exists (select * from meta where name = ? || run.id)
"""


def must_end_well(db: sqlite3.Connection, secret: bytes) -> None:
    """Have all that is seen written into the main file, and check the last entry of every stream.

    A failed fsync may have left a commit in the memory of the kernel only, where it can be read and is not on
    disk. SQLite writes it again when it empties its log, and asks for another fsync.

    Raises:
        BrokenJournalError: a stream does not end with what its head says.
    """
    db.execute("pragma wal_checkpoint(truncate)").fetchall()
    for run, seq, head, epoch, key, kind, v, at, data, prev, beyond in db.execute(_ENDS, (BURIED,)):
        last = data and Stored(run, seq, epoch, key, kind, v, at, data, prev, head)
        if beyond or not last or link_of(last, secret) != head:
            raise BrokenJournalError(
                f"after the disk failed, `{run}` does not end with entry {seq} as it was written",
                hint="`standpipe journal verify` tells how much of it is sound; restore it from a backup",
            )

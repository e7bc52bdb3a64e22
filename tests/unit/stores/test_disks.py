from pathlib import Path

import pytest

from standpipe.errors import UsageError
from standpipe.stores.file.disks import NETWORK, file_system, refuse_network, type_of

MOUNTS = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
31 22 0:25 / /home rw - nfs4 server:/home rw,vers=4.2
32 31 0:26 / /home/ann/local rw shared:9 - xfs /dev/sdb rw
33 22 0:27 / /mnt/my\040share rw - cifs //host/share rw
34 22 0:28 / /mnt/twice rw - ext4 /dev/sdc rw
35 34 0:29 / /mnt/twice rw - fuse.sshfs host: rw
""".strip().splitlines()


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/srv/agent/.standpipe", "ext4"),
        ("/home/ann/agent", "nfs4"),
        ("/home", "nfs4"),
        ("/homeless", "ext4"),
        ("/home/ann/local/agent", "xfs"),
        ("/mnt/my share/agent", "cifs"),
        ("/mnt/twice/x", "fuse.sshfs"),
    ],
)
def test_the_innermost_mount_and_the_later_of_two_tell_the_type(folder: str, kind: str) -> None:
    assert type_of(folder, MOUNTS) == kind


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "smb3", "9p", "fuse.sshfs"])
def test_a_journal_on_the_network_is_refused_with_a_way_out(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UsageError, match=rf"network file system \({kind}\)") as raised:
        refuse_network(tmp_path / "not/there/yet/journal.db", lambda _: kind)
    assert "[journal] store" in raised.value.hint


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "apfs", "tmpfs", "overlay", ""])
def test_a_local_one_and_one_that_nobody_can_tell_are_taken(tmp_path: Path, kind: str) -> None:
    refuse_network(tmp_path / "journal.db", lambda _: kind)


def test_this_machine_is_asked(tmp_path: Path) -> None:
    assert file_system(tmp_path) not in NETWORK

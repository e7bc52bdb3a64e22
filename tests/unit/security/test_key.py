import stat
from pathlib import Path

import pytest

from standpipe.errors import JournalError
from standpipe.security.key import key_of


def test_the_key_of_a_home_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    key = key_of(tmp_path / "state")
    assert key == key_of(tmp_path / "state")
    assert len(key) == 32
    assert stat.S_IMODE((tmp_path / "state/key").stat().st_mode) == 0o600
    assert [file.name for file in (tmp_path / "state").iterdir()] == ["key"]


def test_two_homes_have_two_keys(tmp_path: Path) -> None:
    assert key_of(tmp_path / "a") != key_of(tmp_path / "b")


def test_a_key_that_was_cut_short_is_told_and_not_used(tmp_path: Path) -> None:
    key_of(tmp_path)
    (tmp_path / "key").write_bytes(b"short")
    with pytest.raises(JournalError, match="delete it"):
        key_of(tmp_path)

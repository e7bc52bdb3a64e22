"""Old shapes are read as if they had been written today; newer ones are refused by name."""

import pytest

from standpipe.errors import BrokenJournalError, SchemaError
from standpipe.journal.chain import GENESIS, Stored, encode, entry_of, link_of, place
from standpipe.journal.entries import Draft, Noted
from standpipe.journal.upcasters import UPCASTERS, VERSIONS, Plain, upcast


def stored(kind: str, v: int, data: bytes) -> Stored:
    return Stored("r1", 4, 1, "k", kind, v, "2026-11-22T07:00:00.000Z", data, GENESIS, "")


def renamed(data: Plain) -> Plain:
    return {**{name: value for name, value in data.items() if name != "who"}, "by": data["who"]}


def doubled(data: Plain) -> Plain:
    return {**data, "why": f"{data['why']}{data['why']}"}


def test_steps_are_taken_one_after_the_other() -> None:
    old: Plain = {"who": "ann", "what": "x", "why": "y", "type": "decision.noted"}
    steps = {"decision.noted": {1: renamed, 2: doubled}}
    assert upcast("decision.noted", 1, old, steps=steps, now=3) == {
        "by": "ann", "what": "x", "why": "yy", "type": "decision.noted",
    }  # fmt: skip
    assert upcast("decision.noted", 3, old, steps=steps, now=3) == old


def test_every_version_has_its_step_to_the_next() -> None:
    steps = {kind: sorted(UPCASTERS[kind]) for kind in UPCASTERS}
    assert steps == {kind: list(range(1, version)) for kind, version in VERSIONS.items()}


@pytest.mark.parametrize(
    ("kind", "v", "said"),
    [
        ("decision.noted", 2, "entry r1/4 is `decision.noted` of version 2, this standpipe reads versions up to 1"),
        ("dream.dreamt", 1, "entry r1/4 is `dream.dreamt` of version 1, this standpipe reads no such kind"),
    ],
)  # fmt: skip
def test_an_entry_of_a_newer_version_is_refused_by_name(kind: str, v: int, said: str) -> None:
    with pytest.raises(SchemaError, match=said):
        entry_of(stored(kind, v, b"{}"))


@pytest.mark.parametrize("data", [b"{}", b"", b"\xff", b'{"type":"decision.noted"}'])
def test_what_nobody_can_have_written_is_broken(data: bytes) -> None:
    with pytest.raises(BrokenJournalError, match=r"entry r1/4 \(decision.noted\) cannot be read"):
        entry_of(stored("decision.noted", 1, data))


def test_half_a_surrogate_pair_is_kept_as_a_mark() -> None:
    draft = Draft("k", Noted("ann", "half \ud83d pair", "\udc1f", ("\ud800",)))
    entry = place(draft, run="r1", seq=4, epoch=1, at="2026-11-22T07:00:00.000Z", prev=GENESIS)
    assert entry.body == Noted("ann", "half \ufffd pair", "\ufffd", ("\ufffd",))
    written = stored("decision.noted", 1, encode(draft.body))
    assert link_of(written) == entry.hash
    assert entry_of(written).body == entry.body


def test_with_a_key_the_hash_is_another_one_and_the_same_each_time() -> None:
    def own(secret: bytes) -> str:
        return place(
            Draft("k", Noted("a", "b", "c")), run="r1", seq=1, epoch=1, at="", prev=GENESIS, secret=secret
        ).hash  # fmt: skip

    assert own(b"one") == own(b"one")
    assert len({own(b""), own(b"one"), own(b"two")}) == 3

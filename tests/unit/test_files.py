import stat
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from standpipe.errors import ConfigError, NotFoundError
from standpipe.files import (
    STRAY_SUFFIX,
    dump_front_matter,
    load_front_matter,
    load_toml_with_lines,
    load_yaml,
    load_yaml_with_lines,
    nearest,
    read_text,
    write_atomic,
)

SCALARS = (
    st.text(alphabet=st.characters(exclude_categories=["Cs"]))
    | st.booleans()
    | st.integers(-9999, 9999)
)
KEYS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=30, deadline=None)
@given(
    values=st.dictionaries(KEYS, VALUES, max_size=4),
    body=st.sampled_from(["", "text\n", "a\r\n---\r\nb\r\n"]),
)
def test_what_is_written_as_front_matter_is_read_back(values: dict[str, object], body: str) -> None:
    read = load_front_matter(dump_front_matter(values, body), name="x.md")
    assert (read.values, read.body) == (values, body)


def test_plain_words_are_written_without_quotes() -> None:
    values = {"id": "T-1", "rev": 2, "at": "2026-11-22T07:00:00Z", "a": "NO", "n": "12", "e": ""}
    assert dump_front_matter(values, "body\n") == (
        '---\nid: T-1\nrev: 2\nat: 2026-11-22T07:00:00Z\na: NO\nn: "12"\ne: ""\n---\nbody\n'
    )


def test_front_matter_of_more_than_16_kb_is_refused() -> None:
    with pytest.raises(ConfigError, match="more than 16 KB"):
        load_front_matter(f"---\nnote: {'x' * 17_000}\n---\n", name="x.md")


def test_the_raw_head_and_the_body_are_kept_to_the_byte() -> None:
    head = load_front_matter("\ufeff---\r\ntitle: a # why\r\n---\r\nbody\r\n", name="x.md")
    assert (head.raw, head.body, dict(head.values)) == (
        "title: a # why\r\n",
        "body\r\n",
        {"title": "a"},
    )


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("turns:\n  - say: &a hi\n", 2, "anchor"),
        ("turns:\n  - say: hi\n    say: ho\n", 3, "keep one"),
        ("a: 1\n---\nb: 2\n", 2, "one document"),
        ("%YAML 1.1\n---\na: 1\n", 1, "%"),
        ("? [a]\n: b\n", 1, "plain word"),
        ("a: b: c\n", 1, "quotes"),
        ("a:\n  b: @c\n", 2, "quotes"),
        ("a: \x01\n", 1, "key: value"),
        ("[" * 40, 1, "32 levels"),
        ("a: {\n", 2, "key: value"),
    ],
)
def test_yaml_that_is_more_than_data_is_refused_with_its_line(
    text: str, line: int, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_yaml(text, name="story.yaml")
    assert caught.value.message.startswith(f"story.yaml:{line}: ")
    assert hint in caught.value.hint


def test_both_yaml_parsers_read_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: [1, '1', no, {b: 0.5}]\n'c': |\n  two\n  lines\nd:\n"
    fast = load_yaml_with_lines(text, name="x")
    monkeypatch.delattr("yaml.CSafeLoader")
    assert load_yaml_with_lines(text, name="x") == fast
    assert fast.value == {"a": [1, "1", "no", {"b": "0.5"}], "c": "two\nlines\n", "d": ""}


def test_lines_of_nested_values_are_known() -> None:
    _, lines = load_yaml_with_lines(
        "turns:\n  - say: a\n  - call:\n      x: {}\nthen: stop\n", name="x"
    )
    assert (lines["turns", 1], lines["turns", 1, "call", "x"], lines[("then",)]) == (3, 4, 5)


def test_json_scalars_keep_the_types_of_json() -> None:
    text = "[1, 1.5, -2e3, null, true, 012, on]"
    assert load_yaml(text, name="x", json_scalars=True) == [
        1,
        1.5,
        -2000.0,
        None,
        True,
        "012",
        "on",
    ]
    assert load_yaml("", name="x") == ""


def test_toml_lines_survive_strings_lists_and_comments() -> None:
    text = (
        'a = """\nb = 1\n[no]\n"""\r\n'
        "c = [ # ]\n  1,\n]\n"
        '[t."x.y"]\n# k = 1\nk.l = { m = 1 }\n'
        "[[s]]\nn = 1\n[[s]]\nn = 2\n[s.u]\nv = 3\n"
    )
    _, lines = load_toml_with_lines(text, name="x.toml")
    assert ("b",) not in lines
    assert {path: lines[path] for path in [("a",), ("c",), ("t", "x.y", "k", "l", "m")]} == {
        ("a",): 1,
        ("c",): 5,
        ("t", "x.y", "k", "l", "m"): 10,
    }
    assert (lines["s", 0, "n"], lines["s", 1, "n"], lines["s", 1, "u", "v"]) == (12, 14, 16)


def test_broken_toml_names_its_line() -> None:
    with pytest.raises(ConfigError, match=r"^x\.toml:2: "):
        load_toml_with_lines("a = 1\nb =\n", name="x.toml")


def test_a_missing_file_a_folder_and_a_large_file_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no file"):
        read_text(tmp_path / "none", limit_bytes=9)
    with pytest.raises(ConfigError, match="is a folder"):
        read_text(tmp_path, limit_bytes=9)
    (tmp_path / "large").write_bytes(b"0123456789")
    with pytest.raises(ConfigError, match="larger than 9 bytes"):
        read_text(tmp_path / "large", limit_bytes=9)
    assert read_text(tmp_path / "large", limit_bytes=10) == "0123456789"


def test_text_that_is_not_utf_8_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"a\nb\xff\n")
    with pytest.raises(ConfigError, match=r"a\.md:2: "):
        read_text(tmp_path / "a.md", limit_bytes=99)


def test_a_written_file_keeps_its_mode_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomic(path, "one")
    path.chmod(0o600)
    write_atomic(path, b"two")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("two", 0o600)
    write_atomic(path, "three", mode=0o640)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_a_write_that_fails_leaves_the_old_file_and_no_stray(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_atomic(tmp_path / "folder", "text")
    assert [each for each in tmp_path.iterdir() if each.name.endswith(STRAY_SUFFIX)] == []


def test_the_nearest_name_is_found_or_none() -> None:
    assert (nearest("budgts", ["budgets", "model"]), nearest("zzz", ["model"])) == ("budgets", None)

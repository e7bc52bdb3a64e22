import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from standpipe.actions import Effect, Raised, Tool
from standpipe.errors import ConfigError
from standpipe.execution.faults import fault_of
from standpipe.execution.tools import Surroundings, settle_in
from standpipe.outcomes.classify import judge
from standpipe.outcomes.outcome import Failed, Kind, Outcome, Phase
from standpipe.tools import sql
from standpipe.tools.sql import sql_query, sql_template
from standpipe.tools.statement import refuse_agent_written

PROBES = json.loads((Path(__file__).parents[2] / "golden/probes.json").read_text())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "sql").mkdir()
    with sqlite3.connect(tmp_path / "data/shop.db") as connection:
        connection.executescript("""
            create table t (id integer primary key, name text, secret text, photo blob);
            insert into t values (1, 'anna', 's1', x'ff'), (2, 'bert', 's2', null);
            create table other (id integer);
            create view open_view as select id, secret from t;
        """)
    connection.close()
    grant(tmp_path, read={"t": ["id", "Name"]}, write={"t": ["update"]})
    return tmp_path


def grant(home: Path, **grants: object) -> None:
    settings = {"sql": {"shop": {"url": "sqlite:data/shop.db", **grants}}}
    settle_in(Surroundings(home=str(home), workspace=str(home / "workspace"), settings=settings))


def template(home: Path, name: str, text: str) -> None:
    (home / "sql" / f"{name}.sql").write_text(text)


def content(home: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(home / "data/shop.db") as connection:
        found = connection.execute("select * from t").fetchall()
    connection.close()
    return found


@pytest.mark.parametrize("probe", PROBES["sql_sqlite"])
def test_no_probe_statement_runs(probe: str, home: Path) -> None:
    before = content(home)
    with pytest.raises((PermissionError, ValueError)):
        sql_query("shop", probe)
    assert content(home) == before
    assert sorted(path.name for path in home.rglob("*.db*")) == ["shop.db"]


@pytest.mark.parametrize("probe", PROBES["sql_sqlite"])
def test_no_probe_does_harm_as_a_template_either(probe: str, home: Path) -> None:
    grant(home, read={"t": ["id", "Name"]})
    before = content(home)
    template(home, "probe", probe)
    if (
        probe.startswith("select id from t where") or probe == "reindex"
    ):  # no literal rule, no index
        sql_template("shop", "probe")
    else:
        with pytest.raises((PermissionError, ValueError)):
            sql_template("shop", "probe")
    assert content(home) == before


@pytest.mark.parametrize(("statement", "params"), PROBES["allowed"]["sql_sqlite"])
def test_an_ordinary_query_runs(statement: str, params: list[sql.Scalar], home: Path) -> None:
    assert sql_query("shop", statement, params)["rows"]


def test_rows_come_back_with_their_columns(home: Path) -> None:
    assert sql_query("shop", "select id, NAME as who from t where name = ? ;", ["anna"]) == {
        "columns": ["id", "who"],
        "rows": [[1, "anna"]],
        "truncated": False,
    }


@pytest.mark.parametrize(
    "statement",
    [
        "select [secret] from t",
        "select `SECRET` from T",
        "select id from t order by secret",
        "select id from t where exists (select ? from t where secret like ?)",
        "with x as (select secret from t) select * from x",
        "with t2 as (select * from t) select id from t2",
        "select count(*) from other",
        "select secret from open_view",
        "select name from pragma_table_info(?)",
        "select value from json_each(?)",
        "select photo from t",
    ],
)
def test_what_is_not_granted_is_not_read_by_any_way(statement: str, home: Path) -> None:
    params: list[sql.Scalar] = ["%"] * statement.count("?")
    with pytest.raises(PermissionError, match="database `shop`"):
        sql_query("shop", statement, params)


def test_a_refusal_names_the_column_and_the_setting(home: Path) -> None:
    with pytest.raises(
        PermissionError, match=r"column `secret` of table `t`.*\nhint: \[sql.shop\] read"
    ):
        sql_query("shop", "select secret from t")
    with pytest.raises(PermissionError, match="function `randomblob`"):
        sql_query("shop", "select randomblob(?)", [9])


def test_a_star_grants_every_column_and_bytes_are_counted(home: Path) -> None:
    grant(home, read={"t": ["*"]})
    assert sql_query("shop", "select * from t limit 1, 1")["rows"] == [[2, "bert", "s2", None]]
    assert sql_query("shop", "select photo from t limit 1")["rows"] == [["[1 bytes]"]]


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("select id from t where name = 'x'", "literal 'x'"),
        ('select id from t where name = "x"', "literal"),
        ("select id from t where name = x'00'", "literal x'00'"),
        ("select id from t where id = 0x1f", "number 0x1f"),
        ("select id from t where id > .5", "number .5"),
        ("select id from t where id = -1", "number 1"),
        ("select id from t where id = 1e3", "number 1e3"),
        ("select id from t limit 1 + 1", "number 1"),
        ("select id, 5 from t limit 5", "number 5"),
        ("select id from t where true", "literal true"),
        ("select id from t; select id from t", "more than one"),
        ("select id /* x */ from t", "comment"),
        ("select id from t --", "comment"),
        ("select 'open", "literal 'open"),
        ("update t set name = ?", "SELECT only"),
        ("values (?)", "SELECT only"),
        ("", "SELECT only"),
        ("select \0", "NUL"),
        ("select " + "x" * 20_000, "longer"),
    ],
)
def test_a_statement_with_a_value_in_it_is_refused_and_told_how(statement: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        refuse_agent_written(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "select t1.c2 from t1 where a$b = ?1 limit 5 offset 10",
        "select [order 66], `it's 5` from t limit ?, 5;  ",
        "with x as (select id from t limit 3) select id from x",
    ],
)
def test_numbers_in_names_parameters_and_limits_are_fine(statement: str) -> None:
    refuse_agent_written(statement)


def test_a_template_changes_what_is_granted_and_says_how_much(home: Path) -> None:
    template(home, "rename", "update t set name = :name where id >= 1")
    assert sql_template("shop", "rename", {"name": "x"}) == {
        "columns": [],
        "rows": [],
        "truncated": False,
        "changed": 2,
    }
    template(home, "rename_one", "update t set name = ? where id = ? returning id")
    assert sql_template("shop", "rename_one", ["y", 2])["rows"] == [[2]]
    assert [row[1] for row in content(home)] == ["x", "y"]


@pytest.mark.parametrize(
    "text",
    [
        "delete from t",
        "insert into t (name) values (?)",
        "drop table t",
        "update t set name = (select secret from t)",
        "update other set id = id",
    ],
)
def test_a_template_cannot_do_what_is_not_granted(text: str, home: Path) -> None:
    before = content(home)
    template(home, "bad", text)
    params: list[sql.Scalar] = ["x"] * text.count("?")
    with pytest.raises(PermissionError):
        sql_template("shop", "bad", params)
    assert content(home) == before


@pytest.mark.parametrize("name", ["nothing", "../data/shop", "a/b", "", "RENAME.sql"])
def test_a_template_that_is_not_there_is_not_found(name: str, home: Path) -> None:
    template(home, "rename", "update t set name = ?")
    with pytest.raises(FileNotFoundError, match="known: `rename`"):
        sql_template("shop", name, [])


def test_a_change_that_breaks_a_rule_of_the_database_stays_undone(home: Path) -> None:
    template(home, "clash", "update t set id = ?")
    with pytest.raises(sqlite3.IntegrityError):
        sql_template("shop", "clash", [7])
    assert [row[0] for row in content(home)] == [1, 2]


def test_more_rows_than_fit_are_cut_and_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "ROWS_MAX", 1)
    found = sql_query("shop", "select id from t")
    assert (found["rows"], found["truncated"]) == ([[1]], True)
    assert "LIMIT and OFFSET" in found.get("note", "")


def test_a_statement_without_end_is_stopped_and_nothing_is_in_doubt(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "SECONDS_MAX", 0.0)
    monkeypatch.setattr(sql, "_OPERATIONS_BETWEEN_LOOKS", 1)
    with pytest.raises(TimeoutError, match="stopped") as stopped:
        sql_query("shop", "select count(a.id) from t a, t b, t c, t d")
    assert vars(stopped.value)["phase"] == "not_sent"


def test_a_cell_longer_than_a_megabyte_is_refused(home: Path) -> None:
    with pytest.raises(ValueError, match="too big"):
        sql_query("shop", "select replace(?, ?, ?)", ["a" * 2000, "a", "b" * 2000])


@pytest.mark.parametrize(
    ("statement", "params"),
    [
        ("select id from t where id = ?", []),
        ("select id from t where id = ?", [2**70]),
        ("select nope from t", []),
    ],
)
def test_a_wrong_statement_is_bad_input(
    statement: str, params: list[sql.Scalar], home: Path
) -> None:
    with pytest.raises(ValueError, match="the statement is wrong"):
        sql_query("shop", statement, params)


def test_a_database_that_is_not_configured_is_said(home: Path) -> None:
    with pytest.raises(ValueError, match="known: `shop`"):
        sql_query("shopp", "select ?")
    grant(home, url="postgres://x")
    with pytest.raises(ConfigError, match=r"sql.shop.*\n.*sqlite:data"):
        sql_query("shop", "select ?")
    grant(home, url="sqlite:data/gone.db")
    with pytest.raises(ConfigError, match=r"data/gone.db"):
        sql_query("shop", "select ?")
    assert not (home / "data/gone.db").exists()


def judged(call: Callable[[], object]) -> Outcome:
    with pytest.raises(Exception) as raised:  # noqa: PT011 -- what it means is what is tested
        call()
    tool = Tool(name="sql_template", effect=Effect.ONCE)
    return judge(tool, Raised(fault_of(raised.value)))


@pytest.mark.parametrize(
    ("text", "params", "kind"),
    [
        ("delete from t", [], Kind.DENIED),
        ("update t set nope = 1", [], Kind.BAD_INPUT),
        ("update t set id = 7", [], Kind.CONFLICT),
        ("update t set name = ?", [2**70], Kind.BAD_INPUT),
    ],
)
def test_a_template_that_fails_before_its_commit_is_never_in_doubt(
    text: str, params: list[sql.Scalar], kind: Kind, home: Path
) -> None:
    template(home, "bad", text)
    outcome = judged(lambda: sql_template("shop", "bad", params))
    assert isinstance(outcome, Failed)
    assert outcome.kind is kind


def test_a_template_that_is_stopped_was_not_carried_out(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "SECONDS_MAX", 0.0)
    monkeypatch.setattr(sql, "_OPERATIONS_BETWEEN_LOOKS", 1)
    template(home, "slow", "update t set name = 'x' where id in (select a.id from t a, t b, t c)")
    outcome = judged(lambda: sql_template("shop", "slow"))
    assert isinstance(outcome, Failed)
    assert (outcome.kind, outcome.phase) == (Kind.TIMED_OUT, Phase.NOT_SENT)
    assert [row[1] for row in content(home)] == ["anna", "bert"]


def test_a_call_for_what_is_not_there_is_not_in_doubt(home: Path) -> None:
    for database, name in (("shopp", "rename"), ("shop", "gone")):
        outcome = judged(lambda: sql_template(database, name))  # noqa: B023 -- called at once
        assert isinstance(outcome, Failed)
        assert outcome.phase is Phase.NOT_SENT

"""PostgreSQL, Redis, SQLAlchemy, DuckDB, MongoDB, DNS and SSH clients."""

import threading
import time
from pathlib import Path

import bson
import dns.rcode
import dns.resolver
import duckdb
import paramiko
import psycopg
import pymongo
import redis
import sqlalchemy
from draws import Cause, Draw
from servers import Names
from sqlalchemy import text
from sqlalchemy.pool import QueuePool

NAMES = Names.open()
PORTS = {"postgres": 0, "redis": 0}  # filled in by make.py when the servers are up


def link(
    user: str = "postgres",
    password: str = "harbour-master",  # noqa: S107 -- a throw-away cluster
    database: str = "postgres",
) -> psycopg.Connection:
    return psycopg.connect(
        host="127.0.0.1",
        port=PORTS["postgres"],
        user=user,
        password=password,
        dbname=database,
        autocommit=True,
    )


def sql(statement: str, *values: object, before: str = "") -> None:
    with link() as connection:
        for line in filter(None, before.split(";")):
            connection.execute(line)
        connection.execute(statement, values or None)


def columns(draw: Draw) -> tuple[str, str]:
    return "t_" + draw.ident() + str(draw.unseen.number()), "c_" + draw.ident()


def against(draw: Draw, rule: str, first: object, second: object) -> None:
    """Insert twice into a fresh table whose second insert breaks its rule."""
    table, column = columns(draw)
    row = f"INSERT INTO {table} ({column}) VALUES (%s)"  # noqa: S608 -- names of our own
    with link() as connection:
        connection.execute(f"CREATE TABLE {table} (id serial, {column} {rule})")
        connection.execute(row, (first,))
        connection.execute(row, (second,))


def locked(draw: Draw) -> None:
    table, _ = columns(draw)
    with link() as first, link() as second:
        first.execute(f"CREATE TABLE {table} (id int)")
        with first.transaction(), second.transaction():
            first.execute(f"LOCK TABLE {table}")
            second.execute(f"LOCK TABLE {table} NOWAIT")


def deadlocked(draw: Draw) -> None:
    table, _ = columns(draw)
    lost: list[Exception] = []

    def update(order: str) -> None:
        try:
            with link() as connection, connection.transaction():
                for number in order:
                    connection.execute(f"UPDATE {table} SET n = n + 1 WHERE id = {number}")  # noqa: S608 -- ours
                    time.sleep(0.1)
        except psycopg.Error as error:
            lost.append(error)

    with link() as connection:
        connection.execute(f"CREATE TABLE {table} AS SELECT 1 id, 1 n UNION SELECT 2, 2")
    threads = [threading.Thread(target=update, args=(order,)) for order in ("12", "21")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    raise lost[0]


def refused(draw: Draw) -> None:
    psycopg.connect(
        host="127.0.0.1",
        port=draw.port(),
        user=draw.ident(),
        dbname=draw.ident(),
        connect_timeout=2,
    )


def forbidden(draw: Draw) -> None:
    role, (table, _) = "r_" + draw.ident() + str(draw.number()), columns(draw)
    with link() as connection:
        connection.execute(f"CREATE ROLE {role}")
        connection.execute(f"CREATE TABLE {table} (id int)")
        connection.execute(f"SET ROLE {role}")
        connection.execute(f"SELECT * FROM {table}")  # noqa: S608 -- a name of our own


def orphaned(draw: Draw) -> None:
    parent, child = columns(draw)[0], columns(draw)[0]
    with link() as connection:
        connection.execute(f"CREATE TABLE {parent} (id int PRIMARY KEY)")
        connection.execute(f"CREATE TABLE {child} (parent_id int REFERENCES {parent})")
        connection.execute(f"INSERT INTO {child} VALUES ({draw.number()})")  # noqa: S608 -- ours


def keys(draw: Draw) -> redis.Redis:
    del draw
    return redis.Redis(port=PORTS["redis"], decode_responses=True)


def scripted(draw: Draw) -> None:
    keys(draw).eval(f"return {draw.ident()} .. 'x'", 0)


def limited(draw: Draw) -> None:
    user = draw.name()
    keys(draw).acl_setuser(
        user, enabled=True, passwords=[f"+{user}"], categories=["+@read"], keys=["*"]
    )
    redis.Redis(port=PORTS["redis"], username=user, password=user).execute_command(
        draw.choice(
            ("set", "append", "lpush", "rpush", "sadd", "setnx", "getset", "incrby", "pfadd")
        ),
        draw.name(),
        "1",
    )


def mapped(draw: Draw, kind: str) -> None:
    table, column = columns(draw)
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.begin() as connection:
        connection.execute(
            text(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, {column} TEXT UNIQUE NOT NULL)")
        )
        row = text(f"INSERT INTO {table} ({column}) VALUES (:value)")  # noqa: S608 -- names of our own
        for _ in range(2):
            connection.execute(row, {"value": None if kind == "null" else draw.name()})
            connection.execute(row, {"value": draw.args[-1]})


def statement(draw: Draw, line: str) -> None:
    with sqlalchemy.create_engine("sqlite://").begin() as connection:
        connection.execute(text(line), {"value": draw.number()})


def pool(draw: Draw) -> None:
    seconds = draw.number(10, 90) / 1_000
    engine = sqlalchemy.create_engine(
        "sqlite://",
        poolclass=QueuePool,
        pool_size=draw.number(1, 5),
        max_overflow=0,
        pool_timeout=seconds,
    )
    held = [engine.connect() for _ in range(9)]
    del held


def ducks(line: str, before: str = "SELECT 1") -> None:
    with duckdb.connect() as connection:
        connection.execute(before)
        connection.execute(line).fetchall()


def doubled(draw: Draw) -> None:
    row = f"INSERT INTO o VALUES ({draw.number()})"  # noqa: S608 -- ours
    ducks(row, f"CREATE TABLE o (id INT PRIMARY KEY); {row}")


def looked_up(draw: Draw, code: int, *, silent: bool = False) -> None:
    NAMES.code, NAMES.silent = code, silent
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], NAMES.port
    resolver.lifetime = draw.number(200, 400) / 1_000 if silent else 2
    resolver.resolve(draw.host(), "A")


def mongo(draw: Draw, host: str) -> None:
    url = f"mongodb://{host}/{draw.ident()}"
    pymongo.MongoClient(url, serverSelectionTimeoutMS=draw.number(60, 120)).admin.command("ping")


def shelled(draw: Draw) -> None:
    paramiko.SSHClient().connect("127.0.0.1", port=draw.port(), username=draw.ident(), timeout=2)


POSTGRES = [
    Cause("pg_unique", ("conflict",), lambda d: against(d, "text UNIQUE", v := d.name(), v)),
    Cause("pg_not_null", ("bad_input",), lambda d: against(d, "text NOT NULL", d.name(), None)),
    Cause("pg_check", None, lambda d: against(d, "int CHECK (1 > 0 AND id < 2)", d.number(), d.number())),
    Cause("pg_too_long", ("bad_input",), lambda d: against(d, f"varchar({d.number(3, 30)})", "a", d.uuid())),
    Cause("pg_foreign_key", None, orphaned),
    Cause("pg_no_table", ("not_found",), lambda d: sql(f"SELECT * FROM {d.ident()}")),  # noqa: S608 -- ours
    Cause("pg_no_column", ("bad_input", "not_found"), lambda d: sql(f"SELECT {d.ident()}, 1 FROM pg_class")),  # noqa: S608 -- ours
    Cause("pg_no_function", ("bad_input", "not_found"), lambda d: sql(f"SELECT {d.ident()}(1)")),
    Cause("pg_syntax", ("bad_input",), lambda d: sql(f"SELECT 1 {d.ident()} {d.ident()} 7")),
    Cause("pg_not_a_number", ("bad_input",), lambda d: sql("SELECT %s::text::int", d.name())),
    Cause("pg_not_a_date", ("bad_input",), lambda d: sql("SELECT %s::text::date", d.name())),
    Cause("pg_out_of_range", ("bad_input",), lambda d: sql("SELECT %s::text::int", str(d.number(10**10, 10**12)))),
    Cause("pg_forbidden", ("forbidden",), forbidden),
    Cause("pg_password", ("credential",), lambda d: link(user=d.ident(), password=d.word())),
    Cause("pg_no_database", ("not_found", "bad_input"), lambda d: link(database=d.name())),
    Cause("pg_refused", ("not_sent",), refused),
    Cause("pg_locked", None, locked),
    Cause("pg_deadlock", None, deadlocked),
]  # fmt: skip

REDIS = [
    Cause("redis_refused", ("not_sent",), lambda d: redis.Redis(port=d.port(), retry=None).get(d.name())),
    Cause("redis_dns", ("not_sent",), lambda d: redis.Redis(host=d.host(), retry=None).get(d.name())),
    Cause("redis_unknown_command", ("bad_input", "unknown_tool"), lambda d: keys(d).execute_command(d.ident(), d.name(), d.number())),
    Cause("redis_no_group", ("not_found",), lambda d: keys(d).xreadgroup(d.name(), d.word(), {d.name(): ">"})),
    Cause("redis_script", None, scripted),
    Cause("redis_denied", ("forbidden",), limited),
]  # fmt: skip

CAUSES = [
    *POSTGRES,
    *REDIS,
    Cause("sqlalchemy_unique", ("conflict",), lambda d: mapped(d, "unique")),
    Cause("sqlalchemy_not_null", ("bad_input",), lambda d: mapped(d, "null")),
    Cause("sqlalchemy_no_table", ("not_found",), lambda d: statement(d, f"SELECT * FROM {d.ident()} WHERE id = :value")),  # noqa: S608 -- ours
    Cause("sqlalchemy_pool", ("not_sent",), pool),
    Cause("duckdb_no_table", ("not_found",), lambda d: ducks(f"SELECT * FROM {d.ident()}")),  # noqa: S608 -- ours
    Cause("duckdb_no_column", ("bad_input", "not_found"), lambda d: ducks(
        f"SELECT {d.ident()} FROM orders", f"CREATE TABLE orders (id INT, {d.unseen.word()}_day DATE)")),  # noqa: S608 -- ours
    Cause("duckdb_syntax", ("bad_input",), lambda d: ducks(f"SELECT 1 FRM {d.ident()} WHERE x")),
    Cause("duckdb_cast", ("bad_input", "schema"), lambda d: ducks(f"SELECT CAST('{d.name()}' AS INTEGER)")),
    Cause("duckdb_key", ("conflict",), doubled),
    Cause("duckdb_no_file", ("not_found",), lambda d: ducks(f"SELECT * FROM '{d.path('parquet')}'")),  # noqa: S608 -- ours
    Cause("duckdb_no_function", ("bad_input", "not_found"), lambda d: ducks(f"SELECT {d.ident()}(1)")),
    Cause("mongo_refused", ("not_sent",), lambda d: mongo(d, f"127.0.0.1:{d.port()}")),
    Cause("mongo_bad_id", ("bad_input",), lambda d: bson.ObjectId(d.name())),
    Cause("mongo_cannot_encode", None, lambda d: bson.encode({d.ident(): Path(d.path()), "n": object()})),
    Cause("dns_nxdomain", ("not_sent", "not_found"), lambda d: looked_up(d, dns.rcode.NXDOMAIN)),
    Cause("dns_no_answer", None, lambda d: looked_up(d, dns.rcode.NOERROR)),
    Cause("dns_servfail", None, lambda d: looked_up(d, dns.rcode.SERVFAIL)),
    Cause("dns_timeout", ("timed_out", "not_sent"), lambda d: looked_up(d, 0, silent=True)),
    Cause("paramiko_refused", ("not_sent",), shelled),
]  # fmt: skip

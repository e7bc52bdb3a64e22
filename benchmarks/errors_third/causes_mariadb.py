"""MariaDB, asked through PyMySQL: the server runs on loopback while the causes are provoked."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator

import pymysql
from draws import HOME, ROOT, Draw, causes, environment, filled

SOCKET = HOME / "mariadb.sock"
TABLES = """create table parcel (id int primary key, label varchar(8) not null, weight tinyint not null, sent date,
    state enum('new','gone') not null default 'new', unique key by_label (label));
    create table leg (id int primary key, parcel_id int, constraint leg_of_parcel foreign key (parcel_id) references parcel (id));
    insert into parcel (id, label, weight) values (1, 'a', 1);
    create user clerk@localhost identified by 'right'; grant select on shop.leg to clerk@localhost;"""


@contextlib.contextmanager
def server() -> Iterator[None]:
    data = HOME / "mariadb"
    share = ROOT / "usr/share/mysql"
    common = [
        f"--character-sets-dir={share}/charsets",
        f"--plugin-dir={ROOT}/usr/lib/mysql/plugin",
        f"--datadir={data}",
        f"--lc-messages-dir={share}",
        "--user=root",
        f"--socket={SOCKET}",
        "--no-defaults",
    ]
    common = [common[-1], *common[:-1], "--skip-networking", "--innodb-lock-wait-timeout=1"]
    if not data.exists():
        data.mkdir()
        files = (
            share / name for name in ("mysql_system_tables.sql", "mysql_system_tables_data.sql")
        )
        begun = "create database mysql;\nuse mysql;\n" + "".join(file.read_text() for file in files)
        subprocess.run(
            [ROOT / "usr/sbin/mariadbd", *common, "--bootstrap", "--skip-grant-tables"],
            input=begun,
            text=True,
            check=True,
            capture_output=True,
            env=environment(),
        )
    with (HOME / "mariadb.log").open("w") as log:
        running = subprocess.Popen(
            [ROOT / "usr/sbin/mariadbd", *common], stdout=log, stderr=log, env=environment()
        )
    try:
        prepared()
        yield
    finally:
        running.terminate()
        running.wait()


def prepared() -> None:
    for _ in range(100):
        with contextlib.suppress(pymysql.OperationalError):
            with connected(database=None) as link, link.cursor() as cursor:
                for one in ("drop database if exists shop", "create database shop", "use shop", "drop user if exists clerk@localhost",
                            *TABLES.split(";")[:-1]):  # fmt: skip
                    cursor.execute(one)
            return
        time.sleep(0.2)
    raise TimeoutError("MariaDB did not start")


def connected(
    user: str = "root", password: str = "", database: str | None = "shop"
) -> pymysql.Connection:
    return pymysql.connect(
        unix_socket=str(SOCKET), user=user, password=password, database=database, autocommit=True
    )


def sql(
    template: str, *, user: str = "root", password: str = "", first: str = ""
) -> Callable[[Draw], None]:
    def provoke(draw: Draw) -> None:
        with connected(user, password) as link, link.cursor() as cursor:
            if first:
                cursor.execute(first)
            cursor.execute(filled(template, draw))

    return provoke


def twice(draw: Draw) -> None:
    label = draw.hexes(6)
    with connected() as link, link.cursor() as cursor:
        for key in (draw.number(2, 10**8), draw.number(2, 10**8)):
            cursor.execute(
                "insert into parcel (id, label, weight) values (%s, %s, 1)", (key, label)
            )


def column(kind: str, value: str) -> Callable[[Draw], None]:
    """Write a value that a column of a name of the caller's does not take."""

    def provoke(draw: Draw) -> None:
        table, name = draw.ident(), f"{draw.ident()}_c"
        draw.note(name)
        with connected() as link, link.cursor() as cursor:
            cursor.execute(f"create or replace temporary table {table} (id int, {name} {kind})")
            cursor.execute(
                f"insert into {table} (id{', ' + name if value else ''}) values (1{',' + filled(value, draw) if value else ''})"  # noqa: S608 -- words we drew
            )

    return provoke


def again(draw: Draw) -> None:
    name = draw.ident()
    for _ in range(2):
        sql(f"create table {name} (id int)")(draw)


CAUSES = [
    *causes("not_found", mariadb_no_table=sql("select * from {ident}"), mariadb_drop_missing=sql("drop table {ident}"),
            mariadb_no_database=lambda draw: connected(database=draw.ident())),
    *causes(("not_found", "bad_input"), mariadb_no_column=sql("select {ident} from parcel where id = {number}"),
            mariadb_no_function=sql("select {ident}({number})"), mariadb_no_index=sql("alter table parcel drop index {ident}"),
            mariadb_no_variable=sql("set {ident}_x = {number}")),
    *causes("conflict", mariadb_unique=twice),
    *causes(("conflict", "bad_input"), mariadb_table_exists=again),
    *causes("bad_input", mariadb_syntax=sql("selekt {ident} from {ident}"),
            mariadb_too_long=column("varchar(3)", "'{uuid}'"), mariadb_range=column("tinyint", "{number}"),
            mariadb_null=column("int not null", "null"), mariadb_default=column("int not null", ""), mariadb_enum=column("enum('new','gone')", "'{name}'"),
            mariadb_date=sql("insert into parcel (id, label, weight, sent) values ({number}, left('{hexes}', 7), 1, '{name}')"),
            mariadb_integer=sql("insert into parcel (id, label, weight) values ('{word}', '{word}', 1)")),
    *causes("credential", mariadb_password=lambda draw: connected(draw.ident(), draw.name())),
    *causes("forbidden", mariadb_denied=sql("select * from {ident}", user="clerk", password="right")),  # noqa: S106 -- a loopback user
    *causes("not_sent", mariadb_dns=lambda draw: pymysql.connect(host=draw.host())),
]  # fmt: skip

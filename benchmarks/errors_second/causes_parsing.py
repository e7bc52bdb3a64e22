"""Parsers, validators, templates and data frames."""

import io

import attrs
import cattrs
import click
import jinja2
import jsonschema
import jwt
import marshmallow
import msgspec
import networkx as nx
import numpy as np
import openpyxl
import pandas as pd
import PIL.Image
import polars as pl
import pyarrow.csv
import tomlkit
import yaml
from click.testing import CliRunner
from draws import Cause, Draw, written
from lxml import etree

SCHEMA = {
    "type": "object", "required": ["sku"], "additionalProperties": False,
    "properties": {
        "sku": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]+$"}, "count": {"type": "integer", "minimum": 1},
        "size": {"enum": ["small", "large"]}, "tags": {"type": "array", "maxItems": 2},
    },
}  # fmt: skip


def ordered(**given: object) -> None:
    jsonschema.validate({"sku": "ABC-1", **given}, SCHEMA)


class Line(msgspec.Struct):
    sku: str
    count: int
    size: str = msgspec.field(default="s")


class Form(marshmallow.Schema):
    sku = marshmallow.fields.String(required=True)
    count = marshmallow.fields.Integer()


@click.command()
@click.option("--count", type=int)
@click.option("--size", type=click.Choice(["small", "large"]))
@click.option("--source", type=click.Path(exists=True))
def shop(**_options: object) -> None: ...


@click.group()
def shops() -> None: ...


def typed(*words: str, at: click.Command = shop) -> None:
    ran = CliRunner().invoke(at, words, standalone_mode=False)
    if ran.exception:
        raise ran.exception


def frame(draw: Draw) -> pd.DataFrame:
    return pd.DataFrame(
        {"sku": ["a", "b"], "day": ["x", "y"], "n": range(2)}, index=[draw.unseen.number(), 7]
    )


def table() -> pl.DataFrame:
    return pl.DataFrame({"sku": ["a", "b"], "n": [1, 2]})


def wide_csv(draw: Draw) -> str:
    rows = draw.number(2, 40)
    return "a,b\n" + "1,2\n" * rows + "1,2" + ",3" * draw.number(2, 9) + "\n"


def token(draw: Draw, **claims: object) -> str:
    return jwt.encode({"sub": draw.name(), **claims}, "k" * 32, algorithm="HS256")


def signed(draw: Draw) -> None:
    wanted = draw.ident()
    jwt.decode(token(draw), "k" * 32, algorithms=["HS256"], options={"require": [wanted]})


def rendered(template: str, **values: object) -> None:
    jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(template).render(**values)  # noqa: S701 -- no HTML


def customer(draw: Draw) -> None:
    kind = attrs.make_class("Customer", {"name": attrs.field(type=str)})
    strict = cattrs.Converter(forbid_extra_keys=True, detailed_validation=False)
    strict.structure({draw.ident(): 1, "name": "x"}, kind)


def twice(draw: Draw) -> None:
    key = draw.ident()
    tomlkit.parse(f"{key} = 1\nother = {draw.number()}\n{key} = 2")


def doubled(draw: Draw) -> None:
    name = draw.name()
    table().select(pl.col("n").alias(name), pl.col("sku").alias(name))


def apart(draw: Draw) -> None:
    here, there = draw.ident() + "_a", draw.ident() + "_b"
    nx.shortest_path(nx.Graph([(here, "x"), (there, "y")]), here, there)


PARSERS = [
    Cause("cattrs_extra", ("bad_input", "schema"), customer),
    Cause("toml_duplicate", None, twice),
    Cause("jsonschema_type", ("bad_input", "schema"), lambda d: ordered(count=d.name())),
    Cause("jsonschema_pattern", ("bad_input", "schema"), lambda d: ordered(sku=d.name())),
    Cause("jsonschema_enum", ("bad_input", "schema"), lambda d: ordered(size=d.word())),
    Cause("jsonschema_extra", ("bad_input", "schema"), lambda d: ordered(**{d.ident(): 1})),
    Cause("jsonschema_minimum", ("bad_input", "schema"), lambda d: ordered(count=-d.number())),
    Cause("jsonschema_required", ("bad_input", "schema"), lambda d: jsonschema.validate({"count": d.number()}, SCHEMA)),
    Cause("jsonschema_too_many", ("bad_input", "schema"), lambda d: ordered(tags=[d.word(), d.word(), d.number()])),
    Cause("yaml_tab", None, lambda d: yaml.safe_load(f"{d.ident()}:\n" + "  a: 1\n" * d.number(1, 20) + "\tb: 2")),
    Cause("yaml_mapping", None, lambda d: yaml.safe_load(f"{d.ident()}: {d.name()}: {d.number()}")),
    Cause("yaml_alias", None, lambda d: yaml.safe_load(f"{d.ident()}: *{d.ident()}")),
    Cause("yaml_tag", None, lambda d: yaml.safe_load(f"a: {d.number()}\nb: !{d.name()} 1")),
    Cause("yaml_flow", None, lambda d: yaml.safe_load(f"{d.ident()}: [1, 2\n{d.ident()}: 3")),
    Cause("xml_mismatch", None, lambda d: etree.fromstring(f"<{d.ident()}>\n<{d.ident()}></{d.ident()}>")),
    Cause("xml_entity", None, lambda d: etree.fromstring(f"<a>{d.word()}&{d.ident()};</a>")),
    Cause("xml_prefix", None, lambda d: etree.fromstring(f"<a><{d.ident()}:{d.ident()} x='1' x='2'/></a>")),
    Cause("xml_no_file", ("not_found",), lambda d: etree.parse(d.path("xml"))),
    Cause("jwt_claim", ("credential",), signed),
    Cause("msgspec_type", ("bad_input", "schema"), lambda d: msgspec.json.decode(
        msgspec.json.encode([{"sku": "a", "count": 1}] * d.number(1, 40) + [{"sku": d.word(), "count": "x"}]),
        type=list[Line])),
    Cause("msgspec_malformed", ("schema", "bad_input"), lambda d: msgspec.json.decode(f'{{"{d.name()}": {d.number()} x}}')),
    Cause("marshmallow_unknown", ("bad_input", "schema"), lambda d: Form().load({"sku": "a", d.ident(): 1})),
    Cause("toml_unclosed", None, lambda d: tomlkit.parse("# a\n" * d.number(1, 40) + f"x = {d.name()}")),
    Cause("click_option", ("bad_input", "not_found"), lambda d: typed(f"--{d.ident()}", d.word())),
    Cause("click_integer", ("bad_input",), lambda d: typed("--count", d.name())),
    Cause("click_choice", ("bad_input",), lambda d: typed("--size", d.name())),
    Cause("click_path", ("bad_input", "not_found"), lambda d: typed("--source", d.path())),
    Cause("click_command", ("bad_input", "not_found"), lambda d: typed(d.name(), at=shops)),
    Cause("click_extra", ("bad_input",), lambda d: typed("--count", "1", d.name())),
    Cause("jinja_undefined", None, lambda d: rendered(f"hello {{{{ {d.ident()} }}}}")),
    Cause("jinja_no_attribute", None, lambda d: rendered(f"{{{{ order.{d.ident()}.x }}}}", order={"n": d.number()})),
    Cause("jinja_tag", None, lambda d: rendered(f"{{% {d.ident()} x %}}")),
    Cause("jinja_filter", None, lambda d: rendered(f"{{{{ 1 | {d.ident()} }}}}")),
    Cause("jinja_no_template", ("not_found",), lambda d: jinja2.Environment(  # noqa: S701 -- no HTML
        loader=jinja2.FileSystemLoader(["/tmp/second/templates"])).get_template(f"{d.name()}.html")),  # noqa: S108 -- scratch
]  # fmt: skip


FRAMES = [
    Cause("polars_duplicate", None, doubled),
    Cause("graph_no_path", None, apart),
    Cause("pandas_key", ("tool_bug",), lambda d: frame(d)[d.name()]),
    Cause("pandas_attribute", ("tool_bug",), lambda d: getattr(frame(d), d.ident())),
    Cause("pandas_not_in_index", ("tool_bug",), lambda d: frame(d)[["sku", d.name()]]),
    Cause("pandas_drop", ("tool_bug", "not_found"), lambda d: frame(d).drop(columns=[d.name(), "sku"])),
    Cause("pandas_tokens", None, lambda d: pd.read_csv(io.StringIO(wide_csv(d)))),
    Cause("pandas_datetime", None, lambda d: pd.to_datetime([d.name()], format="%Y-%m-%d")),
    Cause("pandas_length", None, lambda d: frame(d).assign(x=[0] * d.number(3, 500))),
    Cause("pandas_out_of_bounds", None, lambda d: pd.Timestamp(f"{d.number(3_000, 9_999)}-01-01").as_unit("ns")),
    Cause("pandas_usecols", None, lambda d: pd.read_csv(io.StringIO("a,b\n1,2"), usecols=["a", d.name()])),
    Cause("numpy_broadcast", None, lambda d: np.ones(d.number(2, 90)) + np.ones(d.number(100, 900))),
    Cause("numpy_reshape", None, lambda d: np.ones(d.number(101, 900)).reshape(2, d.number(2, 40), 1009)),
    Cause("numpy_matmul", None, lambda d: np.ones((2, d.number(2, 90))) @ np.ones((d.number(100, 900), 3))),
    Cause("numpy_bounds", ("tool_bug",), lambda d: np.ones(d.number(3, 90))[d.number(100, 9_999)]),
    Cause("numpy_float", None, lambda d: np.array([d.name()]).astype(float)),
    Cause("numpy_memory", ("environment",), lambda d: np.ones(d.number(10**14, 10**15))),
    Cause("numpy_field", None, lambda d: np.zeros(2, dtype=[("a", int)])[d.ident()]),
    Cause("polars_column", ("bad_input", "not_found"), lambda d: table().select(d.name())),
    Cause("polars_cast", None, lambda d: pl.Series(d.ident(), [d.name()]).cast(pl.Int64)),
    Cause("polars_height", None, lambda d: table().with_columns(pl.Series(d.ident(), [0] * d.number(3, 500)))),
    Cause("polars_sql", ("not_found",), lambda d: pl.SQLContext().execute(f"SELECT * FROM {d.ident()}").collect()),  # noqa: S608 -- ours
    Cause("arrow_columns", None, lambda d: pyarrow.csv.read_csv(io.BytesIO(f"a,b\n{d.name()},{d.number()},{d.word()}\n".encode()))),
    Cause("excel_format", None, lambda d: openpyxl.load_workbook(written(f"{d.name()}.{d.word()}", "x"))),
    Cause("excel_sheet", ("tool_bug", "not_found"), lambda d: openpyxl.Workbook()[d.name()]),
    Cause("image_unknown", None, lambda d: PIL.Image.open(written(f"{d.name()}.png", d.word()))),
    Cause("graph_no_node", None, lambda d: nx.shortest_path(nx.path_graph(3), 0, d.number())),
]  # fmt: skip

CAUSES = [*PARSERS, *FRAMES]

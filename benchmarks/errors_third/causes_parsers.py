"""Parsers, validators and formats: dates, numbers, schemas, queries, documents, binary files."""

from collections.abc import Callable

import arrow
import babel
import babel.dates
import babel.numbers
import croniter
import dateutil.parser
import docutils.core
import fastavro
import fastavro.validation
import h5py
import jsonpath_ng
import lark
import pendulum
import pint
import pyparsing
import regex
import shapely
import soupsieve
import sqlglot
import sqlglot.optimizer.qualify
import sympy
import voluptuous
from bs4 import BeautifulSoup
from draws import WORK, Cause, Draw, causes
from google.protobuf import descriptor_pb2, duration_pb2, json_format, text_format, timestamp_pb2
from pypdf import PdfReader

DATES = [
    *causes("bad_input", dateutil_unknown=lambda d: dateutil.parser.parse(f"{d.name()} q{d.number()}x"), dateutil_empty=lambda d: dateutil.parser.parse(d.choice("-", "  ", ", ", ". .", "/ /", ";") + d.choice("", " ", "-", ",")),
            dateutil_day=lambda d: dateutil.parser.parse(f"{d.number(2001, 2030)}-02-{d.number(30, 31)} {d.number(10, 23)}:00"),
            arrow_formats=lambda d: arrow.get(d.day(), ["DD.MM.YYYY", "YYYY/MM"]), arrow_format=lambda d: arrow.get(d.name(), "YYYY-MM-DD"),
            arrow_zone=lambda d: arrow.utcnow().to(d.klass()), arrow_frame=lambda d: arrow.utcnow().floor(d.name()),
            pendulum_parse=lambda d: pendulum.parse(d.name()),
            pendulum_zone=lambda d: pendulum.timezone(f"{d.word().title()}/{d.klass()}"),
            babel_locale=lambda d: babel.Locale.parse(f"{d.choice('qx', 'zq', 'xj', 'qy', 'jq')}_{d.choice('DE', 'FR', 'US')}"), babel_number=lambda d: babel.numbers.parse_decimal(d.name(), locale="en"),
            babel_letters=lambda d: babel.Locale.parse(f"{d.number()}_DE"), babel_zone=lambda d: babel.dates.get_timezone(f"{d.klass()}/{d.word()}"),
            croniter_value=lambda d: croniter.croniter(f"{d.name()} * * * *"), croniter_range=lambda d: croniter.croniter(f"{d.number(60, 999)} {d.number(0, 23)} * * *")),
]  # fmt: skip

units = pint.UnitRegistry()


def text(length: int, wrong: str) -> Callable[[Draw], object]:
    return lambda d: regex.compile(
        "".join(d.choice("a", "b+", "[cd]", "x?") for _ in range(length)) + d.word() + wrong
    )


EXPRESSIONS = [
    *causes("bad_input", regex_open=text(4, "(x"), regex_property=text(3, r"\p{Qqq}"), regex_group=text(5, r"(?P=nope)"), regex_set=text(2, "[a"), regex_nothing=text(3, "**+*"),
            soupsieve_pseudo=lambda d: BeautifulSoup("<p>", "html.parser").select(f"{d.choice('p', 'div', 'td')}:{d.name().replace('.', '-')}"),
            soupsieve_attribute=lambda d: soupsieve.compile(f"p[{d.ident()}=]"), soupsieve_character=lambda d: soupsieve.compile(f"{d.ident()} {d.choice('!', '%', '?')}x"),
            lark_characters=lambda d: lark.Lark("start: WORD+\nWORD: /[a-z]+/\n%ignore / /").parse(f"{d.choice('oak', 'elm', 'rowan')} {d.number()}"),
            lark_token=lambda d: lark.Lark("start: A B\nA: /[a-z]+/\nB: /[0-9]+/\n%ignore / /", parser="lalr", lexer="basic").parse(f"{d.word()} {d.word()}"),
            pyparsing_integer=lambda d: pyparsing.Word(pyparsing.nums).set_name("amount").parse_string(d.name() + "x"),
            pyparsing_end=lambda d: pyparsing.Word(pyparsing.alphas).parse_string(f"{d.word()} {d.name()}", parse_all=True),
            jsonpath_token=lambda d: jsonpath_ng.parse(f"$.{d.word()} {d.ident()}"),
            sqlglot_table=lambda d: sqlglot.parse_one(f"select {d.ident()} from where {d.ident()} = {d.number()}"),  # noqa: S608 -- is to be refused
            sqlglot_token=lambda d: sqlglot.parse_one(f"select {d.ident()} from {d.ident()} )"), sqlglot_quote=lambda d: sqlglot.parse_one(f"select '{d.name()}"),  # noqa: S608 -- is to be refused
            sqlglot_dialect=lambda d: sqlglot.parse_one("select 1", read=d.ident()),
            sympy_parse=lambda d: sympy.sympify(f"{d.word()} + * {d.number()}"),
            shapely_type=lambda d: shapely.from_wkt(f"{d.klass().upper()} ({d.number()} {d.number()})"), shapely_word=lambda d: shapely.from_wkt(f"POINT ({d.number()} {d.word()})")),
    *causes(("bad_input", "not_found"), sqlglot_column=lambda d: sqlglot.optimizer.qualify.qualify(sqlglot.parse_one(f"select a.{d.ident()} from a"), schema={"a": {"b": "int"}})),  # noqa: S608 -- is to be refused
    *causes(None, lark_rule=lambda d: lark.Lark(f"start: {d.word()}_{d.word()}"), sympy_shape=lambda d: sympy.ones(d.number(2, 9), d.number(2, 9)) * sympy.ones(d.number(10, 19), 2),
            pint_dimension=lambda d: units(f"{d.number()} {d.choice('meter', 'hour', 'gram')}").to(d.choice("ampere", "liter", "kelvin", "watt")),
            docutils_directive=lambda d: published(f"Hi\n\n.. {d.ident()}:: {d.word()}\n"), docutils_role=lambda d: published(f":{d.word()}-{d.word()}:`{d.name()}`")),
    *causes(("bad_input", "tool_bug"), pint_unit=lambda d: units(f"{d.number()} {d.ident()}_q")),
]  # fmt: skip


def published(source: str) -> None:
    docutils.core.publish_string(
        "\n" * (len(source) % 4) + source, settings_overrides={"halt_level": 2, "report_level": 5}
    )


AVRO = fastavro.parse_schema(
    {
        "type": "record",
        "name": "Parcel",
        "fields": [{"name": "sku", "type": "string"}, {"name": "count", "type": "int"}],
    }
)
FORM = voluptuous.Schema(
    {
        voluptuous.Required("sku"): str,
        "count": int,
        "size": voluptuous.Any("small", "large"),
        "tag": voluptuous.Length(max=3),
        "rate": voluptuous.Range(max=5),
    }
)


def avro(record: Callable[[Draw], dict[str, object]]) -> Callable[[Draw], object]:
    return lambda d: fastavro.validation.validate(record(d), AVRO)


def protobuf(message: object, source: Callable[[Draw], str]) -> Callable[[Draw], object]:
    return lambda d: json_format.Parse(source(d), message())  # type: ignore[operator]


SCHEMAS = [
    *causes("bad_input", fastavro_type=avro(lambda d: {"sku": d.name(), "count": d.name()}), fastavro_unknown=lambda d: fastavro.parse_schema({"type": d.klass()}),
            protobuf_json_field=protobuf(descriptor_pb2.FileDescriptorProto, lambda d: f'{{"{d.ident()}": {d.number()}}}'),
            protobuf_json_integer=protobuf(descriptor_pb2.FieldDescriptorProto, lambda d: f'{{"number": "{d.name()}"}}'),
            protobuf_json_enum=protobuf(descriptor_pb2.FieldDescriptorProto, lambda d: f'{{"type": "{d.name()}"}}'),
            protobuf_time=protobuf(timestamp_pb2.Timestamp, lambda d: f'"{d.day()}"'), protobuf_duration=protobuf(duration_pb2.Duration, lambda d: f'"{d.name()}"'),
            protobuf_text_field=lambda d: text_format.Parse("\n" * d.number(0, 5) + f"{d.ident()}: {d.number()}", descriptor_pb2.FileDescriptorProto()),
            protobuf_text_token=lambda d: text_format.Parse(f"name: {d.klass()}", descriptor_pb2.FileDescriptorProto()),
            voluptuous_extra=lambda d: FORM({"sku": "a", d.ident(): d.number()}), voluptuous_type=lambda d: voluptuous.Schema({d.ident(): int})({d.args[-1]: d.name()}),
            voluptuous_required=lambda d: voluptuous.Schema({voluptuous.Required(d.ident()): str})({})),
    *causes("tool_bug", protobuf_attribute=lambda d: getattr(timestamp_pb2.Timestamp(), d.ident())),
    *causes(("bad_input", "tool_bug"), protobuf_keyword=lambda d: timestamp_pb2.Timestamp(**{f"{d.word()}_x": d.number()})),
]  # fmt: skip


def broken(draw: Draw, ending: str) -> str:
    place = WORK / f"{draw.odd()}.{ending}"
    place.write_text(draw.hexes(80) + "\n" + draw.name())
    return draw.note(str(place))


FILES = [
    *causes("not_found", h5py_no_file=lambda d: h5py.File(d.path("h5"), "r")),
    *causes(None, pypdf_header=lambda d: PdfReader(broken(d, "pdf"), strict=True)),
    *causes(("tool_bug", "not_found"), h5py_object=lambda d: h5py.File(f"{d.hexes(8)}", "w", driver="core", backing_store=False)[d.name()]),
]  # fmt: skip

CAUSES: list[Cause] = [*DATES, *EXPRESSIONS, *SCHEMAS, *FILES]

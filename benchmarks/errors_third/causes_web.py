"""Web frameworks and what is built around them: Django, Flask, FastAPI, Starlette, Celery, GraphQL, SOAP."""

import asyncio
import json
from collections.abc import Callable
from functools import partial

import celery
import django
import fastapi
import flask
import graphql
import itsdangerous
import kombu.serialization
import starlette.routing
import starlette.staticfiles
import zeep
import zeep.loader
from celery.schedules import crontab
from django.apps import apps
from django.conf import settings
from django.core import management, signing
from django.db import models
from django.template import Context, Engine
from django.test import RequestFactory
from django.urls import path, resolve, reverse
from django.utils._os import safe_join
from django.utils.module_loading import import_string
from draws import WORK, Cause, Draw, ToolError, Web, causes
from pydantic import BaseModel

settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}, ROOT_URLCONF=__name__,
                   SECRET_KEY=__name__, ALLOWED_HOSTS=["shop.example"], USE_TZ=True, TIME_ZONE="UTC")  # fmt: skip
django.setup()
urlpatterns = [path("orders/<int:number>/", lambda _request, **_words: None, name="order")]
web = Web.open()


class Parcel(models.Model):  # noqa: DJ008 -- nobody prints one
    label = models.CharField(max_length=12)
    weight = models.IntegerField(default=0)
    sent = models.DateField(null=True)
    due = models.DateTimeField(null=True)
    price = models.DecimalField(max_digits=6, decimal_places=2, null=True)
    tracking = models.UUIDField(null=True)
    fragile = models.BooleanField(default=False)
    state = models.CharField(
        max_length=9, choices=[("new", "New"), ("gone", "Gone")], default="new"
    )

    class Meta:
        app_label = "shop"


def cleaned(name: str, draw_value: Callable[[Draw], object]) -> Callable[[Draw], None]:
    return lambda draw: Parcel._meta.get_field(name).clean(draw_value(draw), None)  # noqa: SLF001 -- Django's documented name


def template(text: str) -> Callable[[Draw], object]:
    return lambda draw: Engine().from_string(text.replace("@", draw.ident())).render(Context({}))


def request(draw: Draw) -> object:
    return RequestFactory().get("/", HTTP_HOST=f"{draw.host()}:{draw.port()}").get_host()


DJANGO = [
    *causes(("bad_input", "not_found"), django_lookup=lambda draw: Parcel.objects.filter(**{draw.ident(): draw.number()}),
            django_command=lambda draw: management.call_command(draw.ident())),
    *causes("bad_input", django_integer=cleaned("weight", Draw.name), django_date=cleaned("sent", Draw.name),
            django_datetime=cleaned("due", Draw.name), django_decimal=cleaned("price", Draw.name), django_uuid=cleaned("tracking", Draw.name),
            django_boolean=cleaned("fragile", Draw.name), django_choice=cleaned("state", Draw.name), django_length=cleaned("label", lambda draw: draw.name() * 4),
            django_host=request, django_update_field=lambda draw: Parcel(id=1).save(update_fields=[draw.ident()])),
    *causes("not_found", django_template=lambda draw: Engine(dirs=["/srv/none"]).get_template(f"{draw.name()}/{draw.name()}.html"),
            django_resolve=lambda draw: resolve(f"/{draw.name()}/{draw.number()}")),
    *causes(None, django_filter=template("{{ price|@ }}"), django_tag=template("<p>\n{% @ 3 %}"), django_reverse=lambda draw: reverse(draw.ident()),
            django_reverse_args=lambda draw: reverse("order", args=[draw.name()]), django_load=template("{% load @ %}"),
            django_app=lambda draw: apps.get_app_config(draw.ident()),
            django_signature=lambda draw: signing.Signer().unsign(f"{draw.name()}:{draw.hexes(12)}"),
            django_joined=lambda draw: safe_join(f"/srv/{draw.word()}", f"../{draw.name()}"),
            django_attribute=lambda draw: import_string(f"json.{draw.ident()}")),
]  # fmt: skip


def endpoint_twice(draw: Draw) -> None:
    app, name = flask.Flask("shop"), draw.ident()
    for _ in range(2):
        app.add_url_rule(f"/{draw.name()}", name, lambda: "x")


def blueprint_twice(draw: Draw) -> None:
    app, name = flask.Flask("shop"), draw.ident()
    for _ in range(2):
        app.register_blueprint(flask.Blueprint(name, __name__))


def flask_url(draw: Draw) -> None:
    with flask.Flask("shop").test_request_context():
        flask.url_for(draw.ident(), number=draw.number())


class Order(BaseModel):
    sku: str
    count: int = 1


api = fastapi.FastAPI()


@api.post("/orders/{number}")
def place(number: int, order: Order) -> None: ...


def asked(target: Callable[[Draw], str], body: Callable[[Draw], object]) -> Callable[[Draw], None]:
    """Ask the FastAPI app and fail as a tool that tells what it answered."""

    def provoke(draw: Draw) -> None:
        said: list[dict[str, object]] = []
        text = json.dumps(body(draw)).encode()

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": text, "more_body": False}

        async def send(message: dict[str, object]) -> None:
            said.append(message)

        scope = {"type": "http", "method": "POST", "path": target(draw), "query_string": b"", "http_version": "1.1",
                 "headers": [(b"content-type", b"application/json")]}  # fmt: skip
        asyncio.run(api(scope, receive, send))  # type: ignore[arg-type]
        raise ToolError(f"HTTP {said[0]['status']}: {said[1]['body'].decode()}")  # type: ignore[union-attr]

    return provoke


FRAMEWORKS = [
    *causes(None, flask_url=flask_url, flask_endpoint=endpoint_twice, flask_blueprint=blueprint_twice,
            itsdangerous_signature=lambda draw: itsdangerous.Signer("k").unsign(f"{draw.name()}.{draw.hexes(27)}"),
            starlette_no_route=lambda draw: starlette.routing.Router().url_path_for(draw.ident(), number=draw.number()),
            starlette_convertor=lambda draw: starlette.routing.compile_path(f"/{draw.name()}/{{id:{draw.word()}}}")),
    *causes("not_found", starlette_folder=lambda draw: starlette.staticfiles.StaticFiles(directory=draw.folder())),
    *causes("bad_input", fastapi_missing=asked(lambda draw: f"/orders/{draw.number()}", lambda draw: {draw.ident(): draw.name()}),
            fastapi_body_integer=asked(lambda draw: f"/orders/{draw.number()}", lambda draw: {"sku": draw.name(), "count": draw.name()}),
            fastapi_string=asked(lambda draw: f"/orders/{draw.number()}", lambda draw: {"sku": draw.number()})),
]  # fmt: skip

worker = celery.Celery("shop", broker="memory://", backend="cache+memory://")


@worker.task(bind=True, max_retries=0, name="shop.sync")
def sync(self: celery.Task, **_words: object) -> None:
    raise self.retry(countdown=1)


CELERY = [
    *causes(None, celery_task=lambda draw: worker.tasks[f"shop.{draw.ident()}"],
            celery_retries=lambda draw: sync.apply(kwargs={"number": draw.number()}, task_id=draw.uuid()).get(),
            kombu_serializer=lambda draw: kombu.serialization.dumps({}, serializer=draw.name()),
            kombu_content=lambda draw: kombu.serialization.loads(b"x", f"application/x-{draw.name()}", "utf-8", accept=["json"])),
    *causes("bad_input", celery_crontab=lambda draw: crontab(minute=draw.name()), celery_crontab_range=lambda draw: crontab(hour=draw.number(25, 900))),
]  # fmt: skip

SCHEMA = graphql.build_schema(
    "type Query { order(number: Int!, sku: String): Order } type Order { sku: String count: Int }"
)


def queried(
    text: Callable[[Draw], str], variables: Callable[[Draw], dict[str, object]] = lambda _draw: {}
) -> Callable[[Draw], None]:
    def provoke(draw: Draw) -> None:
        got = graphql.graphql_sync(SCHEMA, text(draw), variable_values=variables(draw))
        if got.errors:
            raise got.errors[0]

    return provoke


def operation(draw: Draw) -> None:
    got = graphql.graphql_sync(
        SCHEMA, "query One { order(number: 1) { sku } }", operation_name=draw.ident()
    )
    if got.errors:
        raise got.errors[0]


GRAPHQL = causes(
    "bad_input", graphql_field=queried(lambda d: f"{{ order(number: {d.number()}) {{ {d.ident()} }} }}"),
    graphql_argument=queried(lambda d: f"{{ order(number: {d.number()}, {d.ident()}: 1) {{ sku }} }}"),
    graphql_integer=queried(lambda d: f'{{ order(number: "{d.name()}") {{ sku }} }}'),
    graphql_syntax=queried(lambda d: f"{{ order(number: {d.number()}) {{ sku }} }} {d.ident()}"),
    graphql_fragment=queried(lambda d: f"{{ order(number: {d.number()}) {{ ...{d.ident()} }} }}"),
    graphql_variable=queried(lambda d: f"query ($n: Int!) {{ order(number: $n) {{ sku }} # {d.word()}\n }}", lambda d: {"n": d.name()}),
    graphql_type=queried(lambda d: f"query ($n: {d.klass()}!) {{ order(number: $n) {{ sku }} }}"),
    graphql_undefined=queried(lambda d: f"query {d.klass()} {{ order(number: ${d.ident()}) {{ sku }} }}"),
    graphql_operation=operation,
)  # fmt: skip


WSDL = """<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:s="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:t="urn:shop" targetNamespace="urn:shop">
<types><x:schema xmlns:x="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:shop" elementFormDefault="qualified">
<x:element name="Get"><x:complexType><x:sequence><x:element name="sku" type="x:string"/><x:element name="count" type="x:int"/></x:sequence></x:complexType></x:element>
<x:element name="Got" type="x:string"/></x:schema></types>
<message name="I"><part name="p" element="t:Get"/></message><message name="O"><part name="p" element="t:Got"/></message>
<portType name="P"><operation name="Get"><input message="t:I"/><output message="t:O"/></operation></portType>
<binding name="B" type="t:P"><s:binding transport="http://schemas.xmlsoap.org/soap/http" style="document"/>
<operation name="Get"><s:operation soapAction="g"/><input><s:body use="literal"/></input><output><s:body use="literal"/></output></operation></binding>
<service name="S"><port name="P" binding="t:B"><s:address location="http://127.0.0.1:@/soap"/></port></service></definitions>"""


def soap() -> zeep.Client:
    file = WORK / "shop.wsdl"
    file.write_text(WSDL.replace("@", str(web.port)))
    return zeep.Client(str(file))


def posted(status: int, body: Callable[[Draw], str], draw: Draw) -> None:
    web.says(status, body(draw.unseen), "text/html")
    soap().service.Get(sku=draw.name(), count=draw.number())


ZEEP = [
    *causes("overloaded", zeep_503=partial(posted, 503, lambda d: f"<p>{d.host()} is down until {d.day()}")),
    *causes("credential", zeep_401=partial(posted, 401, lambda d: f"no session {d.uuid()}")),
    *causes("server_error", zeep_502=partial(posted, 502, lambda d: f"bad gateway {d.hexes(12)}")),
    *causes("tool_bug", zeep_operation=lambda d: getattr(soap().service, d.klass())(), zeep_argument=lambda d: soap().service.Get(**{d.ident(): d.name()})),
    *causes(("bad_input", "not_found"), zeep_type=lambda d: soap().get_type(f"{{urn:shop}}{d.klass()}"), zeep_element=lambda d: soap().get_element(f"{{urn:shop}}{d.klass()}")),
    *causes(None, zeep_prefix=lambda d: soap().get_type(f"{d.word()}:{d.klass()}")),
]  # fmt: skip

CAUSES: list[Cause] = [*DJANGO, *FRAMEWORKS, *CELERY, *GRAPHQL, *ZEEP]

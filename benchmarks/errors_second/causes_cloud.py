"""AWS, gRPC and MCP."""

import asyncio

import boto3
import botocore.config
import botocore.exceptions
import grpc
from causes_http import WEB
from draws import Cause, Draw, ToolError
from mcp.server.fastmcp import FastMCP
from mcp.shared.exceptions import McpError
from mcp.shared.memory import create_connected_server_and_client_session
from servers import Calls, Web

CALLS = Calls()
QUICK = botocore.config.Config(
    retries={"total_max_attempts": 1},
    connect_timeout=2,
    read_timeout=2,
    s3={"addressing_style": "path"},
)


def client(service: str, url: str, config: botocore.config.Config = QUICK) -> object:
    return boto3.client(
        service, endpoint_url=url, region_name="eu-west-1", aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="none", config=config,  # noqa: S106 -- a name, not a secret
    )  # fmt: skip


def stored(draw: Draw, status: int, code: str, message: str) -> None:
    body = (f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message>"
            f"<RequestId>{draw.unseen.hexes(16).upper()}</RequestId></Error>")  # fmt: skip
    WEB.says(status, body, Content_Type="application/xml")
    client("s3", WEB.at("")).get_object(Bucket=draw.word(), Key=draw.name())


def tabled(draw: Draw, status: int, code: str, message: str) -> None:
    WEB.says(status, {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message})
    key = {"id": {"S": draw.name()}}
    client("dynamodb", WEB.at("")).put_item(TableName=draw.ident() + "_t", Item=key)


def role(draw: Draw) -> str:
    return f"arn:aws:iam::{draw.unseen.number(10**11, 10**12)}:user/{draw.name()}"


def slow(draw: Draw) -> None:
    web = Web.open().says(200, manner="silent")
    config = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=0.1)
    client("s3", web.at(""), config).get_object(Bucket=draw.word(), Key=draw.name())


def called(draw: Draw, code: grpc.StatusCode, details: str, wait: float = 5, port: int = 0) -> None:
    CALLS.code, CALLS.details = code, details
    with grpc.insecure_channel(f"127.0.0.1:{port or CALLS.port}") as channel:
        channel.unary_unary("/shop.Orders/Get")(draw.word().encode(), timeout=wait)


TOOLS = FastMCP("shop")


@TOOLS.tool()
def fetch_order(order: int, day: str) -> str:
    raise LookupError(f"order {order} of {day} is not in the book")


@TOOLS.resource("notes://{name}")
def note(name: str) -> str:
    raise RuntimeError(f"note {name} is locked by another writer")


def over_mcp(kind: str, name: str, **arguments: object) -> None:
    async def call() -> str | None:
        async with create_connected_server_and_client_session(TOOLS._mcp_server) as session:  # noqa: SLF001 -- mcp 1.x offers no other way in memory
            try:
                if kind == "resource":
                    await session.read_resource(name)
                result = await session.call_tool(name, arguments)
            except McpError as error:
                return error
            return ToolError(result.content[0].text) if result.isError else None

    failed = asyncio.run(call())
    if failed:
        raise failed


Code = grpc.StatusCode
CAUSES = [
    Cause("s3_no_key", ("not_found",), lambda d: stored(d, 404, "NoSuchKey", f"The specified key {d.path()} does not exist.")),
    Cause("s3_no_bucket", ("not_found",), lambda d: stored(d, 404, "NoSuchBucket", f"The specified bucket {d.name()} does not exist")),
    Cause("s3_denied", ("forbidden",), lambda d: stored(
        d, 403, "AccessDenied", f"User: {role(d)} is not authorized to perform: s3:GetObject on resource: "
        f'"arn:aws:s3:::{d.word()}/{d.name()}" because no identity-based policy allows the s3:GetObject action')),
    Cause("s3_expired", ("credential",), lambda d: stored(
        d, 400, "ExpiredToken", f"The provided token has expired at {d.unseen.day()}T08:{d.unseen.number(10, 59)}:07Z.")),
    Cause("s3_bad_key", ("credential", "forbidden"), lambda d: stored(
        d, 403, "InvalidAccessKeyId", f"The AWS Access Key Id AKIA{d.unseen.hexes(16).upper()} you provided does not exist in our records.")),
    Cause("s3_slow_down", ("overloaded",), lambda d: stored(
        d, 503, "SlowDown", f"Please reduce your request rate for prefix {d.name()}/{d.number()}.")),
    Cause("s3_internal", ("server_error",), lambda d: stored(
        d, 500, "InternalError", f"We encountered an internal error, reference {d.unseen.hexes(20)}. Please try again.")),
    Cause("s3_refused", ("not_sent",), lambda d: client("s3", f"http://127.0.0.1:{d.port()}").get_object(Bucket=d.word(), Key=d.name())),
    Cause("s3_read_timeout", ("timed_out",), slow),
    Cause("s3_bad_bucket", ("bad_input",), lambda d: client("s3", WEB.at("")).get_object(Bucket=f"{d.name()} {d.word()}", Key="k")),
    Cause("s3_bad_type", ("bad_input",), lambda d: client("s3", WEB.at("")).get_object(Bucket=d.word() + "x", Key=d.number())),
    Cause("dynamo_throttled", ("rate_limited",), lambda d: tabled(
        d, 400, "ThrottlingException", f"Throughput exceeds the current capacity of your table {d.ident()} or index.")),
    Cause("dynamo_no_table", ("not_found",), lambda d: tabled(
        d, 400, "ResourceNotFoundException", f"Requested resource not found: Table: {d.ident()} not found")),
    Cause("dynamo_validation", ("bad_input",), lambda d: tabled(
        d, 400, "ValidationException", f"One or more parameter values were invalid: Missing the key {d.ident()} in the item")),
    Cause("dynamo_stale_clock", None, lambda d: tabled(
        d, 400, "InvalidSignatureException", f"Signature expired: {d.unseen.day()} is now earlier than {d.unseen.day()}")),
    Cause("grpc_not_found", ("not_found",), lambda d: called(d, Code.NOT_FOUND, f"order {d.number()} not found")),
    Cause("grpc_denied", ("forbidden",), lambda d: called(
        d, Code.PERMISSION_DENIED, f"Permission 'orders.get' denied on resource '//shop/projects/{d.name()}'")),
    Cause("grpc_unauthenticated", ("credential",), lambda d: called(
        d, Code.UNAUTHENTICATED, f"Request had invalid authentication credentials, trace {d.unseen.hexes(16)}")),
    Cause("grpc_daily", ("quota",), lambda d: called(
        d, Code.RESOURCE_EXHAUSTED, f"Quota exceeded for metric 'Requests' and daily limit of project {d.number()}")),
    Cause("grpc_deadline", ("timed_out",), lambda d: called(
        d, Code.DEADLINE_EXCEEDED, f"budget of {d.number(10, 900)}ms spent at shard {d.unseen.number(1, 60)}")),
    Cause("grpc_refused", ("not_sent",), lambda d: called(d, Code.INTERNAL, "", port=d.port())),
    Cause("grpc_internal", ("server_error",), lambda d: called(
        d, Code.INTERNAL, f"shard {d.unseen.number(1, 60)} lost while reading {d.name()}")),
    Cause("grpc_invalid", ("bad_input",), lambda d: called(
        d, Code.INVALID_ARGUMENT, f"field `day` must be a date, got '{d.word()}'")),
    Cause("grpc_unimplemented", None, lambda d: called(d, Code.UNIMPLEMENTED, f"Method {d.ident()} not found!")),
    Cause("mcp_unknown_tool", ("unknown_tool",), lambda d: over_mcp("tool", d.ident())),
    Cause("mcp_tool_failed", None, lambda d: over_mcp("tool", "fetch_order", order=d.number(), day=d.day())),
    Cause("mcp_bad_argument", ("bad_input",), lambda d: over_mcp("tool", "fetch_order", order=d.word(), day=d.day())),
    Cause("mcp_unknown_resource", ("not_found", "bad_input"), lambda d: over_mcp("resource", f"{d.ident().replace('_', '')}://{d.number()}")),
    Cause("mcp_resource_failed", None, lambda d: over_mcp("resource", f"notes://{d.word()}{d.number()}")),
]  # fmt: skip

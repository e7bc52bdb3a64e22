"""HTTP clients and the services people reach with them."""

import asyncio

import aiohttp
import docker
import docker.errors
import elasticsearch
import github
import kubernetes
import requests
import slack_sdk
import stripe
import urllib3
import urllib3.util
from draws import Cause, Draw
from servers import Web, certificate

WEB = Web.open()
TLS = Web.open(certificate())
STATUSES = {
    401: ("credential",), 403: ("forbidden",), 404: ("not_found",), 409: ("conflict",), 422: ("bad_input",),
    429: ("rate_limited",), 500: ("server_error",), 502: ("server_error",), 503: ("overloaded",),
}  # fmt: skip


def asked(draw: Draw, status: int) -> None:
    url = WEB.says(status, "no").at(
        f"v2/{draw.name()}/{draw.number()}?page={draw.number(1, 99)}&q={draw.word()}"
    )
    requests.get(url, timeout=5).raise_for_status()


def asked_of(
    draw: Draw, web: Web, scheme: str = "http", wait: float = 2, manner: str = "whole"
) -> None:
    web.says(200, "x" * draw.unseen.number(10, 900), manner=manner)
    requests.post(
        f"{scheme}://127.0.0.1:{web.port}/{draw.name()}/{draw.number()}",
        data=draw.word(),
        timeout=wait,
    )


def awaited(draw: Draw, url: str, status: int = 200, body: object = "no", **headers: str) -> None:
    async def ask() -> object:
        async with (
            aiohttp.ClientSession(raise_for_status=True) as session,
            session.get(url) as answer,
        ):
            return await answer.json()

    WEB.says(status, body, **headers)
    draw.note(url)
    asyncio.run(ask())


def page(draw: Draw) -> str:
    return WEB.at(f"{draw.name()}/{draw.uuid()}?since={draw.day()}")


def pooled(draw: Draw, statuses: int) -> None:
    WEB.says(statuses, "later")
    retry = urllib3.util.Retry(total=1, status_forcelist=[statuses], backoff_factor=0)
    urllib3.PoolManager().request("GET", page(draw), retries=retry)


def slack(draw: Draw, status: int = 200, **body: object) -> None:
    WEB.says(status, {"ok": False, **body}, X_Slack_Req_Id=draw.unseen.hexes(32), Retry_After="30")
    client = slack_sdk.WebClient(token=f"xoxb-{draw.number()}", base_url=WEB.at(""))
    client.chat_postMessage(channel=draw.name(), text=draw.word())


def paid(draw: Draw, status: int, **body: object) -> None:
    WEB.says(status, {"error": body}, Request_Id=f"req_{draw.unseen.hexes(14)}")
    client = stripe.StripeClient(
        "sk_test_none", base_addresses={"api": WEB.at("").rstrip("/")}, max_network_retries=0
    )
    client.v1.customers.retrieve(draw.note(f"cus_{draw.unseen.hexes(14)}"))


def forge(draw: Draw, status: int, message: str, **more: object) -> None:
    documented = "https://docs.github.com/rest/repos/repos#get-a-repository"
    WEB.says(
        status, {"message": message, "documentation_url": documented, "status": str(status), **more}
    )
    client = github.Github(
        base_url=WEB.at("").rstrip("/"), retry=None, seconds_between_requests=None
    )
    client.get_repo(f"{draw.name()}/{draw.name()}")


def engine() -> docker.APIClient:
    return docker.APIClient(base_url=f"tcp://127.0.0.1:{WEB.port}", version="1.43")


def contained(draw: Draw, status: int, message: str) -> None:
    WEB.says(status, {"message": message})
    engine().start(draw.args[0].lower())


def clustered(draw: Draw, status: int, reason: str, message: str) -> None:
    WEB.says(status, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
                      "reason": reason, "code": status}, Audit_Id=draw.unseen.uuid())  # fmt: skip
    client = kubernetes.client.ApiClient(
        kubernetes.client.Configuration(host=WEB.at("").rstrip("/"))
    )
    kubernetes.client.CoreV1Api(client).read_namespaced_pod(draw.args[0], "default")


def searched(draw: Draw, status: int, kind: str, reason: str, index: str) -> None:
    cause = {
        "type": kind,
        "reason": reason,
        "index": index,
        "index_uuid": draw.unseen.hexes(22),
        "shard": "0",
    }
    WEB.says(
        status,
        {"error": {"root_cause": [cause], **cause}, "status": status},
        X_Elastic_Product="Elasticsearch",
    )
    elasticsearch.Elasticsearch(WEB.at("").rstrip("/"), max_retries=0).get(
        index=index, id=str(draw.number())
    )


def limits(draw: Draw) -> None:
    slack(draw, 429, error="ratelimited", at=draw.unseen.hexes(8))


SERVICES = [
    Cause("slack_invalid_auth", ("credential",), lambda d: slack(d, error="invalid_auth", at=d.unseen.hexes(8))),
    Cause("slack_channel", ("not_found",), lambda d: slack(d, error="channel_not_found", at=d.unseen.hexes(8))),
    Cause("slack_ratelimited", ("rate_limited",), limits),
    Cause("stripe_missing", ("not_found",), lambda d: paid(
        d, 404, type="invalid_request_error", code="resource_missing", param="id",
        message=f"No such customer: 'cus_{d.hexes(14)}'")),
    Cause("stripe_key", ("credential",), lambda d: paid(
        d, 401, type="invalid_request_error", message=f"Invalid API Key provided: sk_test_***{d.unseen.hexes(4)}")),
    Cause("stripe_card", None, lambda d: paid(
        d, 402, type="card_error", code="card_declined", decline_code="do_not_honor", message="Your card was declined.",
        charge=f"ch_{d.unseen.hexes(20)}")),
    Cause("stripe_idempotency", ("conflict", "bad_input", "in_doubt"), lambda d: paid(
        d, 400, type="idempotency_error", message="Keys for idempotent requests can only be used with the same "
        f"parameters they were first used with. Try using a key other than '{d.uuid()}'")),
    Cause("github_401", ("credential",), lambda d: forge(d, 401, "Bad credentials", id=d.unseen.hexes(12))),
    Cause("github_404", ("not_found",), lambda d: forge(d, 404, "Not Found", id=d.unseen.hexes(12))),
    Cause("github_secondary", ("rate_limited",), lambda d: forge(
        d, 403, "You have exceeded a secondary rate limit. Please wait a few minutes before you try again. "
        f"If you reach out to GitHub Support for help, please include the request ID {d.unseen.hexes(8).upper()}.")),
    Cause("github_403", ("forbidden",), lambda d: forge(
        d, 403, "Resource not accessible by personal access token", id=d.unseen.hexes(12))),
    Cause("github_422", ("bad_input",), lambda d: forge(
        d, 422, "Validation Failed", errors=[{"resource": "Issue", "field": "title", "code": "missing_field"}],
        id=d.unseen.hexes(12))),
    Cause("docker_no_container", ("not_found",), lambda d: contained(
        d, 404, f"No such container: {d.hexes(12)}")),
    Cause("docker_no_image", ("not_found",), lambda d: contained(
        d, 404, f"No such image: {d.name().lower()}:latest")),
    Cause("docker_conflict", ("conflict",), lambda d: contained(
        d, 409, f'Conflict. The container name "/{d.name()}" is already in use by container "{d.unseen.hexes(64)}". '
        "You have to remove (or rename) that container to be able to reuse that name.")),
    Cause("docker_port", ("server_error",), lambda d: contained(
        d, 500, f"driver failed programming external connectivity on endpoint {d.name()} ({d.unseen.hexes(64)}): "
        f"Bind for 0.0.0.0:{d.number(1_024, 60_000)} failed: port is already allocated")),
    Cause("kubernetes_404", ("not_found",), lambda d: clustered(
        d, 404, "NotFound", f'pods "{d.name()}" not found')),
    Cause("kubernetes_403", ("forbidden",), lambda d: clustered(
        d, 403, "Forbidden", f'pods "{d.name()}" is forbidden: User "system:serviceaccount:{d.word()}:default" cannot '
        'get resource "pods" in API group "" in the namespace "default"')),
    Cause("kubernetes_409", ("conflict",), lambda d: clustered(
        d, 409, "Conflict", f'Operation cannot be fulfilled on pods "{d.name()}": the object has been modified; '
        "please apply your changes to the latest version and try again")),
    Cause("elastic_no_index", ("not_found",), lambda d: searched(
        d, 404, "index_not_found_exception", f"no such index [{d.name().lower()}]", d.args[-1].lower())),
    Cause("elastic_version", ("conflict",), lambda d: searched(
        d, 409, "version_conflict_engine_exception", f"[{d.number()}]: version conflict, required seqNo "
        f"[{d.number(1, 99)}], primary term [1]. current document has seqNo [{d.unseen.number(100, 999)}]", d.word())),
    Cause("elastic_rejected", ("rate_limited",), lambda d: searched(
        d, 429, "es_rejected_execution_exception", f"rejected execution of coordinating operation "
        f"[coordinating_and_primary_bytes={d.unseen.number()}, replica_bytes=0]", d.word())),
    Cause("elastic_mapping", ("bad_input",), lambda d: searched(
        d, 400, "mapper_parsing_exception", f"failed to parse field [{d.ident()}] of type [long] in document with id "
        f"'{d.number()}'. Preview of field's value: '{d.word()}'", d.word())),
]  # fmt: skip

CAUSES = [
    *(Cause(f"requests_{status}", kinds, lambda d, status=status: asked(d, status)) for status, kinds in STATUSES.items()),
    *(Cause(f"aiohttp_{status}", STATUSES[status], lambda d, status=status: awaited(d, page(d), status))
      for status in (401, 404, 429, 500, 503)),
    Cause("requests_refused", ("not_sent",), lambda d: requests.get(
        f"http://127.0.0.1:{d.port()}/{d.name()}", timeout=2)),
    Cause("requests_dns", ("not_sent",), lambda d: requests.get(f"https://{d.host()}/{d.name()}", timeout=5)),
    Cause("requests_read_timeout", ("timed_out",), lambda d: asked_of(
        d, Web.open(), wait=d.number(10, 99) / 1000, manner="silent")),
    Cause("requests_self_signed", ("not_sent",), lambda d: asked_of(d, TLS, "https")),
    Cause("requests_not_tls", ("not_sent",), lambda d: asked_of(d, WEB, "https")),
    Cause("requests_cut", ("truncated",), lambda d: asked_of(d, WEB, manner="cut")),
    Cause("requests_no_scheme", ("bad_input", "not_sent"), lambda d: requests.get(f"{d.host()}/{d.name()}", timeout=2)),
    Cause("requests_no_adapter", ("bad_input", "not_sent"), lambda d: requests.get(f"{d.word()}://{d.host()}/", timeout=2)),
    Cause("aiohttp_refused", ("not_sent",), lambda d: awaited(d, f"http://127.0.0.1:{d.port()}/{d.name()}")),
    Cause("aiohttp_dns", ("not_sent",), lambda d: awaited(d, f"http://{d.host()}/{d.name()}")),
    Cause("aiohttp_html", ("html", "schema"), lambda d: awaited(
        d, page(d), body="<html><title>Welcome</title></html>", Content_Type="text/html")),
    Cause("urllib3_too_many_503", ("overloaded",), lambda d: pooled(d, 503)),
    Cause("urllib3_too_many_429", ("rate_limited",), lambda d: pooled(d, 429)),
    Cause("urllib3_parse", ("bad_input", "not_sent"), lambda d: urllib3.PoolManager().request(
        "GET", f"http://{d.name()}:{d.ident()}:80x/")),
    *SERVICES,
]  # fmt: skip

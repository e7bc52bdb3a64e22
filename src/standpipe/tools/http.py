"""Ask and tell web services that the home lists under [egress].

Rule 1: a URL is read once, checked, resolved once, and the address that was checked is the one connected to.
Rule 2: a redirect is a new request; where the first one may have had its effect, what fails after it
    never looks as if nothing was sent.
Rule 3: a credential goes to the hosts it is for, is dropped when a redirect leaves the origin, and is
    in no answer and no error.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin

import msgspec
from msgspec import Struct

from standpipe.errors import UsageError
from standpipe.execution.hosts import HostPausedError
from standpipe.execution.tools import renewed, surroundings, tool
from standpipe.policy.egress import Place, host_allowed, listed, listing, read_url
from standpipe.tools.addresses import EgressRefused, Resolve, reachable, resolve_by_system
from standpipe.tools.phases import phases

if TYPE_CHECKING:  # httpx loads when the first request is made, not when manifests are read
    import httpx

BODY_BYTES_MAX = 2 * 1024 * 1024
ERROR_BODY_MAX = 4096
REDIRECTS_MAX = 5
_SEND_METHODS = ("POST", "PUT", "PATCH", "DELETE")
_AGAIN = (307, 308)  # the same request elsewhere; it was not carried out here
_ELSEWHERE = (301, 302, 303)  # look there, by GET

Body = dict[str, object] | list[object] | str | None


class HttpFailure(Exception):  # noqa: N818 -- its name stands in the journal; "error" adds nothing
    """The other side answered, and the answer is no."""

    def __init__(self, message: str, answer: "Answer") -> None:
        super().__init__(message)
        self.status_code = answer.status
        self.headers = dict(answer.headers)
        self.body = answer.text[:ERROR_BODY_MAX]
        self.url = answer.ask.url


@tool(
    effect="read",
    control=["url"],
    returns_media="text/html",
    tells="page {url}",
    expected=["not_found"],
)
async def http_get(url: str) -> dict[str, object]:
    """Get a page or JSON from a listed host.

    Args:
        url: https://host/path; the host must be listed under [egress]
    """
    return _told(await follow(Ask("GET", url), Wire.here()))


@tool(effect="once", control=["url"], reversible=False, tells="answer of {url}")
async def http_send(method: str, url: str, body: Body = None) -> dict[str, object]:
    """Send a request that changes something at a listed host.

    Args:
        method: POST, PUT, PATCH or DELETE
        url: https://host/path; the host must be listed under [egress]
        body: JSON, or text that is sent as it is
    """
    with phases():
        if method.upper() not in _SEND_METHODS:
            raise ValueError(
                f"method `{method}` is none of {', '.join(_SEND_METHODS)}\nhint: http_get reads"
            )
        content, media = _content(body)
    return _told(await follow(Ask(method.upper(), url, content, media), Wire.here()))


class Credential(Struct, frozen=True, kw_only=True):
    """A secret and where it goes; exactly one template says how."""

    name: str = ""
    hosts: tuple[str, ...] = ()
    header: str = ""  # "Authorization: Bearer {}"
    query: str = ""  # "key={}"
    basic: str = ""  # "user:{}"
    value: str = ""


class _Egress(Struct, frozen=True):
    allow: tuple[str, ...] = ()


class _Settings(Struct, frozen=True):
    egress: _Egress = _Egress()
    secrets: Mapping[str, Credential] = {}


@dataclass(frozen=True, slots=True)
class Wire:
    """What stands between a request and the world."""

    allow: tuple[str, ...]
    credentials: tuple[Credential, ...] = ()
    resolve: Resolve = resolve_by_system
    transport: "httpx.AsyncBaseTransport | None" = None  # None: the network

    @classmethod
    def here(cls) -> "Wire":
        settings = msgspec.convert(dict(surroundings().settings), _Settings)
        named = (
            msgspec.structs.replace(one, name=name, value=renewed(name) or one.value)
            for name, one in settings.secrets.items()
        )
        return cls(settings.egress.allow, tuple(one for one in named if one.value))


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, before any credential is added."""

    method: str
    url: str
    content: bytes = b""
    media: str = ""
    trusted: bool = True  # no redirect has left the origin of the first request


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one request, own secrets masked."""

    ask: Ask
    status: int
    headers: Mapping[str, str]
    text: str
    truncated: bool

    @property
    def media(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def location(self) -> str | None:
        """Where a redirect leads."""
        if self.status not in _AGAIN + _ELSEWHERE or "location" not in self.headers:
            return None
        return urljoin(self.ask.url, self.headers["location"])

    def failure(self, said: str) -> HttpFailure:
        return HttpFailure(f"`{self.ask.method} {self.ask.url}` answered {self.status}{said}", self)


async def follow(ask: Ask, wire: Wire) -> Answer:
    """Send a request and follow where it leads.

    Raises:
        EgressRefused: it, or a redirect of it, may not be sent.
        HttpFailure: the answer is an error.
    """
    import httpx  # noqa: PLC0415 -- 80 ms that only a request should cost

    landed: Answer | None = None  # the answer after which an effect may have happened
    redirects = 0
    try:
        while True:
            answer = await _exchange(ask, wire)
            if answer.location is None:
                return _unless_refused(answer)
            if ask.method != "GET" and answer.status in _ELSEWHERE:
                landed = answer
            if (redirects := redirects + 1) > REDIRECTS_MAX:
                raise answer.failure(f", the redirect number {redirects}")
            ask = _redirected(ask, answer, answer.location)
    except (EgressRefused, HostPausedError, HttpFailure, httpx.HTTPError) as error:
        if landed is None:
            raise
        raise landed.failure(f" and what it points to failed: {error}") from None


def _unless_refused(answer: Answer) -> Answer:
    if answer.status >= 400:  # noqa: PLR2004 -- where errors begin in HTTP
        raise answer.failure(f": {excerpt}" if (excerpt := answer.text[:200].strip()) else "")
    return answer


def _redirected(ask: Ask, answer: Answer, location: str) -> Ask:
    same = _same_origin(ask.url, location)
    if answer.status in _ELSEWHERE:
        return Ask("GET", location, trusted=ask.trusted and same)
    if ask.method != "GET" and not same:
        raise EgressRefused(
            f"`{ask.method} {ask.url}` is redirected to `{location}`, and a body is not sent on to another origin",
            hint="send it to that URL, if that is meant",
        )
    return replace(ask, url=location, trusted=ask.trusted and same)


def _same_origin(one: str, other: str) -> bool:
    try:
        return read_url(one).origin == read_url(other).origin
    except ValueError:
        return False


async def _exchange(ask: Ask, wire: Wire) -> Answer:
    import httpx  # noqa: PLC0415 -- see `follow`

    place = _checked(ask, wire)
    used = _for_place(wire.credentials, place) if ask.trusted else ()
    transport = wire.transport or httpx.AsyncHTTPTransport(
        verify=place.scheme == "https", trust_env=False
    )
    failure: httpx.RequestError | None = None
    async with transport:
        for address in await reachable(place.host, place.port, wire.resolve):
            request = _request(ask, place, address, used)
            try:
                return await _received(ask, await transport.handle_async_request(request), wire)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = _without_request(error, ask)
            except httpx.RequestError as error:
                raise _without_request(error, ask) from None
    raise failure or httpx.ConnectError(f"`{place.host}` has no address")


def _checked(ask: Ask, wire: Wire) -> Place:
    reason = host_allowed(ask.url, wire.allow)
    if reason is None:
        return read_url(ask.url)
    raise EgressRefused(
        f"`{ask.method} {ask.url}` was not sent: {reason}", hint=_hint(ask.url, wire)
    )


def _hint(url: str, wire: Wire) -> str:
    try:
        place = read_url(url)
    except ValueError:
        return "write the URL as https://host/path"
    if listed(place, wire.allow):
        return "use https"
    return f'add "{listing(place)}" to `allow` under [egress] in standpipe.toml'


def _for_place(credentials: tuple[Credential, ...], place: Place) -> tuple[Credential, ...]:
    return tuple(one for one in credentials if listed(place, one.hosts))


def _request(ask: Ask, place: Place, address: str, used: tuple[Credential, ...]) -> "httpx.Request":
    import httpx  # noqa: PLC0415 -- see `follow`

    headers = {"Host": listing(place), "User-Agent": "standpipe", "Accept-Encoding": "identity"}
    if ask.media:
        headers["Content-Type"] = ask.media
    target = place.target
    for credential in used:
        target = _with_query(target, credential)
        headers |= _header(credential)
    extensions: dict[str, object] = {"timeout": httpx.Timeout(25.0, connect=10.0).as_dict()}
    if address != place.host.strip("[]"):
        extensions["sni_hostname"] = place.host  # the certificate is still checked against the name
    at = f"[{address}]" if ":" in address else address
    url = f"{place.scheme}://{at}:{place.port}{target}"
    return httpx.Request(
        ask.method, url, headers=headers, content=ask.content or None, extensions=extensions
    )


def _with_query(target: str, credential: Credential) -> str:
    if not credential.query:
        return target
    parameter = credential.query.replace("{}", quote(credential.value, safe=""))
    return f"{target}{'&' if '?' in target else '?'}{parameter}"


def _header(credential: Credential) -> dict[str, str]:
    if not all(" " <= character <= "~" for character in credential.value):
        raise UsageError(
            f"secret `{credential.name}` holds characters no header can carry",
            hint="look for a line break at its end in the environment",
        )
    if credential.basic:
        pair = credential.basic.replace("{}", credential.value)
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    name, _, template = credential.header.partition(":")
    return {name.strip(): template.strip().replace("{}", credential.value)} if name else {}


async def _received(ask: Ask, response: "httpx.Response", wire: Wire) -> Answer:
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in response.aiter_bytes():
            chunks.append(chunk)
            size += len(chunk)
            if size > BODY_BYTES_MAX:
                break
    finally:
        await response.aclose()
    headers = {name.lower(): _masked(value, wire) for name, value in response.headers.items()}
    content = b"".join(chunks)[:BODY_BYTES_MAX]
    text = _masked(_text(content, response.charset_encoding), wire)
    return Answer(ask, response.status_code, headers, text, truncated=size > BODY_BYTES_MAX)


def _text(content: bytes, charset: str | None) -> str:
    if b"\0" in content and (charset or "").lower()[:6] not in ("utf-16", "utf-32"):
        return f"[{len(content)} bytes that are not text]"
    try:
        return content.decode(charset or "utf-8", errors="replace")
    except LookupError:  # a charset nobody knows
        return content.decode(errors="replace")


def _masked(text: str, wire: Wire) -> str:
    for credential in wire.credentials:
        for form in (credential.value, *_header_forms(credential)):
            text = text.replace(form, f"[secret {credential.name}]")
    return text


def _header_forms(credential: Credential) -> tuple[str, ...]:
    """Return how an echo of the request would show it."""
    pair = credential.basic.replace("{}", credential.value)
    basic = (base64.b64encode(pair.encode()).decode(),) if pair else ()
    return (quote(credential.value, safe=""), *basic)


def _without_request(error: "httpx.RequestError", ask: Ask) -> "httpx.RequestError":
    """Let the error name what was asked, and not the address, header or query it became."""
    import httpx  # noqa: PLC0415 -- see `follow`

    error.request = httpx.Request(ask.method, ask.url)
    error.args = (f"`{ask.method} {ask.url}` failed: {str(error) or type(error).__name__}",)
    return error


def _content(body: Body) -> tuple[bytes, str]:
    match body:
        case None:
            return b"", ""
        case str():
            return body.encode(), "application/json" if _is_json(
                body
            ) else "text/plain; charset=utf-8"
        case _:
            return msgspec.json.encode(body), "application/json"


def _is_json(text: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), (dict, list))
    except (msgspec.DecodeError, RecursionError):
        return False


def _told(answer: Answer) -> dict[str, object]:
    body: object = answer.text
    if answer.media.endswith("json") and not answer.truncated:
        try:
            body = msgspec.json.decode(answer.text)
        except (msgspec.DecodeError, RecursionError):
            body = answer.text  # the judge of results says what is wrong with it
    told: dict[str, object] = {"status": answer.status, "content_type": answer.media, "body": body}
    if answer.truncated:
        told["truncated"] = f"this is the first {BODY_BYTES_MAX} bytes"
    return told

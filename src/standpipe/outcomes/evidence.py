"""Make evidence of what somebody only has on paper: a bare HTTP answer, a bare error.

It is judged as if a tool had met it, so that what is said about it is what would be done.
"""

from collections.abc import Mapping

import msgspec

from standpipe.actions import Fault, Raised, Result, Returned

_SUCCESSES, _REDIRECTS = 200, 300


def answer(
    status: int, headers: Mapping[str, str] | None = None, body: object = "", *, url: str = ""
) -> Result:
    """Return what a tool would have come back with: 2xx is a value, everything else is raised.

    body: a text, or the value of a JSON text.
    """
    if _SUCCESSES <= status < _REDIRECTS:
        return Returned({"status": status, "headers": dict(headers or {}), "body": body})
    text = body if isinstance(body, str) else msgspec.json.encode(body).decode()
    names = {name.lower(): value for name, value in (headers or {}).items()}
    fault = Fault(
        type="HttpFailure",
        module="standpipe.tools.http",
        message=f"HTTP {status}",
        attributes={"status_code": status},
        headers=names,
        body=text,
        url=url,
    )
    return Raised(fault)


def error(type_: str, message: str, module: str = "builtins") -> Raised:
    """Return an exception of which only the name and the message are known.

    What Python itself raises counts as raised in the tool's own lines: nothing says otherwise.
    """
    module = module or "builtins"
    return Raised(Fault(type_, message, module=module, own_code=module == "builtins"))

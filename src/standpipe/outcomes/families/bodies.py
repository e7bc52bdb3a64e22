"""Structured bodies: the code words in an answer, and refusals that came as data inside a 200.

Rule 1: the deepest code is the most specific; a code that says less than the status is dropped by `http`.
Rule 2: codes are compared without case and punctuation: `insufficient_quota` is `InsufficientQuota`.
Rule 3: a structured no with a class we know is an answer; with no class it proves nothing.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice

from standpipe.outcomes.finding import Finding, visible
from standpipe.outcomes.outcome import Kind, Phase
from standpipe.outcomes.reading import fields, items

# Codes of model providers, which are nothing but that.
MODEL_CODES = {
    "insufficientquota": Kind.QUOTA,
    "billinghardlimitreached": Kind.QUOTA,
    "billingnotactive": Kind.QUOTA,
    "billingerror": Kind.QUOTA,
    "creditbalancetoolow": Kind.QUOTA,
    "overloadederror": Kind.OVERLOADED,
    "engineoverloaded": Kind.OVERLOADED,
    "modeloverloaded": Kind.OVERLOADED,
    "contextlengthexceeded": Kind.CONTEXT_OVERFLOW,
    "contextwindowexceeded": Kind.CONTEXT_OVERFLOW,
    "contextwindowexceedederror": Kind.CONTEXT_OVERFLOW,
    "modelcontextwindowexceeded": Kind.CONTEXT_OVERFLOW,
    "stringabovemaxlength": Kind.CONTEXT_OVERFLOW,
    "requesttoolarge": Kind.CONTEXT_OVERFLOW,
    "refusal": Kind.REFUSAL,
    "contentfilter": Kind.REFUSAL,
    "contentfilterfinishreasonerror": Kind.REFUSAL,
    "contentpolicyviolation": Kind.REFUSAL,
    "contentpolicyviolationerror": Kind.REFUSAL,
    "responsibleaipolicyviolation": Kind.REFUSAL,
    "maxtokens": Kind.CUT,
    "maxoutputtokens": Kind.CUT,
    "lengthfinishreasonerror": Kind.CUT,
    "modelnotfound": Kind.NOT_FOUND,
    "invalidapikey": Kind.CREDENTIAL,
    "authenticationerror": Kind.CREDENTIAL,
    "permissionerror": Kind.FORBIDDEN,
    "apierror": Kind.SERVER_ERROR,
    "timeouterror": Kind.SERVER_ERROR,
}
# The first row of which one part is found in a code decides; `=` marks a code that is nothing but that.
CODES: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    (
        Kind.BAD_INPUT,
        (
            "carderror", "carddeclined", "insufficientfunds", "expiredcard", "incorrectcvc",
            "invalidlogstream", "malformedpolicy", "invalidpolicytoken", "nexttoken", "continuationtoken",
            "pagetoken", "invalidpaginationtoken", "csrftoken",
        ),
    ),
    (
        Kind.QUOTA,
        (
            "insufficientquota", "spendlimit", "dailylimitexceeded", "quotaexhausted", "billinghard", "billingnot",
            "billingerror", "billingdisabled",
            "creditbalance", "insufficientcredit", "paymentrequired", "quotaexceeded", "servicequota",
            "monthlylimit", "outofcredits", "accountoverdue", "usagelimitreached",
        ),
    ),
    (
        Kind.RATE_LIMITED,
        (
            "throttl", "ratelimit", "ratelimited", "toomanyrequests", "requestlimitexceeded",
            "prioritylimit", "requestratetoolarge", "provisionedthroughputexceeded", "bandwidthlimit",
            "floodwait", "=resourceexhausted", "toomanycalls", "requestthrottled",
        ),
    ),
    (
        Kind.OVERLOADED,
        (
            "slowdown", "serviceunavailable", "=unavailable", "overloaded", "serverbusy", "toobusy",
            "servicebusy", "unavailableexception", "=busy", "=clusterdown", "=tryagain", "=loading",
            "toomanyconnections", "notenoughreplicas", "notleader", "notprimary", "=maintenance",
        ),
    ),
    (Kind.CONFLICT, ("idempotency",)),
    (
        Kind.CREDENTIAL,
        (
            "tokenexpired", "expiredtoken", "tokenrevoked", "revokedtoken", "invalidtoken", "tokeninvalid",
            "accesstokenexpired", "expiredaccesstoken", "accountinactive", "invalidauth", "notauthed",
            "tokenhasexpired", "tokenisexpired", "expiredauthtoken", "expiredsignature", "expiredsession",
            "sessionexpired", "=unauthenticated", "=unauthorized", "invalidclienttokenid",
            "signaturedoesnotmatch", "invalidkey", "invalidapikey", "authenticationfailed", "invalidgrant",
            "invalidclient", "badcredentials", "invalidcredentials", "invalidcredential", "invalidaccesskeyid",
            "unrecognizedclient", "authfailure", "missingauthentication", "=noauth", "=wrongpass",
            "apikeyexpired", "keyexpired", "keyrevoked", "expiredapikey", "unauthorizedexception",
            "loginrequired", "missingtoken", "tokennotfound", "authenticationrequired", "=autherror",
            "nocredentials", "credentialsexpired", "authorizationheadermalformed", "requestexpired",
            "authorizationexpired", "invalidsession", "=notloggedin", "mfarequired", "invalidsignature",
            "authenticationerror", "unauthenticatedexception",
        ),
    ),
    (
        Kind.FORBIDDEN,
        (
            "accessdenied", "permissiondenied", "=forbidden", "insufficientscope", "missingscope",
            "notauthorized", "unauthorizedoperation", "insufficientpermission", "insufficientprivilege",
            "noperm", "=notallowed", "restrictedaction", "permissionerror", "forbiddenexception",
            "notinchannel", "allaccessdisabled", "accountproblem", "unauthorizedaccess", "accessforbidden",
            "insufficientaccess", "authorizationfailed", "authorizationpermission",
        ),
    ),
    (
        Kind.UNKNOWN_TOOL,
        ("unknowntool", "toolnotfound", "unknownmethod", "methodnotfound", "nosuchtool"),
    ),
    (
        Kind.NOT_FOUND,
        (
            "nosuch", "resourcenotfound", "notfound", "resourcemissing", "doesnotexist", "notexist",
            "unknowncommit", "usersnotfound", "objectnotfound", "=gone", "nonexistent", "indexnotfound",
        ),
    ),
    (
        Kind.CONFLICT,
        (
            "conflict", "staleversion", "staleobject", "alreadyexists", "preconditionfailed",
            "conditionalcheckfailed", "etagmismatch", "duplicatekey", "duplicateentry", "alreadyowned",
            "resourceinuse", "=aborted", "duplicatevalue", "concurrentmodification", "writeconflict",
            "versionmismatch", "lockederror", "locktimeout", "alreadyreacted", "alreadyin", "uniqueviolation",
        ),
    ),
    (
        Kind.BAD_INPUT,
        (
            "invalidargument", "validation", "badrequest", "baduserinput", "invalidparam", "invalidrequest",
            "graphqlparse", "invalidarguments", "missingparameter", "missingrequired", "parametermissing",
            "parameterinvalid", "parametervalue", "invalidinput", "malformed", "outofrange", "unprocessable",
            "unsupportedmedia", "methodnotallowed", "payloadtoolarge", "entitytoolarge", "invalidvalue",
            "parseerror", "parsingexception", "syntaxerror", "invalidblocks", "notext", "invalidformat",
            "=unimplemented", "failedprecondition", "querysyntax", "illegalargument", "mapperparsing",
            "msgtoolong", "=wrongtype", "invalidarg",
        ),
    ),
    (
        Kind.TIMED_OUT,
        ("=timeout", "requesttimeout", "requesttimedout", "deadlineexceeded", "timedout", "timeoutexpired"),
    ),
    (
        Kind.SERVER_ERROR,
        (
            "=internalerror", "internalserver", "=internal", "internalfailure", "internalservice",
            "=dataloss", "=serverfault", "=fatalerror", "servererror", "badgateway", "gatewaytimeout",
            "internalexception", "=unknownerror", "servicefailure",
        ),
    ),
)  # fmt: skip
CODE_KEYS = (
    "code", "type", "error", "error_code", "errorCode", "__type", "Code", "reason", "status", "errcode",
)  # fmt: skip
REASON_KEYS = (
    "message", "error_description", "detail", "title", "error", "errorMessage", "Message", "msg",
    "description", "errmsg", "reason", "error_message", "error_msg",
)  # fmt: skip
_SCOPE_KEYS = ("needed", "required_scope", "required_scopes", "scope")
_CODE_WORD = re.compile(r"[\w.:#/-]{2,80}")
_SAYS_NOTHING = ("error", "about:blank", "fail", "failed", "failure", "false", "err", "exception")
_XML_CODE = re.compile(r"<Code>\s{0,20}([\w.]{1,80})\s{0,20}</Code>")
XML_REASON = re.compile(r"<Message>([^<]{1,500})")
# The same keys in the text of an exception, which holds the body as JSON or as Python shows it.
_SHOWN = re.compile(
    r"['\"](?:code|type|error|error_code|errorCode|__type|Code|status|errcode)['\"]\s{0,3}:\s{0,3}['\"]([\w.:#/-]{2,80})['\"]"
)
_UNSURE = (Kind.SERVER_ERROR, Kind.OVERLOADED, Kind.TIMED_OUT, Kind.ERROR_TEXT, Kind.OTHER)
_ERROR_COMPANIONS = {
    "error", "ok", "success", "status", "message", "code", "errors", "request_id", "type", "warning",
    "detail", "details", "error_description", "error_code", "needed", "provided", "path", "timestamp",
    "requestId", "error_uri", "documentation_url", "retry_after",
}  # fmt: skip
_CLIENT_ERRORS, _STATUS_LAST = 400, 599
_CODES_MAX = 20
_CODE_CHARACTERS_MAX = 200
_NOT_ALNUM = re.compile(r"[^a-z0-9]")


def by_code(code: str) -> Kind | None:
    """Return what a code word of an API means.

    Example:
        >>> by_code("com.example#ThrottlingException")
        <Kind.RATE_LIMITED: 'rate_limited'>
    """
    return _meaning(code[:_CODE_CHARACTERS_MAX])


def is_code(text: str) -> bool:
    """Whether a text is a code word: not a sentence, not a bare number, not `error`."""
    return (
        _CODE_WORD.fullmatch(text) is not None
        and text.lower() not in _SAYS_NOTHING
        and not text.isdigit()
    )


def codes_in(value: object, text: str = "", *, depth: int = 5) -> Iterator[str]:
    """Yield the code words of a decoded body, the most specific level first."""
    if "<Code>" in text and (match := _XML_CODE.search(text)):
        yield match[1]
    if depth == 0 or value is None:
        return
    if rows := items(value):
        yield from codes_in(rows[0], depth=depth - 1)
    told = fields(value)
    for key in ("error", "errors", "extensions", "details", "Error"):
        if key in told:
            yield from codes_in(told[key], depth=depth - 1)
    for key in CODE_KEYS:
        word = told.get(key)
        if isinstance(word, str) and is_code(word):
            yield word.rpartition("#")[2].rpartition("/")[2]


def codes_shown(text: str) -> tuple[str, ...]:
    """Return the code words of a body that stands inside a sentence."""
    if "{" not in text:
        return ()
    found = islice(_SHOWN.finditer(text), _CODES_MAX)
    words = [match[1] for match in found if match[1].lower() not in _SAYS_NOTHING]
    return tuple(word.rpartition("#")[2].rpartition("/")[2] for word in words)


def reason_in(value: object, *, depth: int = 4) -> str:
    """Return the sentence of a decoded body that says why."""
    if isinstance(value, str):
        return value
    if depth == 0:
        return ""
    if rows := items(value):
        return reason_in(rows[0], depth=depth - 1)
    told = fields(value)
    inner = told.get("error", told.get("Error"))
    nested = reason_in(inner, depth=depth - 1)
    if nested and isinstance(inner, Mapping):
        return nested
    found = (told.get(key) for key in REASON_KEYS)
    said = next((text for text in found if isinstance(text, str) and text), nested)
    return said or reason_in(told.get("errors") or told.get("detail"), depth=depth - 1)


def scope_in(value: object) -> str:
    """Return the scope that a refusal names as missing."""
    told = fields(value)
    found = (told.get(key) for key in _SCOPE_KEYS)
    return next((text for text in found if isinstance(text, str) and text), "")


def embedded_status(value: Mapping[str, object]) -> int:
    """Return the status of an answer that carries its failure as data (RFC 9457 and gateways), else 0."""
    problem = "title" in value or "detail" in value or "type" in value or "error" in value
    for status in (value.get("statusCode"), value.get("status") if problem else None):
        if isinstance(status, int) and _CLIENT_ERRORS <= status <= _STATUS_LAST:
            return int(status)
    return 0


def refusal(value: Mapping[str, object]) -> tuple[list[str], str] | None:
    """Return the codes and the reason of a refusal that came as data."""
    if not _says_no(value):
        return None
    codes = list(islice(codes_in(value), _CODES_MAX))
    return codes, reason_in(value) or "no reason given"


def refused(value: Mapping[str, object], *, kind: Kind, code: str, reason: str) -> Finding:
    """Say that an answer is a refusal of a kind."""
    head = f"the answer is a refusal {code}".rstrip()
    scope = scope_in(value) if kind in (Kind.CREDENTIAL, Kind.FORBIDDEN) else ""
    needs = f" (needs `{visible(scope, limit=100)}`)" if scope else ""
    told = f"{head}: {visible(reason, limit=500)}" if reason != code else head
    return Finding(
        kind=kind,
        message=told + needs,
        code=code,
        phase=Phase.RECEIVED,
        # GraphQL: where some of the data came back, some of the mutation may have happened.
        answered=kind not in _UNSURE and not fields(value.get("data")),
    )


def _says_no(value: Mapping[str, object]) -> bool:
    if value.get("ok") is False or value.get("success") is False:
        return True
    if items(value.get("errors")):
        return "data" in value or set(value) <= {"errors", "extensions"}
    error = value.get("error")
    if fields(error):
        return value.get("result") is None and value.get("data") is None
    return isinstance(error, str) and bool(error.strip()) and set(value) <= _ERROR_COMPANIONS


@lru_cache(maxsize=512)
def _meaning(code: str) -> Kind | None:
    bare = _NOT_ALNUM.sub("", code.lower())
    if found := MODEL_CODES.get(bare) or _WHOLE.get(bare):
        return found
    return next((kind for kind, part in _PARTS if part in bare), None)


_WHOLE = {
    part[1:]: kind for kind, parts in reversed(CODES) for part in parts if part.startswith("=")
}
_PARTS = tuple((kind, part) for kind, parts in CODES for part in parts if not part.startswith("="))

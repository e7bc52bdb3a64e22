"""Names of exceptions: of the clients we know, then what the name of any other exception says.

Rule 1: a name counts with its package; `RedisError` of somebody else is read as the words it is made of.
Rule 2: a name of the standard library says nothing here: other families read those by their numbers.
Rule 3: only a client that we know proves by a name that nothing was sent.
"""

import re
from functools import lru_cache

from standpipe.outcomes.families import bodies
from standpipe.outcomes.finding import Finding
from standpipe.outcomes.outcome import Kind, Phase
from standpipe.outcomes.reading import Link

_BEFORE = (Kind.CREDENTIAL, Phase.NOT_SENT)  # nothing is asked without a credential
_UNSENT = (Kind.NOT_SENT, Phase.NOT_SENT)
_MALFORMED = (Kind.BAD_INPUT, Phase.NOT_SENT)
TYPES = {
    "jwt.PyJWTError": (Kind.CREDENTIAL, Phase.UNKNOWN),
    "jose.JWTError": (Kind.CREDENTIAL, Phase.UNKNOWN),
    "authlib.JoseError": (Kind.CREDENTIAL, Phase.UNKNOWN),
    "botocore.NoCredentialsError": _BEFORE,
    "botocore.PartialCredentialsError": _BEFORE,
    "botocore.CredentialRetrievalError": _BEFORE,
    "botocore.TokenRetrievalError": _BEFORE,
    "botocore.SSOTokenLoadError": _BEFORE,
    "botocore.UnauthorizedSSOTokenError": _BEFORE,
    "botocore.ProfileNotFound": (Kind.ENVIRONMENT, Phase.NOT_SENT),
    "botocore.NoRegionError": (Kind.ENVIRONMENT, Phase.NOT_SENT),
    "botocore.EndpointConnectionError": _UNSENT,
    "botocore.ConnectTimeoutError": _UNSENT,
    "botocore.ProxyConnectionError": _UNSENT,
    "botocore.ReadTimeoutError": (Kind.TIMED_OUT, Phase.SENT),
    "botocore.ConnectionClosedError": (Kind.SERVER_ERROR, Phase.SENT),
    "botocore.ResponseStreamingError": (Kind.TRUNCATED, Phase.RECEIVED),
    "botocore.IncompleteReadError": (Kind.TRUNCATED, Phase.RECEIVED),
    "botocore.ParamValidationError": _MALFORMED,
    "botocore.EndpointResolutionError": _MALFORMED,
    "botocore.MissingParametersError": _MALFORMED,
    "botocore.UnknownServiceError": _MALFORMED,
    "google.DefaultCredentialsError": _BEFORE,
    "google.RefreshError": (Kind.CREDENTIAL, Phase.UNKNOWN),
    "google.RetryError": (Kind.TIMED_OUT, Phase.UNKNOWN),
    "redis.AuthenticationError": (Kind.CREDENTIAL, Phase.RECEIVED),
    "redis.AuthorizationError": (Kind.FORBIDDEN, Phase.RECEIVED),
    "redis.NoPermissionError": (Kind.FORBIDDEN, Phase.RECEIVED),
    "redis.BusyLoadingError": (Kind.OVERLOADED, Phase.RECEIVED),
    "redis.MaxConnectionsError": (Kind.OVERLOADED, Phase.NOT_SENT),
    "redis.OutOfMemoryError": (Kind.OVERLOADED, Phase.RECEIVED),
    "redis.ClusterDownError": (Kind.OVERLOADED, Phase.RECEIVED),
    "redis.ReadOnlyError": (Kind.CONFLICT, Phase.RECEIVED),
    "redis.WatchError": (Kind.CONFLICT, Phase.UNKNOWN),
    "redis.LockError": (Kind.CONFLICT, Phase.UNKNOWN),
    "redis.NoScriptError": (Kind.NOT_FOUND, Phase.RECEIVED),
    "redis.DataError": _MALFORMED,
    "redis.TimeoutError": (Kind.TIMED_OUT, Phase.UNKNOWN),
    "paramiko.AuthenticationException": (Kind.CREDENTIAL, Phase.NOT_SENT),
    "paramiko.NoValidConnectionsError": _UNSENT,
    "paramiko.BadHostKeyException": (Kind.NOT_SENT, Phase.NOT_SENT),
    "pymongo.ServerSelectionTimeoutError": _UNSENT,
    "pymongo.DuplicateKeyError": (Kind.CONFLICT, Phase.RECEIVED),
    "pymongo.NetworkTimeout": (Kind.TIMED_OUT, Phase.UNKNOWN),
    "pymongo.AutoReconnect": (Kind.SERVER_ERROR, Phase.UNKNOWN),
    "stripe.CardError": (Kind.BAD_INPUT, Phase.RECEIVED),
    "elasticsearch.ConnectionTimeout": (Kind.TIMED_OUT, Phase.UNKNOWN),
    "elastic_transport.ConnectionTimeout": (Kind.TIMED_OUT, Phase.UNKNOWN),
    "jsonschema.ValidationError": (Kind.SCHEMA, Phase.UNKNOWN),
    "marshmallow.ValidationError": (Kind.SCHEMA, Phase.UNKNOWN),
    "websockets.ConnectionClosed": (Kind.SERVER_ERROR, Phase.UNKNOWN),
    "websockets.InvalidURI": _MALFORMED,
}
# Read before a name is taken for a code word, and after it.
FIRST: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    (Kind.SCHEMA, ("responsevalidation", "jsondecode")),
    (Kind.ENVIRONMENT, ("memoryerror", "outofmemory", "improperlyconfigured", "nosuchmodule", "modulenotfound", "featurenotfound", "missingdependency", "notinstalled")),
    (Kind.NOT_SENT, ("connecttimeout", "connectionrefused", "nameresolution", "connecterror", "pooltimeout", "cannotconnect", "serverselectiontimeout", "unreachable", "certificateverif", "noservers", "nobrokers", "couldnotconnect", "socketopen", "serverdown", "nohostavailable")),
    (Kind.TIMED_OUT, ("timeout", "timedout", "deadline", "timelimit")),
)  # fmt: skip
LAST: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    (Kind.CREDENTIAL, ("authentication", "credential", "expiredsignature", "tokenexpir", "loginfail", "autherror", "unauthor", "badauth", "signatureerror", "apikey", "accesstoken", "invalidgrant", "notdecrypted", "wrongpassword", "badpassword")),
    (Kind.FORBIDDEN, ("permission", "authorization", "accesserror", "noaccess")),
    (Kind.CONFLICT, ("duplicate", "stale", "integrity", "unique", "alreadyexist", "optimisticlock", "deadlock", "concurren", "lockerror")),
    (Kind.NOT_FOUND, ("doesnotexist", "missingresource", "unknownobject", "noresultfound", "noresult", "unknowntopic", "objectdeleted", "nosection", "nooption", "unknownlocale", "unknowntimezone", "unknowndatabase")),
    (Kind.TRUNCATED, ("incompleteread", "incomplete", "truncated", "chunkedencoding", "unexpectedeof")),
    (Kind.SERVER_ERROR, ("disconnected", "connectionreset", "connectionclosed", "connectionlost", "remoteprotocol", "autoreconnect", "brokenpipe", "connectionabort", "connectionerror", "networkerror", "protocolerror", "serverexception")),
    (Kind.SCHEMA, ("jsondecode", "decodeerror", "deserializ", "unexpectedresponse", "responsevalidation", "invalidresponse", "dataconversion", "contenttype", "responseparsing")),
    (Kind.BAD_INPUT, ("invalid", "usageerror", "badparameter", "missingparam", "parsererror", "parseerror", "syntax", "programmingerror", "dataerror", "valueerror", "badinput", "missingargument", "unsupported", "badvalue", "missingschema", "argumenterror", "extrakeys", "badzip", "badgzip", "unidentified", "toolarge", "overflow", "typecheck", "typeexception", "violation", "wrongtype", "wrongvalue", "missingvalue", "schemaerror", "unpickling", "extradata", "scannererror", "unexpectedchar", "unexpectedtoken", "mismatch", "fielderror", "mergeerror", "emptydata", "sectionheader", "schemaparse", "queryerror", "expaterror", "badrequest", "illegal", "malformed", "unknownformat", "formaterror", "outofbounds", "encodeerror", "parsefail", "notsupported", "conversion", "undefined", "parseexc", "doesnotsupport")),
)  # fmt: skip
_VAGUE = (Kind.SERVER_ERROR, Kind.BAD_INPUT, Kind.SCHEMA)
_SAYS_NOTHING = frozenset(
    {"apierror", "error", "exception", "httperror", "toolerror", "clienterror"}
)
_NOT_ALNUM = re.compile(r"[^a-z0-9]")
# All they raise is about a token.
_TOKENS = frozenset({"jwt", "jose", "joserfc", "oauthlib", "itsdangerous"})
_OF_ANYBODY = ("ValueError", "SyntaxError")  # in a text they may be anybody's
# A constraint may be of any sort; which one, the sentence says.
_OF_ANY_SORT = ("integrity", "constraint")


def known(link: Link) -> Finding | None:
    """Read an exception of a client of services that we know by name."""
    verdict = next((TYPES[name] for name in link.names if name in TYPES), None)
    if verdict is None and not _TOKENS.isdisjoint(link.packages):
        verdict = (Kind.CREDENTIAL, Phase.UNKNOWN)
    if verdict is None:
        return None
    kind, phase = verdict
    # What the other side itself said is an answer; half an answer is none.
    answered = phase is Phase.RECEIVED and kind is not Kind.TRUNCATED
    return _finding(link, kind, phase=phase, answered=answered)


def strong(link: Link) -> Finding | None:
    """Read a name that says as much as a code does."""
    kind = _kind(link.names)
    if kind is None or kind in _VAGUE or _is_of_any_sort(link.names[0]):
        return None
    return _finding(link, kind)


def weak(link: Link) -> Finding | None:
    """Read a name that says only roughly what it is."""
    kind = _kind(link.names)
    return None if kind is None else _finding(link, kind)


def by_name(name: str) -> Kind | None:
    """Return what the bare name of an exception says that stands in a text."""
    return None if name in _OF_ANYBODY else _kind((f".{name}",))


def _is_of_any_sort(name: str) -> bool:
    return any(part in name.lower() for part in _OF_ANY_SORT)


@lru_cache(maxsize=256)
def _kind(names: tuple[str, ...]) -> Kind | None:
    for name in names:
        package, _, kind = name.partition(".")
        if package == "builtins":
            return None
        bare = _NOT_ALNUM.sub("", kind.lower())
        if bare in _SAYS_NOTHING:
            continue
        if found := _parts(bare, FIRST) or bodies.by_code(kind) or _parts(bare, LAST):
            return found
    return None


def _parts(bare: str, rows: tuple[tuple[Kind, tuple[str, ...]], ...]) -> Kind | None:
    return next((kind for kind, parts in rows for part in parts if part in bare), None)


def _finding(
    link: Link, kind: Kind, *, phase: Phase = Phase.UNKNOWN, answered: bool = False
) -> Finding:
    said = f"{link.fault.type}: {link.message}" if link.message else link.fault.type
    return Finding(kind=kind, message=said, code=link.fault.type, phase=phase, answered=answered)

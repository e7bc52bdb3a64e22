"""Take secrets out of what is kept, shown or sent.

Rule 1: a secret of the home is found in every spelling it is likely to leave in, and named: `[secret NAME]`.
Rule 2: a token nobody told us of is found by the form its vendor gave it: `[secret github 1a2b3c]`. The digits
    are the same for the same token and say nothing about it without the key.
Rule 3: what holds no secret comes back as the same object, so that the common case costs no copy.

Not found: a secret in pieces, encrypted, or counted out.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import cast
from urllib.parse import quote, quote_plus

from msgspec import Struct

from standpipe.errors import UsageError

LENGTH_MIN = 8  # a shorter one stands in ordinary text


class Family(Struct, frozen=True):
    """Tokens of one vendor; `keywords` are in each of them, so a text without any is not searched."""

    name: str
    keywords: tuple[str, ...]
    pattern: str
    start: str = r"(?<![A-Za-z0-9_])"  # a token starts a word


# Written from the vendors' own descriptions of their tokens.
FAMILIES = (
    # docs.aws.amazon.com: IAM identifiers; AKIA long-term, ASIA temporary. ...EXAMPLE is theirs, for docs.
    Family(
        "aws", ("AKIA", "ASIA"), r"(?:AKIA|ASIA)(?![A-Z0-9]{9}EXAMPLE)[A-Z2-7]{16}(?![A-Za-z0-9])"
    ),
    # docs.github.com: token formats
    Family(
        "github",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        r"gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}",
    ),
    # api.slack.com: token types
    Family(
        "slack", ("xox", "xapp-"), r"(?:xox[abeoprs]|xapp)-(?=[A-Za-z0-9-]*[0-9])[A-Za-z0-9-]{20,}"
    ),
    # docs.anthropic.com, platform.openai.com: API keys
    Family("anthropic", ("sk-ant-",), r"sk-ant-[a-z0-9]+-[A-Za-z0-9_-]{32,}"),
    Family(
        "openai",
        ("sk-",),
        r"sk-(?:proj|svcacct|admin)-(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{32,}|sk-[A-Za-z0-9]{48}(?![A-Za-z0-9])",
    ),
    # docs.stripe.com/keys: secret and restricted keys
    Family("stripe", ("k_live_", "k_test_"), r"[sr]k_(?:live|test)_[A-Za-z0-9]{16,}"),
    # cloud.google.com: API keys
    Family("google", ("AIza",), r"AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    # docs.gitlab.com: token prefixes
    Family("gitlab", ("glpat-",), r"glpat-[A-Za-z0-9_-]{20,}"),
    # docs.npmjs.com: access tokens
    Family("npm", ("npm_",), r"npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])"),
    # pypi.org/help: API tokens are macaroons for pypi.org or test.pypi.org
    Family("pypi", ("pypi-AgE",), r"pypi-AgE[A-Za-z0-9_-]{50,}"),
    # docs.sendgrid.com: API keys
    Family("sendgrid", ("SG.",), r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    # twilio.com/docs: API key SIDs
    Family("twilio", ("SK",), r"SK[0-9a-f]{32}(?![0-9A-Za-z])"),
    # huggingface.co/docs, docs.digitalocean.com, shopify.dev: access tokens
    Family("huggingface", ("hf_",), r"hf_[A-Za-z0-9]{34,}"),
    Family("digitalocean", ("_v1_",), r"do[opr]_v1_[0-9a-f]{64}"),
    Family("shopify", ("shp",), r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    # RFC 7519: header and claims are JSON objects, so both start with eyJ
    Family("jwt", ("eyJ",), r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
    # RFC 7468; a block that was cut off is one, too
    Family(
        "private-key",
        ("PRIVATE KEY",),
        r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:[\s\S]{0,20000}?-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----|[A-Za-z0-9+/=\s\\]*)",
    ),
    # RFC 3986: user and password before the host; not a template, not masked already
    Family(
        "url-password",
        ("://",),
        r"[^\s/:@\"'<>]*:(?![$%{<\[*]|x{3})[^\s/@\"'<>]{3,}(?=@[A-Za-z0-9\[])",
        start=r"(?<=://)",
    ),
)
_MARKER = re.compile(r"\[secret ([^\[\]\s]+|[a-z-]+ [0-9a-f]{6})\]")
_OURS = re.compile(r"[A-Z_][A-Z0-9_]*|[a-z-]+ [0-9a-f]{6}")  # and not "[secret sauce]"


class Masker:
    """Masks the secrets it was told of, and those whose form gives them away.

    Raises:
        UsageError: a secret is too short to be told from ordinary text.

    Example:
        >>> Masker({"SHOP": "correct-horse"}, key=b"k").mask({"header": "Bearer correct-horse"})
        {'header': 'Bearer [secret SHOP]'}
    """

    def __init__(self, secrets: Mapping[str, str] | None = None, *, key: bytes) -> None:
        self._key = key
        self._needles: dict[str, str] = {}
        self._known = re.compile("")
        for name, value in (secrets or {}).items():
            self.add(name, value)

    def add(self, name: str, value: str) -> None:
        """Learn a secret, or another value of it; the old one stays one."""
        if len(value) < LENGTH_MIN:
            raise UsageError(
                f"secret `{name}` has fewer than {LENGTH_MIN} characters, too few to find it again in a text",
                hint="use a longer one, or do not call it a secret",
            )
        for spelling in spellings(value):
            self._needles.setdefault(spelling, name)
        # Longest first: where one secret starts another, the whole one goes.
        longest_first = sorted(self._needles, key=len, reverse=True)
        self._known = re.compile("|".join(re.escape(needle) for needle in longest_first))

    def mask_text(self, text: str) -> str:
        """Return `text` with every secret replaced by its marker."""
        if any(needle in text for needle in self._needles):
            text = self._known.sub(lambda match: f"[secret {self._needles[match[0]]}]", text)
        present = tuple(one for one in FAMILIES if any(keyword in text for keyword in one.keywords))
        return _any_of(present).sub(self._marked, text) if present else text

    def mask(self, value: object) -> object:
        """Mask every text in a JSON value, keys too; what holds none is the same object."""
        match value:
            case str():
                return self.mask_text(value)
            case Mapping():
                return self._mask_mapping(cast("Mapping[object, object]", value))
            case list() | tuple():
                return self._mask_sequence(cast("list[object] | tuple[object, ...]", value))
            case _:
                return value

    def found(self, value: object) -> tuple[str, ...]:
        """Name the secrets in a value: those that are there, and the markers of those that were."""
        names: dict[str, None] = {}
        for text in _texts(value):
            names.update(dict.fromkeys(_MARKER.findall(self.mask_text(text))))
        known = set(self._needles.values())
        return tuple(name for name in names if name in known or _OURS.fullmatch(name))

    def _mask_mapping(self, value: Mapping[object, object]) -> Mapping[object, object]:
        masked = {self.mask(key): self.mask(one) for key, one in value.items()}
        return (
            masked if _differ(masked, value) or _differ(masked.values(), value.values()) else value
        )

    def _mask_sequence(self, value: list[object] | tuple[object, ...]) -> object:
        masked = [self.mask(one) for one in value]
        return type(value)(masked) if _differ(masked, value) else value

    def _marked(self, match: re.Match[str]) -> str:
        family = (match.lastgroup or "").replace("_", "-")
        token = match[0].encode(errors="surrogatepass")
        digest = hashlib.blake2b(token, key=self._key, digest_size=3).hexdigest()
        return f"[secret {family} {digest}]"


def spellings(value: str) -> Iterator[str]:
    """Yield the forms in which a secret is likely to leave."""
    yield value
    yield quote(value, safe="")
    yield quote(value)
    yield quote_plus(value)
    yield re.sub(r"%[0-9A-F]{2}", lambda code: code[0].lower(), quote(value, safe=""))
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    raw = value.encode(errors="surrogatepass")
    yield raw.hex()
    yield raw.hex().upper()
    for offset in range(3):
        yield from _base64(raw, offset)


def _base64(raw: bytes, offset: int) -> Iterator[str]:
    """Yield the characters that only the secret decides, when `offset` bytes stand before it in its group."""
    spare = (offset + len(raw)) % 3
    encoded = base64.b64encode(bytes(offset) + raw)
    first = (0, 2, 3)[offset]
    last = len(encoded) - (0, 3, 2)[spare]
    needle = encoded[first:last].decode()
    yield needle
    yield needle.replace("+", "-").replace("/", "_")


@lru_cache(maxsize=64)
def _any_of(families: tuple[Family, ...]) -> re.Pattern[str]:
    """Compile the families a text has keywords of; a text that has many is rare, and so are the compilations."""
    return re.compile(
        "|".join(rf"(?P<{one.name.replace('-', '_')}>{one.start}{one.pattern})" for one in families)
    )


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for pair in cast("Mapping[object, object]", value).items():
                yield from _texts(pair)
        case list() | tuple():
            for one in cast("list[object] | tuple[object, ...]", value):
                yield from _texts(one)
        case _:
            return


def _differ(ours: Iterable[object], theirs: Iterable[object]) -> bool:
    return any(one is not other for one, other in zip(ours, theirs, strict=False))

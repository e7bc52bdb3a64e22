import base64
import json
import random
import re
import string
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, strategies as st

from standpipe.errors import UsageError
from standpipe.security.secrets import FAMILIES, Masker

VALUE = 'corr"ect/horse+batt=ery ä\n&7'
ALPHABET = string.ascii_letters + string.digits
HEX = "0123456789abcdef"


def masker(**secrets: str) -> Masker:
    return Masker(secrets, key=b"key of this home")


def some(alphabet: str, length: int) -> str:
    """Make a token when the test runs: one in the source would alarm every scanner."""
    return "".join(random.Random(length).choices(alphabet, k=length))  # noqa: S311 -- no secret is made


TOKENS = {
    "aws": "AK" + "IA" + some(string.ascii_uppercase + "234567", 16),
    "github": "gh" + "p_" + some(ALPHABET, 36),
    "slack": "xo" + "xb-5348255-" + some(ALPHABET, 24),
    "anthropic": "sk-" + "ant-api03-" + some(ALPHABET, 95),
    "openai": "sk-" + "proj-" + some(ALPHABET, 48),
    "stripe": "sk_" + "live_" + some(ALPHABET, 24),
    "google": "AI" + "za" + some(ALPHABET, 35),
    "gitlab": "gl" + "pat-" + some(ALPHABET, 20),
    "npm": "np" + "m_" + some(ALPHABET, 36),
    "pypi": "py" + "pi-AgEI" + some(ALPHABET, 80),
    "sendgrid": "S" + "G." + some(ALPHABET, 22) + "." + some(ALPHABET, 43),
    "twilio": "S" + "K" + some(HEX, 32),
    "huggingface": "h" + "f_" + some(ALPHABET, 34),
    "digitalocean": "do" + "p_v1_" + some(HEX, 64),
    "shopify": "sh" + "pat_" + some(HEX, 32),
    "jwt": f"ey{'J'}{some(ALPHABET, 20)}.ey{'J'}{some(ALPHABET, 30)}.{some(ALPHABET, 43)}",
    "private-key": f"-----BEGIN RSA PRIVATE {'KEY'}-----\n{some(ALPHABET, 64)}\n-----END RSA PRIVATE {'KEY'}-----",
    "url-password": f"shop:{some(ALPHABET, 12)}",
}


def around(family: str, token: str) -> str:
    return (
        f"postgres://{token}@db.internal/x"
        if family == "url-password"
        else f'key = "{token}", and so on'
    )


@pytest.mark.parametrize(
    "spelling",
    [
        VALUE,
        quote(VALUE, safe=""),
        re.sub("%..", lambda code: code[0].lower(), quote(VALUE, safe="")),
        quote_plus(VALUE),
        json.dumps(VALUE)[1:-1],
        json.dumps(VALUE, ensure_ascii=False)[1:-1],
        VALUE.encode().hex(),
        VALUE.encode().hex().upper(),
    ],
    ids=range(8),
)
def test_a_known_secret_is_named_in_every_spelling(spelling: str) -> None:
    assert masker(SHOP=VALUE).mask_text(f"before {spelling} after") == "before [secret SHOP] after"


@given(st.binary(max_size=4), st.binary(max_size=4), st.text(ALPHABET, min_size=8, max_size=20))
def test_a_known_secret_is_found_in_base64_wherever_it_stands(
    before: bytes, after: bytes, value: str
) -> None:
    whole = before + value.encode() + after
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert masker(SHOP=value).found(encode(whole).decode()) == ("SHOP",)


def test_a_secret_that_starts_another_does_not_leave_its_rest() -> None:
    both = masker(SHORT="correct-horse", LONG="correct-horse-battery")
    assert both.mask_text("correct-horse-battery correct-horse") == "[secret LONG] [secret SHORT]"


def test_a_short_secret_is_refused_without_being_shown() -> None:
    with pytest.raises(UsageError, match="`PIN` has fewer than 8") as refused:
        masker(PIN="hunter2")
    assert "hunter2" not in str(refused.value)
    with pytest.raises(UsageError):
        masker().add("EMPTY", "")


def test_a_renewed_secret_is_masked_and_so_is_the_old_one() -> None:
    renewed = masker(SHOP="old-value-1")
    renewed.add("SHOP", "new-value-2")
    assert renewed.mask_text("old-value-1 new-value-2") == "[secret SHOP] [secret SHOP]"


@pytest.mark.parametrize("family", [family.name for family in FAMILIES])
def test_a_token_of_a_vendor_is_found_by_its_form(family: str) -> None:
    token = TOKENS[family]
    text = masker().mask_text(around(family, token))
    assert token not in text
    assert f"[secret {family} " in text
    (name,) = masker().found(around(family, token))
    assert name.startswith(f"{family} ")
    assert text == around(family, f"[secret {name}]")


@pytest.mark.parametrize("family", [family.name for family in FAMILIES])
def test_a_masked_text_is_left_as_it_is(family: str) -> None:
    masked = masker(SHOP=VALUE).mask_text(f"{around(family, TOKENS[family])} {VALUE}")
    assert masker(SHOP=VALUE).mask_text(masked) == masked
    assert len(masker(SHOP=VALUE).found(masked)) == 2


def test_the_digits_are_the_same_for_the_same_token_and_key_only() -> None:
    token = TOKENS["github"]
    assert masker().found(token) == masker().found([token])
    assert masker().found(token) != Masker({}, key=b"another home").found(token)


def test_a_key_that_was_cut_off_is_still_one() -> None:
    cut = TOKENS["private-key"][:70]
    assert some(ALPHABET, 64)[:20] not in masker().mask_text(f"{cut}\n\nRegards")


def test_a_value_is_masked_through_and_through() -> None:
    value = {"a": [1, None, ("correct-horse",)], "correct-horse": {"b": 2.5}}
    assert masker(SHOP="correct-horse").mask(value) == {
        "a": [1, None, ("[secret SHOP]",)],
        "[secret SHOP]": {"b": 2.5},
    }
    assert masker(SHOP="correct-horse").found(value) == ("SHOP",)


def test_a_value_without_secrets_is_the_same_object() -> None:
    inner: dict[str, object] = {"b": ["text", 1, None, True]}
    value = {"a": inner, "c": "https://example.com/sk-1/eyJ", "secret": ["correct-horse"]}
    told = masker(SHOP="other-value").mask(value)
    assert told is value
    changed = masker(SHOP="correct-horse").mask(value)
    assert isinstance(changed, dict)
    assert changed["a"] is inner


@pytest.mark.parametrize(
    "text",
    [
        "cb0e6e01-4c16-4c7a-8d45-219b2ac4eb8c",
        "fda170db06ab9984bf5f01fcf919a9b321d88ade",
        "sha256:fcbe7b0177d8c762c707ab3b6621f356d5e4871f4e63af5dde534c81f7aaf254",
        "sha512-NRxkwymPsYbjuD96f5dwDwNFRbYmnDKWACAAJ9fcx+x+mV2NE5vPnS4lcaNZPNXfOfujSI0TzLGiz5T5E==",
        "The npm_config and the sk-learn package; SG. of PyPI, pypi-simple, ghp_ and xoxb- are prefixes.",
        "task-management-for-the-whole-team-and-everybody-else",
        "class=sk-fading-circle-and-more-words-here-for-length",
        "AKIAIOSFODNN7EXAMPLE",
        "https://user@example.com/path:8080@2x.png",
        "http://localhost:8080/a@b",
        "postgres://user:${PASSWORD}@db postgres://user:<password>@db postgres://user:****@db",
        "postgres://user:%s@db https://x:xxxx@y",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ dev@host",
        "password = os.environ['DB_PASSWORD'] # the [secret sauce] of the shop",
        "eyJhbGciOiJIUzI1NiJ9 alone is no token",
        "12:30 see https://example.com: me@example.com",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert masker(SHOP="correct-horse").mask_text(text) is text
    assert masker(SHOP="correct-horse").found(text) == ()


def test_our_own_markers_are_recognised() -> None:
    assert masker().found({"body": "Bearer [secret SHOP_TOKEN], [secret github 1a2b3c]"}) == (
        "SHOP_TOKEN",
        "github 1a2b3c",
    )

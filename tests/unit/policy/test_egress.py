import json
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from standpipe.policy.egress import Place, host_allowed, read_url

PROBES = json.loads((Path(__file__).parents[2] / "golden/probes.json").read_text())
NEEDS_A_SERVER = ("redirect-to", "name that")
ALLOW = ["127.0.0.1:8080", "allowed.example", "api.example.com:8443"]


@pytest.mark.parametrize(
    "probe", [p for p in PROBES["http"] if not any(n in p for n in NEEDS_A_SERVER)]
)
def test_no_probe_url_is_reached(probe: str) -> None:
    assert host_allowed(probe.replace("{P}", "8080").replace("{I}", "9090"), ALLOW)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/x",
        "HTTP://127.0.0.1:8080",
        "https://allowed.example",
        "https://ALLOWED.example:443/a?b=c#d",
        "https://api.example.com:8443/",
    ],
)
def test_a_listed_host_is_reached(url: str) -> None:
    assert host_allowed(url, ALLOW) is None


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://api.example.com/", "not listed"),
        ("https://allowed.example:444/", "not listed"),
        ("https://sub.allowed.example/", "not listed"),
        ("http://allowed.example/", "plain http"),
        ("https://allowed.example./", "not a host name"),
        ("https://allowed..example/", "not a host name"),
        ("https://127.1/", "unusual way"),
        ("https://0x7f.0.0.1/", "unusual way"),
        ("https://127.0.0.01/", "unusual way"),
        ("https://[::ffff:127.0.0.1]/", "hides an IPv4"),
        ("https://[::1%25eth0]/", "not of the form"),
        ("https://allowed.example:99999/", "port 99999"),
        ("https://allowed.example:0/", "port 0"),
        ("https:///x", "not of the form"),
        ("//allowed.example/", "not of the form"),
        ("https://allowed.example/a b", "blank"),
        ("https://allowed.example/\u200b", "non-ASCII"),
        ("https://аllowed.example/", "non-ASCII"),  # noqa: RUF001 -- the Cyrillic letter is the point
        ("https://evil.example?@allowed.example/", "not listed"),
        ("https://evil.example#@allowed.example/", "not listed"),
        ("", "not of the form"),
    ],
)
def test_a_refusal_says_why(url: str, why: str) -> None:
    reason = host_allowed(url, ALLOW)
    assert reason is not None
    assert why in reason


def test_a_bare_loopback_entry_means_its_default_port() -> None:
    assert host_allowed("http://localhost/", ["localhost"]) is None
    assert host_allowed("http://[::1]/", ["[::1]"]) is None
    assert host_allowed("http://localhost:81/", ["localhost"])


def test_a_query_without_a_path_gets_one() -> None:
    assert read_url("https://a.example?x=1") == Place("https", "a.example", 443, "/?x=1")


@settings(max_examples=50)
@given(st.text("a0.:/@?#[]\\%\n\u200bé", max_size=60))
def test_nothing_gets_through_an_empty_list(text: str) -> None:
    assert host_allowed(text, [])
    assert host_allowed(f"https://{text}", [])

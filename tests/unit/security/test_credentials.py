from standpipe.security.credentials import Credentials
from standpipe.settings import SecretSettings

SETTINGS = {
    "SHOP_TOKEN": SecretSettings(hosts=("*.shop.example",), header="Authorization: Bearer {}"),
    "BANK_TOKEN": SecretSettings(tools=("pay",)),
}
VALUES = {"SHOP_TOKEN": "the shop's", "BANK_TOKEN": "the bank's", "OPENAI_API_KEY": "a key"}


def test_a_call_is_given_what_its_tool_and_its_host_are_given() -> None:
    given = Credentials(VALUES, SETTINGS, key=b"k").given
    assert set(given("fetch", ["api.shop.example:8443"])) == {"SHOP_TOKEN"}
    assert set(given("pay", ["api.shop.example"])) == {"SHOP_TOKEN", "BANK_TOKEN"}
    assert set(given("openai:gpt", [])) == {"OPENAI_API_KEY"}
    assert given("openai", []) == {}  # a tool of that name is no model


def test_a_renewed_credential_has_another_hash_and_no_hash_holds_the_value() -> None:
    credentials = Credentials(VALUES, SETTINGS, key=b"k")
    before = credentials.given("pay", [])["BANK_TOKEN"]
    credentials.renew("BANK_TOKEN", "another")
    assert credentials.given("pay", [])["BANK_TOKEN"] != before
    assert "bank" not in before
    assert Credentials(VALUES, SETTINGS, key=b"j").given("pay", [])["BANK_TOKEN"] != before

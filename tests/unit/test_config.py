from pathlib import Path

import pytest

from standpipe.config import Environment, find_home, load_settings
from standpipe.errors import ConfigError, NotFoundError
from standpipe.settings import Budgets, Settings


def load(home: Path, text: str) -> Settings:
    (home / "standpipe.toml").write_text(text)
    return load_settings(home)


def refusal(home: Path, text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(home, text)
    return caught.value


WHOLE = """
model = "script:story.yaml"
schedule = [{ cron = "0 7 * * 1-5", task = "morning-mail" }]
[budgets]
model_calls = 10
minutes = "none"
[failures]
same_way = 3
fallback_models = ["openai:x"]
[tools.send_email]
effect = "once"
control = ["to"]
policy = "ask"
known = { to = ["*@example.com"] }
returns = { id = "record" }
timeout = 5
[egress]
allow = ["api.example.com", "127.0.0.1:8080", "[::1]:80", "*.example.org"]
[mail]
smtp = "127.0.0.1:25"
from = "me@example.com"
password_secret = "MAIL_PASSWORD"
[secrets.SHOP_TOKEN]
hosts = ["api.example.com"]
header = "Authorization: Bearer {}"
[secrets.IN_PROCESS]
tools = ["pay"]
[sql.shop]
url = "sqlite:data/shop.db"
read = { orders = ["id", "total"] }
[sandbox]
write = ["workspace"]
[trust]
read = ["workspace/docs/**"]
outside_edits = "ask"
[journal]
store = "postgres"
url_secret = "JOURNAL_URL"
[engine]
kind = "dbos"
[notify]
urls = []
"""


def test_the_whole_contract_is_read(tmp_path: Path) -> None:
    settings = load(tmp_path, WHOLE)
    assert (settings.budgets.model_calls, settings.budgets.minutes) == (10, None)
    assert settings.tools["send_email"].known == {"to": ("*@example.com",)}
    assert settings.mail.sender == "me@example.com"
    assert settings.schedule[0].task == "morning-mail"
    assert settings.secret_names == ("IN_PROCESS", "JOURNAL_URL", "MAIL_PASSWORD", "SHOP_TOKEN")
    assert settings.digest == load(tmp_path, WHOLE + "# a comment\n").digest
    assert settings.digest != load(tmp_path, "").digest


def test_an_empty_file_has_every_default(tmp_path: Path) -> None:
    settings = load(tmp_path, "")
    assert settings.budgets == Budgets(model_calls=50, actions=200, minutes=30.0, cost_usd=5.0)
    assert (settings.failures.same_way, settings.journal.store, settings.model) == (
        2,
        "sqlite",
        None,
    )


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ('modle = "x"\n', 1, "did you mean `model`?"),
        ("[budgets]\n\nactoins = 1\n", 3, "did you mean `actions`?"),
        ("[tools.a]\neffect = 'read'\n[tools.b]\npolcy = 'ask'\n", 4, "did you mean `policy`?"),
        ("[tools]\na = {effect = 'read'}\nb = {polcy = 'ask'}\n", 3, "did you mean `policy`?"),
        ("[tools.b]\neffect = 'onec'\n", 2, "one of idempotent, once, read"),
        ("[tools.b]\nreturns = 'truted'\n", 2, "trusted"),
        ("[budgets]\nminutes = 0\n", 2, '"none" for no limit'),
        ("[budgets]\nmodel_calls = 'many'\n", 2, '"none" for no limit'),
        ("[budgets]\nactions = 0\n", 2, '"none" for no limit'),
        ("[budgets]\nminutes = inf\n", 2, '"none" for no limit'),
        ("[budgets]\ncost_usd = -1\n", 2, '"none" for no limit'),
        ("[failures]\nsame_way = 0\n", 2, ">= 1"),
        ("[failures]\nvisible_seconds = 601\n", 2, "<= 600"),
        ("[failures]\nvisible_seconds = 0\n", 2, "> 0"),
        ("[failures]\nmodel_seconds = 86401\n", 2, "<= 86400"),
        ("[tools.b]\ntimeout = 86401\n", 2, "<= 86400"),
        ("[tools.b]\ntimeout = -1\n", 2, "> 0"),
        ("[tools.b]\npoll = inf\n", 2, "<= 86400"),
        ("[tools.b]\npoll = nan\n", 2, "> 0"),
        ("[tools.b]\nsame_way = 11\n", 2, "<= 10"),
        ("[tools.b]\nverify_after_seconds = -1\n", 2, ">= 0"),
        ("[tools.b]\nrefresh = 'renew'\n", 2, "known: effect"),
        ("[failures]\nsame_way = 11\n", 2, "<= 10"),
        ("[egress]\nallow = ['https://a.example/x']\n", 2, "without https://"),
        ("[sql.shop]\nread = {orders = ['id']}\n", 1, "add `url` here"),
        ("model = 3\n", 1, "write text"),
        ("model = \n", 1, "key = value"),
        ("[mail]\nfrm = 'a@b'\n", 2, "did you mean `from`?"),
    ],
)
def test_a_mistake_names_its_line_and_the_fix(
    tmp_path: Path, text: str, line: int, says: str
) -> None:
    error = refusal(tmp_path, text)
    assert error.message.startswith(f"standpipe.toml:{line}: ")
    assert says in error.hint


TOKEN = "sk-live-" + "4f9a8b7c6d5e"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f'[secrets]\nSHOP = "{TOKEN}"\n', 2),
        (f'[secrets."{TOKEN}"]\nhosts = []\n', 1),
        (f'[secrets.A]\nhosts = ["a.example"]\nheader = "Authorization: Bearer {TOKEN}"\n', 3),
        (f'[secrets.A]\nvalue = "{TOKEN}"\n', 2),
        (f'[mail]\npassword_secret = "{TOKEN}"\n', 2),
        (f'[journal]\n\nurl_secret = "postgresql://me:{TOKEN}@db/j"\n', 3),
        (f'[mail]\nsmtp = "smtp://me:{TOKEN}@mail.example"\n', 2),
        (f'[sql.a]\nurl = "postgresql://me:{TOKEN}@db/shop"\n', 2),
        (f'[secrets.A]\nhosts = "{TOKEN}"\n', 2),
    ],
)
def test_a_secret_value_in_the_file_is_refused_and_never_repeated(
    tmp_path: Path, text: str, line: int
) -> None:
    error = refusal(tmp_path, text)
    assert error.message.startswith(f"standpipe.toml:{line}: ")
    assert TOKEN not in str(error)


@pytest.mark.parametrize(
    "table",
    [
        'hosts = ["a.example"]',
        'header = "X: {}"',
        'hosts = ["a.example"]\nheader = "X: {}"\nquery = "k={}"',
    ],
)
def test_a_secret_says_where_it_goes_and_in_exactly_one_way(tmp_path: Path, table: str) -> None:
    assert "`A`" in refusal(tmp_path, f"[secrets.A]\n{table}\n").message


def test_a_key_is_found_in_the_file_again(tmp_path: Path) -> None:
    settings = load(tmp_path, "[tools.b]\neffect = 'read'\nalternates = ['c']\n")
    assert settings.place("tools", "b", "alternates") == "standpipe.toml:3"
    assert settings.place("tools", "b", "poll") == "standpipe.toml:1"
    assert Settings().place("tools", "b") == "standpipe.toml"


def test_a_missing_home_says_how_to_make_one(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(NotFoundError) as caught:
            load_settings(path)
        assert "standpipe init" in caught.value.hint


def test_the_home_is_the_current_folder_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "standpipe.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    assert find_home() == find_home(tmp_path) == tmp_path


def test_secrets_leave_the_environment_and_are_still_there_for_the_next_runtime(
    tmp_path: Path,
) -> None:
    settings = load(
        tmp_path, '[secrets.SHOP_TOKEN]\ntools = ["pay"]\n[secrets.UNSET]\ntools = ["pay"]\n'
    )
    variables = {"SHOP_TOKEN": "long enough", "OTHER": "stays"}
    environment = Environment(variables)
    assert environment.take_secrets(settings) == {"SHOP_TOKEN": "long enough"}
    assert variables == {"OTHER": "stays"}
    assert environment.take_secrets(settings) == {"SHOP_TOKEN": "long enough"}


def test_a_short_secret_is_refused_by_name(tmp_path: Path) -> None:
    settings = load(tmp_path, '[secrets.PIN]\ntools = ["pay"]\n')
    with pytest.raises(ConfigError, match="`PIN` has fewer than 8") as caught:
        Environment({"PIN": "1793"}).take_secrets(settings)
    assert "1793" not in str(caught.value)


def test_model_keys_are_taken_and_addresses_stay() -> None:
    variables = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://127.0.0.1:1", "PATH": "/bin"}
    environment = Environment(variables)
    assert environment.take_model_credentials() == {
        "OPENAI_API_KEY": "k",
        "OPENAI_BASE_URL": "http://127.0.0.1:1",
    }
    assert "OPENAI_API_KEY" not in variables
    assert environment.model_keys() == ("OPENAI_API_KEY", "OPENAI_BASE_URL")
    assert environment.for_children() == {"PATH": "/bin"}


def test_colour_and_portability_follow_the_usual_variables() -> None:
    assert Environment({}).colour_wanted()
    assert not Environment({"NO_COLOR": "1"}).colour_wanted()
    assert not Environment({"TERM": "dumb"}).colour_wanted()
    assert Environment({"STANDPIPE_PORTABLE": "1"}).portable()
    assert not Environment({}).portable()

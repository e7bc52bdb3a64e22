"""Read what the operator says: standpipe.toml, and the environment, which nothing else reads.

Rule 1: strict: an unknown key or a wrong type is an error with its line and the nearest right name.
Rule 2: standpipe.toml holds NAMES of secrets; a value there is an error that does not repeat it.
Rule 3: secrets leave the environment when they are read, so that no child inherits them.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from pathlib import Path

from msgspec.structs import force_setattr

from standpipe.errors import ConfigError, NotFoundError
from standpipe.files import (
    Problem,
    convert,
    is_table,
    load_toml_with_lines,
    read_text,
    refuse,
)
from standpipe.settings import LINES, SETTINGS, Budgets, Settings

SETTINGS_BYTES = 256 * 1024
SECRET_LENGTH_MIN = 8
TOKEN_LENGTH_MIN = 16


def find_home(path: Path | str | None = None) -> Path:
    """Return the absolute path of a home; without `path` the current folder.

    Raises:
        NotFoundError: there is no such folder, or no standpipe.toml in it.
    """
    home = Path(path or ".").expanduser().absolute()
    if home.exists() and not home.is_dir():
        raise NotFoundError(f"`{home}` is a file, not a home", hint="name its folder: --home DIR")
    if not home.is_dir():
        raise NotFoundError(f"no folder `{home}`", hint=f"standpipe init {path or 'DIR'}")
    if (home / SETTINGS).is_dir():
        hint = f"move it away, then `standpipe init {path or 'DIR'}` writes the file"
        raise NotFoundError(f"`{home / SETTINGS}` is a folder, not a file", hint=hint)
    if not (home / SETTINGS).is_file():
        hint = f"standpipe init {path or 'DIR'}, or name the home with --home DIR"
        raise NotFoundError(f"no {SETTINGS} in `{home}`", hint=hint)
    return home


def load_settings(home: Path) -> Settings:
    """Read standpipe.toml.

    Raises:
        NotFoundError: there is no home here.
        ConfigError: it says something that cannot be meant.
    """
    path = find_home(home) / SETTINGS
    text = read_text(path, limit_bytes=SETTINGS_BYTES)
    found = load_toml_with_lines(text, name=SETTINGS)
    refuse(_values_of_secrets(found.value), found.lines, name=SETTINGS)
    found = found._replace(value=_without_limits(found.value))
    settings = convert(found, Settings, name=SETTINGS, hints=_HINTS)
    refuse(_problems(settings), found.lines, name=SETTINGS)
    force_setattr(settings, LINES, found.lines)
    return settings


class Environment:
    """The environment of a process; secrets are taken out of it once and kept here."""

    def __init__(self, variables: MutableMapping[str, str]) -> None:
        self._variables = variables
        self._taken: dict[str, str] = {}

    def take_secrets(self, settings: Settings) -> Mapping[str, str]:
        """Return the values of the declared secrets that are set, and remove them from the environment.

        Raises:
            ConfigError: a value is too short to be told apart from ordinary text.
        """
        values = self._take(settings.secret_names)
        for name, value in values.items():
            if len(value) < SECRET_LENGTH_MIN:
                hint = "a shorter value cannot be masked without masking ordinary words"
                what = f"secret `{name}` has fewer than {SECRET_LENGTH_MIN} characters"
                raise ConfigError(f"{SETTINGS}: {what}", hint=hint)
        return values

    def take_model_credentials(self) -> Mapping[str, str]:
        """Return what model clients need, by variable, and remove the keys from the environment."""
        return {**self._take(_MODEL_KEYS), **_chosen(self._variables, _MODEL_ADDRESSES)}

    def model_keys(self) -> tuple[str, ...]:
        """Return which variables of model providers are set."""
        known = {**self._variables, **self._taken}
        return tuple(name for name in (*_MODEL_KEYS, *_MODEL_ADDRESSES) if known.get(name))

    def for_children(self) -> dict[str, str]:
        """Return the little that a tool's process inherits; never a secret."""
        return dict(_chosen(self._variables, _INHERITED))

    def quieten_libraries(self) -> None:
        """Keep Pydantic AI 2.68 from printing its banner between our lines."""
        self._variables.setdefault("PYDANTIC_AI_NO_BANNER", "1")

    def portable(self) -> bool:
        """Whether the fallbacks of other systems are to be used (`STANDPIPE_PORTABLE=1`)."""
        return self._variables.get("STANDPIPE_PORTABLE") == "1"

    def colour_wanted(self) -> bool:
        """Whether nobody said no to colour (`NO_COLOR`, `TERM=dumb`)."""
        return not self._variables.get("NO_COLOR") and self._variables.get("TERM") != "dumb"

    def _take(self, names: Iterable[str]) -> Mapping[str, str]:
        for name in names:
            if value := self._variables.pop(name, ""):
                self._taken[name] = value
        return _chosen(self._taken, names)


environment = Environment(os.environ)

_BELONGS_OUTSIDE = "the value belongs into the environment; standpipe.toml holds its NAME"
_VALUE_KEYS: tuple[str, ...] = ("value", "token", "key", "password", "api_key")
_LIMITS = tuple(f"budgets.{key}" for key in Budgets.__struct_fields__)
_NO_LIMIT = 'write a number above 0, or "none" for no limit'
_HINTS = dict.fromkeys(_VALUE_KEYS, _BELONGS_OUTSIDE) | dict.fromkeys(_LIMITS, _NO_LIMIT)
_MODEL_KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OLLAMA_API_KEY")
_MODEL_ADDRESSES = ("ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "OLLAMA_BASE_URL")
_INHERITED = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "VIRTUAL_ENV")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_HOST = re.compile(r"\[[0-9A-Fa-f:.]+\](?::\d{1,5})?|(?:\*\.)?[A-Za-z0-9.-]+(?::\d{1,5})?")
_PASSWORD_IN_URL = re.compile(r"://[^/@:]*:[^/@]+@")


def _chosen(variables: Mapping[str, str], names: Iterable[str]) -> Mapping[str, str]:
    return {name: variables[name] for name in names if variables.get(name)}


def _without_limits(value: object) -> object:
    """Read `"none"` in [budgets] as no limit."""
    if is_table(value) and is_table(budgets := value.get("budgets")):
        read = {key: None if each == "none" else each for key, each in budgets.items()}
        return {**value, "budgets": read}
    return value


def _values_of_secrets(value: object) -> Iterator[Problem]:
    """Find values where names belong, before any other message could repeat them."""
    hint = "write [secrets.NAME], and put the value into the environment variable NAME"
    if is_table(value) and is_table(secrets := value.get("secrets")):
        for name, table in secrets.items():
            if not _looks_like_a_name(name):
                what = "the name of a secret looks like its value"
                yield Problem(("secrets", name), what, hint)
            if not is_table(table):
                yield Problem(("secrets", name), "a secret has a value here", hint)


def _looks_like_a_name(text: str) -> bool:
    """Names are words; a long run of letters and digits in both cases is a token."""
    mixed = re.search(r"[a-z]", text) and re.search(r"[A-Z]", text) and re.search(r"\d", text)
    return bool(_NAME.fullmatch(text)) and not (mixed and len(text) >= TOKEN_LENGTH_MIN)


def _problems(settings: Settings) -> Iterator[Problem]:
    yield from _secret_problems(settings)
    yield from _name_problems(settings)
    yield from _url_problems(settings)
    yield from _host_problems(settings)
    yield from _tool_problems(settings)


def _secret_problems(settings: Settings) -> Iterator[Problem]:
    for name, secret in settings.secrets.items():
        path = ("secrets", name)
        ways = {"header": secret.header, "query": secret.query, "basic": secret.basic}
        given = {way: template for way, template in ways.items() if template is not None}
        if len(given) > 1:
            yield Problem(path, f"`{name}` is sent in two ways", f"keep one of {', '.join(given)}")
        if secret.hosts and not given:
            hint = 'add header = "Authorization: Bearer {}", or query, or basic'
            yield Problem(path, f"`{name}` has hosts, but no way to be sent there", hint)
        if given and not secret.hosts:
            yield Problem(path, f"`{name}` has no hosts", 'add hosts = ["api.example.com"]')
        for way, template in given.items():
            if "{}" not in template:
                hint = "put {} where the value belongs; the value itself stays in the environment"
                yield Problem((*path, way), f"`{way}` of `{name}` looks like a value", hint)


def _name_problems(settings: Settings) -> Iterator[Problem]:
    names = {
        ("mail", "password_secret"): settings.mail.password_secret,
        ("journal", "url_secret"): settings.journal.url_secret,
        ("journal", "journal_key"): settings.journal.journal_key,
    }
    for path, name in names.items():
        if name is not None and not _looks_like_a_name(name):
            hint = "write the NAME of an environment variable, and put the value there"
            yield Problem(path, f"`{'.'.join(path)}` looks like a value", hint)


def _url_problems(settings: Settings) -> Iterator[Problem]:
    urls = {
        ("mail", "smtp"): settings.mail.smtp,
        ("mail", "imap"): settings.mail.imap,
        **{("sql", name, "url"): sql.url for name, sql in settings.sql.items()},
    }
    for path, url in urls.items():
        if url and _PASSWORD_IN_URL.search(url):
            hint = "take the password out of the file; [mail] has `user` and `password_secret`"
            yield Problem(path, f"`{'.'.join(path)}` holds a password", hint)


def _host_problems(settings: Settings) -> Iterator[Problem]:
    lists = {
        ("egress", "allow"): settings.egress.allow,
        **{("secrets", name, "hosts"): one.hosts for name, one in settings.secrets.items()},
    }
    for path, hosts in lists.items():
        for index, host in enumerate(hosts):
            if not _HOST.fullmatch(host):
                hint = "write host or host:port, without https:// and without a path"
                what = f"`{'.'.join(path)}` has an entry that is no host"
                yield Problem((*path, index), what, hint)


def _tool_problems(settings: Settings) -> Iterator[Problem]:
    words = {"untrusted", "trusted"}
    for name, tool in settings.tools.items():
        said = "untrusted" if tool.returns is None else tool.returns
        known = said in words if isinstance(said, str) else {*said.values()} <= {*words, "record"}
        if not known:
            hint = 'write returns = "untrusted", "trusted", or { FIELD = "record" }'
            yield Problem(("tools", name, "returns"), f"`{name}` returns nothing we know", hint)

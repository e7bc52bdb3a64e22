"""Which credentials a call is given, by name: so that a renewed one is noticed, and a rejected one named.

Rule 1: a value is only ever shown as a keyed hash, which says whether it changed and nothing else.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from standpipe.settings import SecretSettings

_HEX_DIGITS = 16


class Credentials:
    """The secrets of a home, and who gets them.

    Example:
        >>> shop = {"SHOP_TOKEN": SecretSettings(hosts=("api.shop.example",), header="Bearer {}")}
        >>> list(Credentials({"SHOP_TOKEN": "correct-horse"}, shop, key=b"k").given("http_get", ["api.shop.example"]))
        ['SHOP_TOKEN']
    """

    def __init__(
        self, values: Mapping[str, str], settings: Mapping[str, SecretSettings], *, key: bytes
    ) -> None:
        self._key = key
        self._settings = settings
        self._hashes = {name: self._hash(value) for name, value in values.items()}

    def renew(self, name: str, value: str) -> None:
        """Learn the new value of a credential."""
        self._hashes[name] = self._hash(value)

    def given(self, tool: str, hosts: Sequence[str]) -> Mapping[str, str]:
        """Return the credentials `tool` is given for `hosts`, each as a keyed hash; of a model its key."""
        provider, is_model, _ = tool.partition(":")
        provider = provider.partition("-")[0].upper() if is_model else ""
        names = [name for name, one in self._settings.items() if _is_given(one, tool, hosts)]
        return {
            name: self._hashes[name]
            for name in (*names, f"{provider}_API_KEY")
            if name in self._hashes
        }

    def _hash(self, value: str) -> str:
        own = hmac.new(self._key, value.encode(errors="surrogatepass"), hashlib.sha256)
        return own.hexdigest()[:_HEX_DIGITS]


def _is_given(secret: SecretSettings, tool: str, hosts: Sequence[str]) -> bool:
    return tool in secret.tools or any(
        fnmatchcase(host, pattern) or fnmatchcase(host.partition(":")[0], pattern)
        for host in hosts
        for pattern in secret.hosts
    )

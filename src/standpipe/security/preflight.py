"""What must hold of a home before anything in it starts: a promise it cannot keep is told now."""

from collections.abc import Mapping

from standpipe.errors import ConfigError
from standpipe.settings import Settings


def refuse_unusable(settings: Settings, secrets: Mapping[str, str]) -> None:
    """Refuse settings that this version, or this environment, cannot keep.

    Raises:
        ConfigError: it names the setting and what to write instead.
    """
    for name in settings.secrets:
        if name not in secrets:  # it would fail later, as somebody else's 401
            raise ConfigError(
                f"secret `{name}` is declared in standpipe.toml and not set in the environment",
                hint=f"export {name}=..., or take [secrets.{name}] out",
            )
    if settings.journal.store != "sqlite":
        raise ConfigError(
            f'standpipe.toml: [journal] store = "{settings.journal.store}" is not in this version',
            hint='leave it out, or write store = "sqlite"',
        )
    if settings.engine.kind != "inline":
        raise ConfigError(
            f'standpipe.toml: [engine] kind = "{settings.engine.kind}" is not in this version',
            hint='leave it out, or write kind = "inline"',
        )

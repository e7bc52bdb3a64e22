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
    if settings.engine.kind == "dbos" and settings.journal.store != "postgres":
        raise ConfigError(
            f'{settings.place("engine", "kind")}: kind = "dbos" needs a journal in PostgreSQL',
            hint='write [journal] store = "postgres", or leave [engine] out',
        )
    if settings.queues and settings.engine.kind != "dbos":
        name = next(iter(settings.queues))
        raise ConfigError(
            f'{settings.place("queues", name)}: [queues.{name}] needs [engine] kind = "dbos"',
            hint="without it `standpipe worker --concurrency N` is the limit of a worker",
        )

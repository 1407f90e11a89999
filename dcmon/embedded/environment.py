"""The environment variables with which a child process gets the settings of this process."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from dcmon.settings import Settings

PREFIX = "DCMON_"


def child_environment(settings: Settings) -> dict[str, str]:
    """Return the environment of a child process with these settings, including their secrets."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    environment["PYTHONUNBUFFERED"] = "1"
    environment.update(_variables(settings.model_dump(mode="json"), PREFIX))
    # model_dump replaces secrets by asterisks, so add their values.
    secrets = {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "KAFKA__PASSWORD": settings.kafka.password,
        "PING__URL": settings.ping.url,
    }
    for name, secret in secrets.items():
        if secret is not None:
            environment[PREFIX + name] = secret.get_secret_value()
    return environment


def _variables(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _variables(value, f"{prefix}{name.upper()}__")
        elif value is not None:
            yield f"{prefix}{name.upper()}", ",".join(map(str, value)) if isinstance(value, list) else str(value)

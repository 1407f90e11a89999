"""The environment variables with which a child process gets the settings of this process."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import SecretStr

from dcmon.settings import Settings

PREFIX = "DCMON_"


def child_environment(settings: Settings) -> dict[str, str]:
    """Return the environment of a child process with these settings, including their secrets."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    environment["PYTHONUNBUFFERED"] = "1"
    environment["DCMON_PROFILE"] = ""  # its settings are among these
    # In JSON each value is as a variable has it, except secrets, which are asterisks there.
    environment.update(_variables(settings.model_dump(mode="json"), PREFIX))
    environment.update(_secrets(settings.model_dump(), PREFIX))
    return environment


def without_defaults(settings: Settings) -> dict[str, str]:
    """Return the variables of settings that do not have their defaults, without secrets."""
    return dict(_variables(settings.model_dump(mode="json", exclude_defaults=True), PREFIX))


def _secrets(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _secrets(value, f"{prefix}{name.upper()}__")
        elif isinstance(value, SecretStr):
            yield f"{prefix}{name.upper()}", value.get_secret_value()


def _variables(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _variables(value, f"{prefix}{name.upper()}__")
        elif value is not None:
            yield f"{prefix}{name.upper()}", ",".join(map(str, value)) if isinstance(value, list) else str(value)

"""The environment variables with which a child process gets the settings of this process."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import SecretStr

from dcmon.settings import Settings

PREFIX = "DCMON_"
OF_COMMANDS = ("DCMON_DATA_DIR", "DCMON_ORG")  # a supervisor is found by the former, and does not need the latter


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


def comparable(settings: Settings, salt: str) -> dict[str, str]:
    """Return the variables of settings that do not have their defaults; of a secret, a digest with a salt.

    Two processes with the same settings have the same variables.
    """
    changed = settings.model_dump(exclude_defaults=True)
    variables = without_defaults(settings)
    for name, secret in _secrets(changed, PREFIX):
        variables[name] = hashlib.sha256(f"{salt}:{secret}".encode()).hexdigest()[:16]
    return {name: value for name, value in variables.items() if name not in OF_COMMANDS}


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

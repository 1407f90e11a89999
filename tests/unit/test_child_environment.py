"""A child process gets the settings of its parent as they are, with every secret."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, SecretStr

from dcmon.durations import MAX_DURATION
from dcmon.embedded.environment import child_environment
from dcmon.settings import AuditLog, Kafka, Settings, Webhooks


def secret_paths(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield where the settings have secrets."""
    for name, field in model.model_fields.items():
        kinds = [field.annotation, *get_args(field.annotation)]
        if SecretStr in kinds:
            yield (*path, name)
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from secret_paths(kind, (*path, name))


def value_at(settings: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        settings = getattr(settings, name)
    return settings


PATHS = list(secret_paths(Settings))


def settings_of(variables: dict[str, str], directory: Path) -> Settings:
    """Read the settings of a process with these variables only."""
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(directory)
        for name in [name for name in os.environ if name.startswith("DCMON_")]:
            patched.delenv(name)
        for name, value in variables.items():
            patched.setenv(name, value)
        return Settings()


def test_every_secret_reaches_a_child_as_it_is(tmp_path: Path) -> None:
    assert ("smtp", "password") in PATHS
    given = {f"DCMON_{'__'.join(path).upper()}": f'canary, "{number}" $x \\ é' for number, path in enumerate(PATHS)}
    given["DCMON_REDIS_URL"] = f"redis://:{given['DCMON_REDIS_URL']}@host"  # another URL is refused
    settings = settings_of(given, tmp_path)
    child = settings_of(
        {name: value for name, value in child_environment(settings).items() if name.startswith("DCMON_")}, tmp_path
    )
    for path in PATHS:
        name = f"DCMON_{'__'.join(path).upper()}"
        assert value_at(child, path).get_secret_value() == given[name], name


def test_other_settings_reach_a_child_as_they_are(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path, webhooks=Webhooks(allow=["10.0.0.0/8", "127.0.0.1"], timeout=timedelta(seconds=1.5)),
        audit_log=AuditLog(retention=MAX_DURATION), org="acme & co",
        kafka=Kafka(bootstrap_servers="a:1,b:2", password=SecretStr("s"))
    )  # fmt: skip
    variables = {name: value for name, value in child_environment(settings).items() if name.startswith("DCMON_")}
    assert settings_of(variables, tmp_path) == settings

"""Types of the values of settings: durations, terms, and lists that are separated by commas."""

from datetime import timedelta
from ipaddress import ip_network
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from dcmon import durations
from dcmon.errors import InvalidInput
from dcmon.formatting import without_password


def _parse_seconds(value: object) -> object:
    """Parse a number of seconds, or a duration such as 10m; leave other text to pydantic, which refuses it."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return _parse_duration(value)


def _parse_duration(value: str) -> object:
    try:
        return durations.parse(value)
    except InvalidInput:
        return value


def _parse_term(value: object) -> object:
    """Parse a term such as 400d or 2y, or none; leave other text to pydantic, which refuses it."""
    if not isinstance(value, str):
        return value
    if value.strip().lower() == "none":
        return durations.MAX_DURATION
    return _parse_duration(value)


Duration = Annotated[timedelta, BeforeValidator(_parse_seconds)]
SHORTEST_LOG = timedelta(days=30)  # PostgreSQL refuses to delete younger entries
LogTerm = Annotated[timedelta, BeforeValidator(_parse_term), Field(ge=SHORTEST_LOG)]


def split_at_commas(value: object) -> object:
    """Split text at its commas; leave any other value as it is."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _without_credentials(url: str | None) -> str | None:
    """Return a URL that is shown and logged as it is. Raises ValueError if a user or password is in it."""
    if url is not None and without_password(url) != url:
        raise ValueError("a user or password can't be in this URL, which is shown and logged")
    return url


def _web_address(url: str | None) -> str | None:
    """Return a URL of a web server as it is, also an empty one. Raises ValueError without http(s):// or a host."""
    if not url:
        return url
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it must be a URL with http:// or https:// and a host, such as https://dcmon.example.org")
    return url


def _redis_address(url: SecretStr | None) -> SecretStr | None:
    """Return a URL of Redis as it is. Raises ValueError for another one; the message has no part of it."""
    if url is not None and not url.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("it must be a URL with redis://, rediss:// or unix://, such as redis://host:6379/0")
    return url


RedisUrl = Annotated[SecretStr | None, AfterValidator(_redis_address)]
ShownUrl = Annotated[str | None, AfterValidator(_without_credentials)]
PublicUrl = Annotated[ShownUrl, AfterValidator(_web_address)]


def own_variables(names: list[str]) -> list[str]:
    """Return names of variables as they are. Raises ValueError for a setting of dcmon: settings have its secrets."""
    for name in names:
        if name.upper().startswith("DCMON_"):
            raise ValueError(f"{name} is a setting of dcmon, which own checks don't get")
    return names


def networks(values: list[str]) -> list[str]:
    """Return addresses and networks as they are. Raises ValueError if one is neither."""
    for value in values:
        ip_network(value)
    return values

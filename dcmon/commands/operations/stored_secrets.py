"""The secrets that the database has, in clear: to remove them from texts."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from dcmon.commands.operations import redaction
from dcmon.db import encryption
from dcmon.db.tables.org import Webhook
from dcmon.errors import DcmonError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from dcmon.app import App

HIDDEN = (encryption.SecretBytes,)  # the attributes of tables with secrets: SecretText and SecretJson derive from it
SHORTEST = 8  # characters; shorter ones, as of the arguments of a command, are words of other texts
NO_SECRETS = ("to",)  # keys of a receiver's options: addresses of e-mail


def read(app: "App", limit: int) -> list[str]:
    """Return the secrets of all organizations.

    Raises DcmonError if not all of them can be read, or if there are more than `limit`: who has not all of them can
    remove none for sure.
    """
    secrets = dict[str, None]()
    for org in app.every_organization():
        with app.org(org) as session:
            secrets |= dict.fromkeys(text for text in _of_organization(session) if len(text) >= SHORTEST)
        if len(secrets) > limit:
            raise DcmonError(f"There are more than {limit:,} stored secrets.")
    return list(secrets)


def _of_organization(session: "Session") -> Iterator[str]:
    for mapper in Webhook.registry.mappers:
        names = [name for name, value in vars(mapper.class_).items() if isinstance(value, HIDDEN)]
        for row in session.scalars(select(mapper.class_)) if names else ():
            for name in names:
                with suppress(DcmonError):
                    yield from _texts(getattr(row, name))


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in a secret value: of a URL its path, which has the secret, and its user and password."""
    if isinstance(value, bytes):
        yield from (value.decode(errors="replace"), value.hex())
    elif isinstance(value, str):
        yield value
        if "://" in value:
            yield from redaction.of_url(value)
    elif isinstance(value, dict):
        yield from _of_items((key, item) for key, item in value.items())
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _of_items(items: Iterable[tuple[str, Any]]) -> Iterator[str]:
    for key, item in items:
        if key not in NO_SECRETS:
            yield from _texts(item)

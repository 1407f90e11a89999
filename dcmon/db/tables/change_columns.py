"""The columns of a log of changes; organizations and "public" have a log each."""

from typing import Any

from sqlalchemy.orm import Mapped


class ChangeColumns:
    """What a change was, and whose.

    `author`, `via`, `address`, `token`, `request_id`: as in dcmon.authors.Author. `kind`, `object_id`, `name`: what
    was changed. `before`, `after`: the changed fields.
    """

    author: Mapped[str]
    via: Mapped[str]
    address: Mapped[str | None]
    token: Mapped[str | None]
    request_id: Mapped[str | None]
    action: Mapped[str]
    kind: Mapped[str]
    object_id: Mapped[str | None]
    name: Mapped[str | None]
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]

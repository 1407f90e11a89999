"""SQLAlchemy tables of both lineages. No table names a schema: a transaction enters one (dcmon.db)."""

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import JSON, MetaData
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import DateTime, Interval, LargeBinary, Text, Uuid

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

# JSON, not JSONB: JSON keeps the order of the user's features and classes.
TYPES: dict[Any, Any] = {
    str: Text(),
    bytes: LargeBinary(),
    dt.datetime: DateTime(timezone=True),
    dt.timedelta: Interval(),
    uuid.UUID: Uuid(),
    dict[str, Any]: JSON(none_as_null=True),
    dict[str, str]: JSON(none_as_null=True),
    dict[str, float]: JSON(none_as_null=True),
    list[str]: JSON(none_as_null=True),
    list[int]: JSON(none_as_null=True),
}


# Two requests may delete the same row at once: the second one finds it deleted, which is what it was sent for.
MAPPING: dict[str, Any] = {"confirm_deleted_rows": False}


@dataclass(frozen=True)
class Logged:
    """How the log of changes (db.change_log) records the changes of a table's rows.

    `kind`: what the log calls a row. `id`, `name`: the columns that identify it. `state`: columns that dcmon itself
    sets while it works, such as watermarks; they are not recorded. `secret`: columns of which only the change is
    recorded. `url`: columns of which only scheme and host are recorded. `action`: the column that says what was done,
    in a table that is itself a history; only the inserted rows for which the SQL condition `condition` holds are
    recorded.
    """

    kind: str
    id: str = "id"
    name: str | None = "name"
    state: Sequence[str] = ()
    secret: Sequence[str] = ()
    url: Sequence[str] = ()
    action: str | None = None
    condition: str | None = None


def _require_logged(table: type) -> None:
    """Check that a table says how its changes are recorded. Raises TypeError."""
    if "__logged__" not in vars(table):
        raise TypeError(
            f"{table.__name__} needs __logged__: how its changes are recorded (Logged), or None with a comment why not."
        )


class Public(DeclarativeBase):
    """Lineage "public": organizations, users and tokens, and what all organizations share."""

    metadata: ClassVar[MetaData] = MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar[dict[Any, Any]] = TYPES
    __mapper_args__ = MAPPING
    __logged__: ClassVar[Logged | None]

    def __init_subclass__(cls, **options: Any) -> None:
        _require_logged(cls)
        super().__init_subclass__(**options)


class Org(DeclarativeBase):
    """Lineage "org": the data of one organization; each organization's schema has these tables."""

    metadata: ClassVar[MetaData] = MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar[dict[Any, Any]] = TYPES
    __mapper_args__ = MAPPING
    __logged__: ClassVar[Logged | None]

    def __init_subclass__(cls, **options: Any) -> None:
        _require_logged(cls)
        super().__init_subclass__(**options)

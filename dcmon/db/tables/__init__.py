"""SQLAlchemy tables of both lineages. No table names a schema: a transaction enters one (dcmon.db)."""

import datetime as dt
import uuid
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


class Public(DeclarativeBase):
    """Lineage "public": organizations, users and tokens, and what all organizations share."""

    metadata: ClassVar[MetaData] = MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar[dict[Any, Any]] = TYPES


class Org(DeclarativeBase):
    """Lineage "org": the data of one organization; each organization's schema has these tables."""

    metadata: ClassVar[MetaData] = MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar[dict[Any, Any]] = TYPES

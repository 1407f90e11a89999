"""Limits on the numbers of objects of an organization, held by triggers: no way to create an object goes around them.

The limits of an organization are in "public", where a transaction in its schema can't look. So a transaction tells
PostgreSQL the limits when it enters the schema (db.session).
"""

import json
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any

import psycopg
from sqlalchemy import Connection
from sqlalchemy.orm import DeclarativeBase

from dcmon import errors
from dcmon.db import locks, sql
from dcmon.db.locks import LockSpace
from dcmon.db.tables import Public

SQL = sql.read(__name__)
OVER_LIMIT = "DC001"  # the SQLSTATE of the triggers


@dataclass(frozen=True)
class ObjectLimits:
    """How many objects an organization may have; None: any number."""

    max_models: int | None = None
    max_versions_per_model: int | None = None
    max_monitors: int | None = None
    max_rules: int | None = None
    max_receivers: int | None = None
    max_tokens: int | None = None
    max_users: int | None = None


NAMES = tuple(field.name for field in fields(ObjectLimits))
# By lineage: the table, the limit, and the argument of the trigger.
OF_ORGANIZATION = {
    "models": ("max_models", ""),
    "versions": ("max_versions_per_model", "model_id"),
    "monitors": ("max_monitors", ""),
    "alert_rules": ("max_rules", ""),
    "webhooks": ("max_receivers", ""),
}
OF_PUBLIC = {
    "tokens": ("max_tokens", "revoked_at is null and (expires_at is null or expires_at > now())"),
    "members": ("max_users", "true"),
}


def attach(connection: Connection, base: type[DeclarativeBase]) -> None:
    """Create the triggers of a lineage in the schema that is entered."""
    is_public = base is Public
    lock = locks.call(LockSpace.OBJECT_LIMITS, "(limits ->> 'id')::int")
    function = "require_room_public" if is_public else "require_room_org"
    statement = SQL.statement(function, lock=lock, state=OVER_LIMIT)
    triggers = [
        SQL.statement("attach", table=table, limit=limit, argument=argument)
        for table, (limit, argument) in (OF_PUBLIC if is_public else OF_ORGANIZATION).items()
    ]
    # In one round trip; the driver reads % as the begin of a parameter.
    connection.exec_driver_sql(";\n".join([statement, *triggers]).replace("%", "%%"))


@lru_cache(1000)  # each transaction of an organization needs it
def encoded(org_id: int, name: str, limits: ObjectLimits | None) -> str:
    """Return limits as the triggers read them; "" for none."""
    return "" if limits is None else json.dumps({"id": org_id, "name": name, **asdict(limits)})


def to_error(original: psycopg.Error) -> errors.TooManyObjects:
    """Return the error for a refusal of a trigger."""
    limit, diagnosis = original.diag.message_primary or "", original.diag
    objects = limit.removeprefix("max_").replace("_", " ")
    number: Any = diagnosis.message_detail
    return errors.TooManyObjects(
        org=diagnosis.message_hint, most=f"{int(number):,}", objects=objects, option="--" + limit.replace("_", "-")
    )

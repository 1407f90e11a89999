"""Look up a sample by its id: stored samples, waiting labels and the quarantine."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db.tables.org import Model, Quarantined, Version
from dcmon.storage import sample_tables, table_layout
from dcmon.storage.columns import HASH, KEY, LEVEL, LOGGED_AT, TIME, Columns, sql_name
from dcmon.storage.sample_ids import key_of
from dcmon.storage.table_layout import KINDS, NUMBERS


class SampleState(StrEnum):
    """The state of a row with a sample id."""

    STORED = "stored"
    PRUNED = "pruned"  # a prune has detached the month of the sample, and will delete its id
    LABEL_WAITS = "label waits"  # a label without a sample
    QUARANTINED = "quarantined"


def find(session: Session, model: Model, sample_id: str) -> list[dict[str, Any]]:
    """Return all rows of a model with this sample id. Raises NotFound without any.

    A row is for an output: it has the state, and what is known of version, times, label and content.
    """
    key = UUID(bytes=key_of(sample_id))
    matches = [*_stored(session, model, key), *_waiting(session, model, key), *_quarantined(session, model, sample_id)]
    if not matches:
        raise errors.NotFound(
            f"Model {model.name!r} has no sample {sample_id!r}: it was never received, or has been deleted."
        )
    return matches


def _stored(session: Session, model: Model, key: UUID) -> list[dict[str, Any]]:
    ids = session.execute(
        text(f"select version_id, ts from ids_{model.relation} where k = :key order by version_id"), {"key": key}
    ).all()
    return [_sample(session, session.get_one(Version, version_id), key, time) for version_id, time in ids]


def _sample(session: Session, version: Version, key: UUID, time: Any) -> dict[str, Any]:
    row = session.execute(
        text(
            # `s.*`, because `to_jsonb(s)` would be the feature `s` of a version that has one.
            f"select to_jsonb(s.*) - cast(:own as text[]) as row, s.{LOGGED_AT} as logged_at, l.label,"
            f" l.logged_at as labelled_at from samples_{version.relation} s"
            f" left join labels_{version.relation} l on l.ts = s.{TIME} and l.k = s.{KEY}"
            f" where s.{TIME} = :time and s.{KEY} = :key limit 1"
        ),
        {"time": time, "key": key, "own": [KEY, HASH, LEVEL, LOGGED_AT]},
    ).one_or_none()
    if row is None:
        return {"state": SampleState.PRUNED, "version": version.name, "time": time}
    return {
        "state": SampleState.STORED, "version": version.name, "time": time, "logged_at": row.logged_at,
        "label": row.label, "labelled_at": row.labelled_at,
        "row": _row_values(sample_tables.columns(session.get_one(Model, version.model_id), version), row.row),
    }  # fmt: skip


def _row_values(columns: Columns, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a row by the names of the version's columns. `stored` is the row as JSON."""
    names = {sql_name(name): name for name in columns.user_columns}
    array_columns = {array.name: array for array in table_layout.of(columns).array_columns}
    values = dict[str, Any]()
    for column, value in stored.items():
        if column in array_columns:
            named_types = array_columns[column].column_types.items()
            values.update({name: _element(kind, item) for (name, kind), item in zip(named_types, value, strict=True)})
        else:
            values[names.get(column, column)] = value
    return values


def _element(kind: str, element: Any) -> Any:
    """Return a value of an array. JSON has no NaN, which stands for null in numbers: PostgreSQL writes it as a text."""
    if kind in KINDS[NUMBERS] and element == "NaN":
        return None
    return bool(element) if kind == "boolean" else element


def _waiting(session: Session, model: Model, key: UUID) -> list[dict[str, Any]]:
    """Return the label that waits for this sample; no version has received the sample."""
    labels = session.execute(
        text(
            f"select label, logged_at from orphan_labels_{model.relation} o where k = :key"
            f" and not exists (select 1 from ids_{model.relation} i where i.k = o.k)"
        ),
        {"key": key},
    )
    return [{"state": SampleState.LABEL_WAITS, "label": row.label, "labelled_at": row.logged_at} for row in labels]


def _quarantined(session: Session, model: Model, sample_id: str) -> list[dict[str, Any]]:
    statement = select(Quarantined).where(Quarantined.model_id == model.id, Quarantined.sample_id == sample_id[:1024])
    return [
        {"state": SampleState.QUARANTINED, "kind": row.kind, "id": row.id, "reason": row.reason, "detail": row.detail,
         "logged_at": row.logged_at}
        for row in session.scalars(statement.order_by(Quarantined.id))
    ]  # fmt: skip

"""Routes of model versions: their columns, counts and stored rows."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, Self

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, Field, model_validator

from dcmon import errors
from dcmon.db.work_queue import Work
from dcmon.http.auth import Administrator, Identifier, Reader, Writer
from dcmon.http.fields import CreatedView, IdentifierKind, Time
from dcmon.http.paging import Paged
from dcmon.http.responses import MAY_BE_FULL, MAY_CONFLICT
from dcmon.http.routes import version_views
from dcmon.http.routes.models import resolve
from dcmon.http.routes.names import require_reachable
from dcmon.http.routes.version_views import DISTANT_FUTURE, EPOCH, ColumnView, VersionDetails
from dcmon.ingestion import sample_counts
from dcmon.ingestion.files import model_path
from dcmon.monitoring import lifecycle
from dcmon.monitoring.lifecycle import VersionEdit
from dcmon.storage import columns, models, references, sample_tables, sampling, versions
from dcmon.storage.columns import TIME
from dcmon.storage.sampling import RowSelection
from dcmon.storage.versions import NewVersion
from dcmon.windows import Window

router = APIRouter(tags=["model versions"])
names = APIRouter(tags=["model versions"])
MAX_NAME = 100
Types = dict[
    str,
    Literal[
        "numeric", "integer", "bigint", "categorical", "text", "boolean", "array_float", "array_float_2d", "datetime"
    ],
]  # fmt: skip


class VersionBody(BaseModel):
    """The properties of a version to be created."""

    name: str = Field(min_length=1, max_length=MAX_NAME)
    features: Types
    additional_data: Types
    feature_importance: dict[str, float] | None = None
    classes: list[str] | None = None
    label_map: dict[str, str] | None = None


class VersionChange(BaseModel):
    """Changes of a version, at least one."""

    name: str | None = Field(None, min_length=1, max_length=MAX_NAME)
    feature_importance: dict[str, float] | None = None

    @model_validator(mode="after")
    def _require_change(self) -> Self:
        if self.name is None and self.feature_importance is None:
            raise ValueError("nothing to change: send name or feature_importance")
        return self


class VersionEntry(BaseModel):
    """A version in a list."""

    id: int
    name: str


class SampleCounts(BaseModel):
    """The numbers of stored samples and of reference rows."""

    monitor_count: int
    reference_count: int


class WindowStatistics(BaseModel):
    """The numbers of samples in a span of time, and of those with a label that is not null."""

    num_labeled_samples: int
    num_samples: int


class VersionSchema(BaseModel):
    """The JSON Schemas of samples and reference rows, and the columns of a version."""

    monitor_schema: dict[str, Any]
    reference_schema: dict[str, Any]
    features: dict[str, str]
    additional_data: dict[str, str]
    classes: list[str] | None
    label_map: dict[str, str] | None
    feature_importance: dict[str, float] | None


class Filter(BaseModel):
    """One condition on a column."""

    column: str
    operator: str
    value: Any = None


class Filters(BaseModel):
    """Conditions, all of which must hold."""

    filters: list[Filter] = []


class RowsQuery(BaseModel):
    """The number of rows to return, and conditions on the rows."""

    rows_count: int = Field(100, ge=0, le=100_000)
    filter: Filters | None = None


class ProductionRowsQuery(RowsQuery):
    """Rows with a time in [start_time, end_time)."""

    start_time: Time
    end_time: Time


class TimeRange(BaseModel):
    """A time range, open where a bound is missing."""

    start_time: Time | None = None
    end_time: Time | None = None


@router.post("/models/{identifier}/version", responses=MAY_BE_FULL)
def create(
    access: Writer, identifier: str, body: VersionBody, identifier_kind: IdentifierKind | None = None
) -> CreatedView:
    """Create a version, or return an existing one with the same name and columns."""
    require_reachable("version", body.name)
    new = NewVersion(
        body.name, body.features, body.additional_data, body.feature_importance, body.classes, body.label_map
    )
    with access.session() as session:
        model = resolve(session, identifier, identifier_kind)
        version = versions.create(session, model, new)
        model_path.watch_created(session, model, version)
        return CreatedView(id=version.id)


@router.get("/models/{identifier}/versions")
def entries(
    access: Identifier, identifier: str, page: Paged, identifier_kind: IdentifierKind | None = None
) -> list[VersionEntry]:
    """List the versions of a model, newest samples first."""
    with access.session() as session:
        model = resolve(session, identifier, identifier_kind)
        return [VersionEntry(id=version.id, name=version.name) for version in page.of(versions.entries(session, model))]


@router.get("/models/{identifier}/columns")
def newest_columns(
    access: Reader, identifier: str, identifier_kind: IdentifierKind | None = None
) -> dict[str, ColumnView]:
    """Show the columns of the version with the newest sample, with statistics of their values.

    Features are in order of importance, at most 1,000; additional data follows. Empty if the model has no version.
    """
    with access.session() as session:
        model = resolve(session, identifier, identifier_kind)
        newest = next(iter(versions.entries(session, model)), None)
        return {} if newest is None else version_views.column_views(session, model, newest)


@router.get("/models/{model_name}/model-versions/{version_name}")
@names.get("/models/{model_name:path}/model-versions/{version_name:path}", include_in_schema=False)
def show_by_name(access: Identifier, model_name: str, version_name: str) -> VersionDetails:
    """Show a version, by the names of model and version."""
    with access.session() as session:
        model = models.find(session, model_name)
        return version_views.details(session, model, versions.find(session, model, version_name))


@router.delete("/models/{model_name}/model-versions/{version_name}", responses=MAY_CONFLICT)
@names.delete("/models/{model_name:path}/model-versions/{version_name:path}", include_in_schema=False)
def delete_by_name(access: Administrator, model_name: str, version_name: str) -> None:
    """Delete a version with its rows, results and alerts, found by names."""
    with access.session() as session:
        model = models.find(session, model_name)
        lifecycle.delete_version(session, model, versions.find(session, model, version_name))
    access.enqueue(Work.notify)


@router.get("/model-versions/{version_id}")
def show(access: Identifier, version_id: int) -> VersionDetails:
    """Show a version."""
    with access.session() as session:
        return version_views.details(session, *versions.get(session, version_id))


@router.put("/model-versions/{version_id}")
def change(access: Writer, version_id: int, body: VersionChange) -> None:
    """Rename a version, or set its feature importance. Monitors that use the importance are evaluated again."""
    if body.name is not None:
        require_reachable("version", body.name)
    with access.session() as session:
        edit = VersionEdit(body.name, body.feature_importance, access.app.settings.url)
        lifecycle.change_version(session, access.org, versions.get(session, version_id).version, edit)
    access.enqueue()
    access.enqueue(Work.notify)


@router.delete("/model-versions/{version_id}", responses=MAY_CONFLICT)
def delete(access: Administrator, version_id: int) -> None:
    """Delete a version with its rows, results and alerts."""
    with access.session() as session:
        lifecycle.delete_version(session, *versions.get(session, version_id))
    access.enqueue(Work.notify)


@router.get("/model-versions/{version_id}/schema")
def schema(access: Identifier, version_id: int) -> VersionSchema:
    """Show the JSON Schemas of samples and reference rows, and the columns of the version."""
    with access.session() as session:
        model, version = versions.get(session, version_id)
    version_columns = sample_tables.columns(model, version)
    return VersionSchema(
        monitor_schema=columns.monitor_schema(version_columns),
        reference_schema=columns.reference_schema(version_columns),
        features=version.features,
        additional_data=version.additional,
        classes=version.classes,
        label_map=version.label_map,
        feature_importance=version.feature_importance,
    )


@router.get("/model-versions/{version_id}/count-samples")
def count(access: Reader, version_id: int) -> SampleCounts:
    """Count the samples and the reference rows of a version."""
    with access.session() as session:
        _, version = versions.get(session, version_id)
        return SampleCounts(
            monitor_count=sample_counts.count(session, version), reference_count=references.count(session, version)
        )


@router.get("/model-versions/{version_id}/time-window-statistics")
def statistics(access: Reader, version_id: int, body: TimeRange) -> WindowStatistics:
    """Count the samples, and the samples with a label, with a time in [start_time, end_time)."""
    with access.session() as session:
        _, version = versions.get(session, version_id)
        n, labelled = sample_counts.window_counts(
            session, version, body.start_time or EPOCH, body.end_time or DISTANT_FUTURE
        )
    return WindowStatistics(num_labeled_samples=labelled, num_samples=n)


@router.post("/model-versions/{version_id}/get-ref-data")
def reference_rows(access: Reader, version_id: int, body: RowsQuery) -> str:
    """Return reference rows: a JSON array of objects, encoded as a JSON string."""
    with access.session() as session:
        model, version = versions.get(session, version_id)
        rows = references.rows(session, RowSelection(model, version, body.rows_count, filters=_filters(body)))
    return _encode(rows)


@router.post("/model-versions/{version_id}/get-prod-data")
def production_rows(access: Reader, version_id: int, body: ProductionRowsQuery) -> str:
    """Return samples with their labels: a JSON array of objects, encoded as a JSON string."""
    if body.end_time < body.start_time:
        raise errors.Unprocessable("end_time is before start_time.")
    with access.session() as session:
        model, version = versions.get(session, version_id)
        selection = RowSelection(model, version, body.rows_count, filters=_filters(body))
        rows = sampling.rows(session, Window(body.start_time, body.end_time), selection)
    return _encode(rows)


def _filters(body: RowsQuery) -> dict[str, Any] | None:
    return None if body.filter is None else body.filter.model_dump()


def _encode(rows: Sequence[Mapping[str, Any]]) -> str:
    """Encode rows as text, because the SDK decodes the response twice.

    Datetime columns are milliseconds since 1970; only `_dc_time` is ISO 8601.
    """
    encodable = [{name: _encodable(name, value) for name, value in row.items()} for row in rows]
    return msgspec.json.encode(encodable).decode()


def _encodable(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat() if name == TIME else int(value.timestamp() * 1000)
    return value

"""Routes of the rows that models receive: what is stored, what waits, and what could not be stored."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from dcmon import errors
from dcmon.db.tables.org import Quarantined
from dcmon.http.auth import Access, Reader
from dcmon.http.paging import Paged
from dcmon.http.routes.overview import epoch
from dcmon.ingestion import lag, quarantine_pages
from dcmon.ingestion.lag import UnreadRows
from dcmon.ingestion.quarantine_pages import QuarantinePage, SortKey
from dcmon.monitoring import overview
from dcmon.severity import Severity
from dcmon.storage import models, versions

router = APIRouter(tags=["connected models"])
MAX_UNREAD_MESSAGES = 1000  # of each partition, whose rows are counted
ROWS_AT_ONCE = 20  # each may have a megabyte
MAX_SHOWN = 300  # rows of a page that is not a download
FIELDS = ("id", "sample_id", "error", "sample", "created_at", "model_version_id", "reason", "field", "kind")
EpochSeconds = Annotated[float | None, Field(ge=0, le=32_503_680_000, allow_inf_nan=False)]
CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}


class ConnectedModel(BaseModel):
    """A model and its rows. `latest_update`: when rows were stored last, in epoch seconds.

    n_of_alerts counts firing critical alerts. n_of_pending_rows are in Kafka and not stored yet: null while Kafka can't
    be reached, and of many messages only the first are counted. label_ratio is 0 without samples.
    """

    id: int
    name: str
    description: str | None
    task_type: str
    n_of_alerts: int
    n_of_pending_rows: int | None
    n_of_updating_versions: int | None
    latest_update: int | None
    sample_count: int
    label_count: int
    label_ratio: float


class ConnectedVersion(BaseModel):
    """A version and its rows, as in ConnectedModel."""

    id: int
    name: str
    last_update_time: int | None
    n_of_pending_rows: int | None
    n_of_alerts: int


class IngestionError(BaseModel):
    """A row that could not be stored: why, the row as it was received, and when. Labels have no version."""

    id: int
    sample_id: str | None
    error: str
    sample: str
    created_at: str
    model_version_id: int | None
    reason: str
    field: str | None
    kind: str


@router.get("/connected-models")
def connected_models(access: Reader, page: Paged) -> list[ConnectedModel]:
    """List the models with the numbers of their rows and critical alerts, by name."""
    with access.session() as session:
        shown = page.of(overview.of_models(session))
    unread = _unread_rows(access)
    return [
        ConnectedModel(
            id=model.model.id,
            name=model.model.name,
            description=model.model.description,
            task_type=model.model.task_type,
            n_of_alerts=model.alerts[Severity.CRITICAL],
            n_of_pending_rows=None if unread is None else sum(unread.samples[v.version.id] for v in model.versions),
            n_of_updating_versions=(
                None if unread is None else sum(unread.samples[v.version.id] > 0 for v in model.versions)
            ),
            latest_update=epoch(model.last_logged_at),
            sample_count=model.rows,
            label_count=model.labels,
            label_ratio=model.labels / model.rows if model.rows else 0.0,
        )
        for model in shown
    ]


def _unread_rows(access: Access) -> UnreadRows | None:
    """Count rows in Kafka; none are pending without Kafka. Return None if Kafka can't be reached."""
    settings = access.app.settings.kafka
    if not settings.bootstrap_servers:
        return UnreadRows(Counter(), Counter())
    try:
        return lag.unread_rows(access.app.engine, settings, access.org, MAX_UNREAD_MESSAGES)
    except errors.Unreachable:
        return None


@router.get("/connected-models/{model_id}/versions")
def connected_versions(access: Reader, model_id: int, page: Paged) -> list[ConnectedVersion]:
    """List the versions of a model with their pending rows and critical alerts, newest samples first."""
    with access.session() as session:
        models.get(session, model_id)
        shown = page.of(overview.of_models(session, [model_id])[0].versions)
    unread = _unread_rows(access)
    return [
        ConnectedVersion(
            id=version.version.id,
            name=version.version.name,
            last_update_time=epoch(version.last_logged_at),
            n_of_pending_rows=None if unread is None else unread.samples[version.version.id],
            n_of_alerts=version.alerts[Severity.CRITICAL],
        )
        for version in shown
    ]


class PageQuery(BaseModel):
    """Which rows to show, and in which order. A page that is no download has at most 300 rows. `download`: as CSV."""

    sort_key: SortKey = SortKey.TIMESTAMP
    sort_order: Literal["asc", "desc"] = "desc"
    download: bool = False
    limit: int = Field(50, ge=1, le=10_000)
    offset: int = Field(0, ge=0, le=10**9)

    def page(self, model_id: int) -> QuarantinePage:
        """Return the page of a model. Raises InvalidInput."""
        if self.limit > MAX_SHOWN and not self.download:
            raise errors.InvalidInput(f"A page has at most {MAX_SHOWN} rows. Lower limit, or add download=true.")
        is_ascending = self.sort_order == "asc"
        return QuarantinePage(model_id, self.limit, self.offset, sort_key=self.sort_key, is_ascending=is_ascending)


class FilteredPageQuery(PageQuery):
    """Which rows of a model to show: those of a version, of a time of receipt, or with a text in the error."""

    msg_contains: str | None = Field(None, max_length=1000)
    model_version_id: int | None = Field(None, ge=1, le=2**31 - 1)
    start_time_epoch: EpochSeconds = None
    end_time_epoch: EpochSeconds = None

    def page(self, model_id: int) -> QuarantinePage:
        """Return the page of a model. Raises InvalidInput."""
        return replace(
            super().page(model_id),
            version_id=self.model_version_id,
            contains=self.msg_contains,
            since=_time(self.start_time_epoch),
            until=_time(self.end_time_epoch),
        )


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


@router.get("/connected-models/{model_id}/ingestion-errors", response_model=list[IngestionError], responses=CSV)
def ingestion_errors(access: Reader, model_id: int, query: Annotated[FilteredPageQuery, Query()]) -> Response:
    """List the rows of a model that could not be stored, the newest first, or download them as CSV."""
    with access.session() as session:
        models.get(session, model_id)
    return _respond(access, query.page(model_id), is_download=query.download)


@router.get(
    "/connected-models/{model_id}/versions/{version_id}/ingestion-errors",
    response_model=list[IngestionError],
    responses=CSV,
)
def ingestion_errors_of_version(
    access: Reader, model_id: int, version_id: int, query: Annotated[PageQuery, Query()]
) -> Response:
    """List the samples of a version that could not be stored, the newest first, or download them as CSV."""
    with access.session() as session:
        model, version = versions.get(session, version_id)
        if model.id != model_id:
            raise errors.NotFound(what="model version", name=version_id)
    return _respond(access, replace(query.page(model_id), version_id=version.id), is_download=query.download)


def _respond(access: Access, page: QuarantinePage, *, is_download: bool) -> Response:
    """Stream a page: its rows may be large."""
    with access.session() as session:
        ids = quarantine_pages.row_ids(session, page)
    if not is_download:
        return StreamingResponse(_json(access, ids), media_type="application/json")
    headers = {"content-disposition": 'attachment; filename="ingestion-errors.csv"'}
    return StreamingResponse(_csv(access, ids), media_type="text/csv", headers=headers)


def _rows(access: Access, ids: list[int]) -> Iterator[dict[str, Any]]:
    """Yield rows, a few at a time: a client that reads slowly must not keep a transaction open."""
    for first in range(0, len(ids), ROWS_AT_ONCE):
        with access.session() as session:
            rows = quarantine_pages.read_rows(session, ids[first : first + ROWS_AT_ONCE])
        yield from map(_error, rows)


def _json(access: Access, ids: list[int]) -> Iterator[bytes]:
    before = b"["
    for row in _rows(access, ids):
        yield before + msgspec.json.encode(row)
        before = b","
    yield b"]" if before == b"," else b"[]"


def _csv(access: Access, ids: list[int]) -> Iterator[bytes]:
    """Yield the lines of a CSV file with the names of the fields as its header."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, FIELDS)
    writer.writeheader()
    for row in _rows(access, ids):
        writer.writerow(row)
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue().encode()


def _error(row: Quarantined) -> dict[str, Any]:
    return {
        "id": row.id,
        "sample_id": row.sample_id,
        "error": row.detail,
        "sample": row.row.decode(errors="replace"),
        "created_at": row.logged_at.isoformat(),
        "model_version_id": row.version_id,
        "reason": row.reason,
        "field": row.field,
        "kind": row.kind,
    }

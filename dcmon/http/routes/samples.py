"""Routes that log samples and labels. They respond after the commit, or after the broker's acknowledgement."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from dcmon import errors
from dcmon.http.auth import Access, Body, Ingester
from dcmon.ingestion import raw_rows
from dcmon.ingestion.intake_results import IntakeResult
from dcmon.ingestion.target_cache import RowTarget
from dcmon.states import RowKind

MIN_UNSPLIT_BYTES = 100_000  # a larger body is not split before its rows are decoded
Rows = Sequence[raw_rows.Raw]
router = APIRouter(tags=["samples and labels"])


def _rows(**properties: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a body of rows with these fields, the first of which is required."""
    row = {"type": "object", "required": [next(iter(properties))], "properties": properties}
    schema = {"type": "array", "minItems": 1, "items": row}
    description = "May be compressed: Content-Encoding gzip. A row that does not fit is quarantined."
    return {
        "requestBody": {
            "required": True, "description": description, "content": {"application/json": {"schema": schema}},
        }
    }  # fmt: skip


ID, TIME = {"type": "string", "minLength": 1}, {"type": "string", "format": "date-time"}
SAMPLES = _rows(
    _dc_sample_id=ID,
    _dc_time=TIME,
    _dc_prediction={"description": "A number of a regression, otherwise the name of a class."},
    _dc_prediction_probabilities={"type": ["array", "null"], "items": {"type": "number"}},
    _dc_label={"description": "The label, if it is known already."},
)
LABELS = _rows(_dc_sample_id=ID, _dc_label={"description": "A number of a regression, otherwise the name of a class."})


@router.post("/model-versions/{version_id}/data", response_model=IntakeResult, openapi_extra=SAMPLES)
def samples(request: Request, access: Ingester, version_id: int, body: Body) -> Response:
    """Log samples: a JSON array of objects. A row that can't be stored is quarantined; it never fails the request.

    The response counts the rows and shows the first rejected row of each reason. With Kafka configured, the rows are
    stored later, and the response shows what a check of the first rows finds.
    """
    ingest = partial(access.app.ingestion.ingest_samples, access.org, version_id)
    result = _log(access, RowTarget(access.org, RowKind.SAMPLES, version_id), body, ingest)
    return _respond(request, access, RowKind.SAMPLES, result)


@router.put("/model/{model_id}/labels", response_model=IntakeResult, openapi_extra=LABELS)
def labels(request: Request, access: Ingester, model_id: int, body: Body) -> Response:
    """Log labels: a JSON array of {"_dc_sample_id", "_dc_label"}. The label that was logged last wins.

    The response is that of samples; `waiting` counts labels whose sample is not stored yet.
    """
    ingest = partial(access.app.ingestion.ingest_labels, access.org, model_id)
    result = _log(access, RowTarget(access.org, RowKind.LABELS, model_id), body, ingest)
    return _respond(request, access, RowKind.LABELS, result)


def _log(access: Access, target: RowTarget, body: bytes, ingest: Callable[[Rows], IntakeResult]) -> IntakeResult:
    """Ingest the rows of a body within the limits of the organization. Raises NotFound, OverLimit or TooLarge."""
    access.app.admission_cache.require_target(target, access.bearer.member)
    rows = _split(body)
    with access.metered(target.kind, rows, len(body)):
        return ingest(rows)


def _respond(request: Request, access: Access, kind: RowKind, result: IntakeResult) -> Response:
    """Count the rows in the metrics, and return the response."""
    request.app.state.metrics.count_rows(access.org.name, kind, result.counts)
    return Response(msgspec.json.encode(result), media_type="application/json")


def _split(body: bytes) -> Rows:
    """Split a body into rows. Raises InvalidInput if it has none, Unprocessable if it is no JSON array of objects.

    A large body is not split here: decoding its rows also shows whether it is a JSON array. If some items are
    objects, the others are quarantined: a bad row never fails its request.
    """
    if len(body) > MIN_UNSPLIT_BYTES and body[:2] == b"[{" and body[-1:] == b"]":
        return raw_rows.RowArray(memoryview(body))
    rows = raw_rows.split_rows(body)
    if not rows:
        raise errors.InvalidInput("The JSON array is empty. Send at least one row.")
    if not any(bytes(memoryview(row)[:1]) == b"{" for row in rows):
        raise errors.Unprocessable("The JSON array has no object. Send each row as an object.")
    return rows

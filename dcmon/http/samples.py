"""Routes that log samples and labels. They respond after the commit, or after the broker's acknowledgement."""

from collections.abc import Callable, Sequence
from functools import partial

from fastapi import APIRouter, Response

from dcmon import errors
from dcmon.http.auth import Access, AuthenticatedIngest, Body
from dcmon.ingestion import raw_rows
from dcmon.states import RowKind

MIN_UNSPLIT_BYTES = 100_000  # a larger body is not split before its rows are decoded
Rows = Sequence[raw_rows.Raw]
router = APIRouter(tags=["samples and labels"])


@router.post("/model-versions/{version_id}/data")
def samples(access: AuthenticatedIngest, version_id: int, body: Body) -> Response:
    """Log samples: a JSON array of objects. A row that can't be stored is quarantined; it never fails the request."""
    access.app.admission_cache.require_version(access.org, version_id)
    return _log(access, RowKind.SAMPLES, body, partial(access.app.ingestion.ingest_samples, access.org, version_id))


@router.put("/model/{model_id}/labels")
def labels(access: AuthenticatedIngest, model_id: int, body: Body) -> Response:
    """Log labels: a JSON array of {"_dc_sample_id", "_dc_label"}. The label that was logged last wins."""
    access.app.admission_cache.require_model(access.org, model_id)
    return _log(access, RowKind.LABELS, body, partial(access.app.ingestion.ingest_labels, access.org, model_id))


def _log(access: Access, kind: RowKind, body: bytes, ingest: Callable[[Rows], None]) -> Response:
    """Ingest the rows of a body within the limits of the organization. Raises OverLimit or TooLarge."""
    rows = _split(body)
    with access.metered(kind, rows, len(body)):
        ingest(rows)
    return Response()


def _split(body: bytes) -> Rows:
    """Split a body into rows. Raises InvalidInput if it is empty or not a JSON array.

    A large body is not split here: decoding its rows also shows whether it is a JSON array.
    """
    if len(body) > MIN_UNSPLIT_BYTES and body[:2] == b"[{" and body[-1:] == b"]":
        return raw_rows.RowArray(memoryview(body))
    rows = raw_rows.split_rows(body)
    if not rows:
        raise errors.InvalidInput("The JSON array is empty. Send at least one row.")
    return rows

"""Routes that samples and labels come in by. A 2xx is given after the commit, or after the broker's acknowledgement."""

from collections.abc import Sequence

from fastapi import APIRouter, Response

from dcmon import errors
from dcmon.http.auth import Body, Logs
from dcmon.ingestion import raw_rows

LARGE = 100_000  # bytes
router = APIRouter(tags=["samples and labels"])


@router.post("/model-versions/{version_id}/data")
def samples(asks: Logs, version_id: int, body: Body) -> Response:
    """Log samples: a JSON array of objects. A row that can't be stored is quarantined; it never fails the request."""
    asks.app.admission_cache.require_version(asks.org, version_id)
    given = _rows(body)
    with asks.counting("samples", given, len(body)):
        asks.app.ingestion.ingest_samples(asks.org, version_id, given)
    return Response()


@router.put("/model/{model_id}/labels")
def labels(asks: Logs, model_id: int, body: Body) -> Response:
    """Log labels: a JSON array of {"_dc_sample_id", "_dc_label"}. The last one by logging time wins."""
    asks.app.admission_cache.require_model(asks.org, model_id)
    given = _rows(body)
    with asks.counting("labels", given, len(body)):
        asks.app.ingestion.ingest_labels(asks.org, model_id, given)
    return Response()


def _rows(body: bytes) -> Sequence[raw_rows.Raw]:
    """The rows of a body. A large one is not split before it is decoded, which says whether it is an array at all."""
    if len(body) > LARGE and body[:2] == b"[{" and body[-1:] == b"]":
        return raw_rows.RowArray(memoryview(body))
    found = raw_rows.split_rows(body)
    if not found:
        raise errors.InvalidInput("The list is empty: there is nothing to log.")
    return found

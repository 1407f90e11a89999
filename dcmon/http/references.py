"""The route that a reference comes in by."""

from fastapi import APIRouter, Response, UploadFile

from dcmon import references, versions
from dcmon.http.access import Asks

router = APIRouter(tags=["reference"])


@router.post("/model-versions/{version_id}/reference")
def upload(asks: Asks, version_id: int, batch: UploadFile) -> Response:
    """Append rows to the reference: a file in pandas' "split" JSON. All of them are stored, or none."""
    document = batch.file.read()
    with asks.session() as session:
        references.take(session, *versions.get(session, version_id), document)
    return Response()

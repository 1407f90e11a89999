"""The route that a reference comes in by."""

import mmap
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from dcmon import errors
from dcmon.http.auth import Asks, bounded
from dcmon.ingestion import reference_loading
from dcmon.ingestion.reference_loading import Document, LoadOptions
from dcmon.monitoring import lifecycle
from dcmon.storage import versions

router = APIRouter(tags=["reference"])
SMALL = 1_000_000  # bytes; what is larger lies in a temporary file
FORM = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["batch"],
                "properties": {"batch": {"type": "string", "format": "binary"}},
            }
        }
    },
}


async def document(request: Request, asks: Asks) -> AsyncIterator[Document]:
    """File "batch" of a form, read after the token, with a bound; a large one is mapped, not copied into memory.

    Raises TooLarge or InvalidInput.
    """
    largest = asks.app.settings.http.max_body_bytes
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise errors.InvalidInput('A reference is sent as multipart/form-data, in a file field "batch".')
    try:
        form = await MultiPartParser(request.headers, bounded(request, largest), max_files=1, max_fields=1).parse()
    except (MultiPartException, KeyError) as error:
        raise errors.InvalidInput(f"The form can't be read: {error}") from error
    try:
        batch = form.get("batch")
        if not isinstance(batch, UploadFile):
            raise errors.InvalidInput('The form has no file "batch".')
        yield _mapped(batch)
    finally:
        await form.close()


def _mapped(batch: UploadFile) -> Document:
    if (batch.size or 0) <= SMALL:
        return batch.file.read()
    return mmap.mmap(batch.file.fileno(), 0, access=mmap.ACCESS_READ)


@router.post("/model-versions/{version_id}/reference", openapi_extra={"requestBody": FORM})
def upload(
    asks: Asks, version_id: int, batch: Annotated[Document, Depends(document)], replace: bool = False
) -> dict[str, int]:
    """Append rows to the reference, or replace it: a file in pandas' "split" JSON. All are stored, or none."""
    table, largest = reference_loading.split_document(batch), asks.app.settings.reference.largest
    with asks.session() as session:
        done = lifecycle.load_reference(
            session, *versions.get(session, version_id), table, LoadOptions(replace, largest), asks.org.retention
        )
    asks.enqueue()
    return {"rows": done.stored, "reference_count": done.total, "reference_revision": done.revision}

"""The route that uploads a reference."""

import mmap
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from dcmon import errors
from dcmon.http.auth import Writer
from dcmon.http.bodies import read_bounded, reads_rows
from dcmon.ingestion import reference_loading
from dcmon.ingestion.reference_loading import Document, LoadOptions
from dcmon.monitoring import lifecycle
from dcmon.storage import versions

router = APIRouter(tags=["reference"])
MAX_BYTES_IN_MEMORY = 1_000_000  # a larger form field is in a temporary file
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


class LoadedReference(BaseModel):
    """The rows of the request, all of which are stored, and the rows and the revision of the reference now."""

    received: int
    stored: int
    rows: int
    reference_count: int
    reference_revision: int


@reads_rows
async def read_document(request: Request, access: Writer) -> AsyncIterator[Document]:
    """Yield the file "batch" of a form. Raises TooLarge or InvalidInput.

    The form is read only after authentication. A large file is mapped into memory, not copied.
    """
    max_bytes = access.app.settings.http.max_body_bytes
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise errors.Unprocessable('Send a reference as multipart/form-data, in a file field "batch".')
    parser = MultiPartParser(request.headers, read_bounded(request, max_bytes), max_files=1, max_fields=1)
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        raise errors.Unprocessable(f"The form can't be read: {error}") from error
    try:
        batch = form.get("batch")
        if not isinstance(batch, UploadFile):
            raise errors.Unprocessable('The form has no file "batch".')
        yield _content(batch)
    finally:
        await form.close()
        for file in parser._files_to_close_on_error:  # also that of a part without end, which the form does not have
            file.close()


def _content(batch: UploadFile) -> Document:
    if (batch.size or 0) <= MAX_BYTES_IN_MEMORY:
        return batch.file.read()
    return mmap.mmap(batch.file.fileno(), 0, access=mmap.ACCESS_READ)


@router.post("/model-versions/{version_id}/reference", openapi_extra={"requestBody": FORM})
def upload(
    access: Writer, version_id: int, batch: Annotated[Document, Depends(read_document)], replace: bool = False
) -> LoadedReference:
    """Append rows to the reference, or replace it: a file in pandas' "split" JSON. All rows are stored, or none.

    An error 400 counts the rows that can't be stored by reason, and shows the first of each reason with its value.
    """
    table, max_rows = reference_loading.split_document(batch), access.app.settings.reference.largest
    with access.session() as session:
        load = lifecycle.load_reference(
            session, *versions.get(session, version_id), table, LoadOptions(replace, max_rows), access.org.retention
        )
    access.enqueue()
    return LoadedReference(
        received=load.stored, stored=load.stored, rows=load.stored, reference_count=load.total,
        reference_revision=load.revision,
    )  # fmt: skip

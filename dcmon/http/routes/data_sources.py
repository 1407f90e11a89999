"""Routes of the old system's data sources: the organization's own keys of object stores."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from dcmon.http.auth import Administrator
from dcmon.http.fields import CreatedView
from dcmon.http.paging import Paged
from dcmon.ingestion.files import model_path, store_keys

router = APIRouter(tags=["data sources"])
Parameter = Annotated[str, Field(max_length=1000)]


class KeysBody(BaseModel):
    """Keys of an object store. type: s3. parameters: aws_access_key_id, aws_secret_access_key and region.

    A key that is sent as GET shows it stays as it is.
    """

    type: str = Field(max_length=200)
    parameters: dict[str, Parameter] = Field(max_length=50)


class KeysView(BaseModel):
    """Keys of an object store. They are masked: the last four characters of the id are shown, and the region."""

    id: int
    type: str
    parameters: dict[str, str]


@router.get("/data-sources", response_model=list[KeysView])
def entries(access: Administrator, page: Paged) -> list[dict[str, Any]]:
    """List the organization's own keys of object stores, masked. There is at most one entry, of type s3."""
    with access.session() as session:
        return [store_keys.describe(stored) for stored in page.of(store_keys.entries(session))]


@router.put("/data-sources", responses={503: {}})
def put(access: Administrator, body: KeysBody, check: bool = True) -> CreatedView:
    """Set the organization's own keys of S3, in place of those that it has. Its sources are read with them.

    The object store is asked whether it knows them: 400 if not, 503 if it can't be reached. `check=false`: it is not
    asked. Models with an obj_store_path are watched from now on.
    """
    with access.session() as session:
        keys = store_keys.parse(session, body.type, body.parameters)
    if check:
        store_keys.require_known(keys, access.app.settings.s3)
    with access.session() as session:
        stored = store_keys.put(session, keys)
        model_path.watch_unwatched(session)
        return CreatedView(id=stored.id)


@router.delete("/data-sources/{source_id}")
def delete(access: Administrator, source_id: int) -> None:
    """Delete keys. Sources of models' paths can't be read without; others are read with the keys of the worker."""
    with access.session() as session:
        store_keys.delete(session, source_id)

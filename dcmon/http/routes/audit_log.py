"""The route of the log of changes."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from dcmon.http.auth import Administrator
from dcmon.http.fields import Time
from dcmon.tenancy import audit_log
from dcmon.tenancy.audit_log import EntryFilter

router = APIRouter(tags=["organization"])

Text = Annotated[str | None, Field(max_length=1024)]


class EntryQuery(BaseModel):
    """Which changes to list: from `since`, before `until`. `object`: an id or a name."""

    since: Time | None = None
    until: Time | None = None
    author: Text = None
    kind: Text = None
    object: Text = None
    request_id: Text = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    before: Text = None


class EntryView(BaseModel):
    """A change. author: of the change; via: http, cli, job or sql. before, after: the fields of the object; null if it
    did not exist. Secrets in them are masked.
    """

    id: str
    at: datetime
    author: str
    via: str
    address: str | None
    token: str | None
    request_id: str | None
    action: str
    kind: str
    object_id: str | None
    name: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class EntriesView(BaseModel):
    """A page of entries, the newest first. next: what to send as `before` for the older ones; null after the last."""

    entries: list[EntryView]
    next: str | None


@router.get("/audit-log", response_model=EntriesView)
def entries(access: Administrator, query: Annotated[EntryQuery, Query()]) -> dict[str, Any]:
    """List who changed what, the newest first. Send `next` of the response as `before` to get the older entries."""
    wanted = EntryFilter(**query.model_dump(exclude={"limit", "before"}))
    page = audit_log.entries(access.app.engine, access.org, wanted, limit=query.limit, before=query.before)
    return {"entries": page.entries, "next": page.next}

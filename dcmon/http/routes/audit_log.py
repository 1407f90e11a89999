"""The route of the log of changes."""

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


@router.get("/audit-log")
def entries(access: Administrator, query: Annotated[EntryQuery, Query()]) -> dict[str, Any]:
    """List who changed what, the newest first. Send `next` of the response as `before` to get the older entries."""
    wanted = EntryFilter(**query.model_dump(exclude={"limit", "before"}))
    page = audit_log.entries(access.app.engine, access.org, wanted, limit=query.limit, before=query.before)
    return {"entries": page.entries, "next": page.next}

"""Routes of the dashboard, which holds the monitors that the SDK shows."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from dcmon import errors
from dcmon.http.auth import Reader, Writer
from dcmon.http.routes import monitors
from dcmon.monitoring import dashboards

router = APIRouter(tags=["dashboards"])


class DashboardChange(BaseModel):
    """The name of a dashboard; null removes it."""

    name: Annotated[str, Field(min_length=1, max_length=50)] | None = None


class DashboardView(BaseModel):
    """A dashboard with its monitors, each as GET /monitors/{id} returns it."""

    id: int
    name: str | None
    monitors: list[monitors.MonitorView]


@router.get("/dashboards", response_model=DashboardView)
def show(access: Reader) -> dict[str, Any]:
    """Show the organization's dashboard; create it at the first call."""
    with access.session() as session:
        board = dashboards.get_or_create(session)
        entries = dashboards.monitors_on(session, board)
        shown = [monitors.describe(session, monitor, check) for monitor, check in entries]
        return {"id": board.id, "name": board.name, "monitors": shown}


@router.put("/dashboards/{dashboard_id}")
def change(access: Writer, dashboard_id: int, body: DashboardChange) -> None:
    """Rename a dashboard."""
    with access.session() as session:
        board = dashboards.get(session, dashboard_id)
        if "name" in body.model_fields_set:
            board.name = body.name


@router.delete("/dashboards/{dashboard_id}")
def delete(access: Writer, dashboard_id: int) -> None:
    """Delete a dashboard. Its monitors stay, without a dashboard; the next GET creates an empty one.

    Who does not see all models can't: it would take the monitors of other models from the dashboard.
    """
    if access.bearer.member is not None:
        raise errors.NotAllowed(
            "The dashboard may have monitors of models that you are no member of. Ask an administrator to delete it."
        )
    with access.session() as session:
        dashboards.delete(session, dashboards.get(session, dashboard_id))

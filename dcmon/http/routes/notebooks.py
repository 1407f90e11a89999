"""Routes that return a notebook: a check with deepchecks, on the rows that dcmon has."""

from collections.abc import Callable

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from pydantic import Field
from sqlalchemy.orm import Session

from dcmon.http.auth import Access, Reader
from dcmon.http.routes.check_runs import Id
from dcmon.http.routes.run_models import SpanBody, WindowBody
from dcmon.monitoring import ad_hoc_monitors, notebook_cells, notebooks
from dcmon.monitoring.ad_hoc_monitors import AdHocMonitor
from dcmon.monitoring.notebooks import NotebookRequest

router = APIRouter(tags=["notebooks"])
VersionId = Field(None, ge=1, le=2**31 - 1, description="The version; null for the one with the newest sample.")
AsScript = Field(False, description="Return a Python script in place of a Jupyter notebook.")


class CheckNotebookBody(WindowBody):
    """Rows with a time in [start_time, end_time), and what to compute of them."""

    model_version_id: int | None = VersionId
    as_script: bool = AsScript


class MonitorNotebookBody(SpanBody):
    """Rows with a time in [start_time, end_time). Filters and choices are those of the monitor."""

    model_version_id: int | None = VersionId
    as_script: bool = AsScript


@router.post("/checks/{check_id}/get-notebook", response_class=PlainTextResponse)
def of_check(access: Reader, check_id: Id, body: CheckNotebookBody) -> PlainTextResponse:
    """Return a notebook (JSON of Jupyter) or script that runs a check with the SDK and deepchecks."""
    spec = body.to_spec()
    return _response(access, body, lambda session: ad_hoc_monitors.of_check(session, check_id, spec))


@router.post("/monitors/{monitor_id}/get-notebook", response_class=PlainTextResponse)
def of_monitor(access: Reader, monitor_id: Id, body: MonitorNotebookBody) -> PlainTextResponse:
    """Return a notebook or script that runs the check of a monitor, with its filters and choices."""
    return _response(access, body, lambda session: ad_hoc_monitors.of_monitor(session, monitor_id))


def _response(
    access: Access, body: CheckNotebookBody | MonitorNotebookBody, read: Callable[[Session], AdHocMonitor]
) -> PlainTextResponse:
    settings = access.app.settings
    request = NotebookRequest(
        settings.url, body.model_version_id, body.span, settings.evaluate.sample_size, body.as_script
    )
    with access.session() as session:
        cells = notebooks.cells(session, read(session), request)
    return PlainTextResponse(notebook_cells.as_script(cells) if body.as_script else notebook_cells.as_ipynb(cells))

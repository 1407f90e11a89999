"""Routes that show a check as plots and tables, and the report of the production suite, by deepchecks."""

import gzip
from typing import Any, Literal

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from dcmon.http import computing
from dcmon.http.auth import Reader
from dcmon.http.responses import ErrorResponse
from dcmon.http.routes.check_runs import Id
from dcmon.http.routes.run_models import WindowBody
from dcmon.monitoring import ad_hoc_monitors, displays
from dcmon.monitoring.ad_hoc_runs import Computer
from dcmon.monitoring.displays import DisplayRequest

MISSING: dict[int | str, dict[str, Any]] = {
    501: {"model": ErrorResponse, "description": "deepchecks is not installed where the endpoint runs."}
}
router = APIRouter(tags=["displays"], responses=MISSING)
# The page runs scripts that it has itself, and loads nothing. As a document of no origin it can't act for a user.
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline';"
    " img-src data: blob:; font-src data:; frame-ancestors 'none'"
)
GZIP_LEVEL = 6


class PictureShown(BaseModel):
    """A plot of plotly, or the rows of a table. data: JSON of a figure, or of a list of objects."""

    type: Literal["plotly", "table"]
    data: str


@router.post("/checks/{check_id}/display/{model_version_id}", response_model=list[PictureShown])
async def display(access: Reader, request: Request, check_id: Id, model_version_id: Id, body: WindowBody) -> Response:
    """Return what deepchecks shows of a check on the rows of a version: plots and tables.

    The scores of SingleDatasetPerformance are shown as a confusion matrix, or as the distribution of errors.
    """
    spec, wanted = body.to_spec(), DisplayRequest(model_version_id, body.span)

    def work(computer: Computer) -> bytes:
        with access.session(snapshot=True) as session:
            ad_hoc = ad_hoc_monitors.of_check(session, check_id, spec)
            prepared = displays.prepare_check(session, access.org, ad_hoc, wanted, computer)
        return msgspec.json.encode([picture._asdict() for picture in prepared.pictures(computer)])

    return Response(await computing.of(request).run(request, work), media_type="application/json")


@router.post("/model-versions/{model_version_id}/suite-run", response_class=HTMLResponse)
async def suite_run(access: Reader, request: Request, model_version_id: Id, body: WindowBody) -> Response:
    """Return the report of deepchecks' production suite as one HTML file, which needs no network."""
    spec, wanted = body.to_spec(), DisplayRequest(model_version_id, body.span)
    is_gzip = "gzip" in request.headers.get("accept-encoding", "")

    def work(computer: Computer) -> bytes:
        with access.session(snapshot=True) as session:
            prepared = displays.prepare_suite(session, access.org, spec, wanted, computer)
        (report,) = prepared.pictures(computer)
        page = report.data.encode(errors="replace")
        # Compressed in this thread: the middleware would hold up all other requests for a tenth of a second.
        return gzip.compress(page, GZIP_LEVEL) if is_gzip else page

    headers = {"content-security-policy": REPORT_POLICY, "vary": "Accept-Encoding"}
    content = await computing.of(request).run_long(request, work)
    return HTMLResponse(content, headers=headers | ({"content-encoding": "gzip"} if is_gzip else {}))

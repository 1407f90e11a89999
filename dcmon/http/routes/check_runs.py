"""Routes that return the values of a check or monitor: stored ones, or computed for the request."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dcmon.http import computing
from dcmon.http.auth import Access, Reader
from dcmon.http.routes.run_models import (
    MAX_TEXT,
    DetailedGroup,
    DetailedValues,
    GroupShown,
    InfoResponse,
    LookbackBody,
    LookbackResponse,
    MonitorRunBody,
    RunBody,
    Values,
    WindowBody,
    groups_response,
    info_response,
    lookback_response,
    values_response,
)
from dcmon.monitoring import ad_hoc_monitors, ad_hoc_runs, check_choices, drill_down, lookback_windows, model_checks
from dcmon.monitoring.ad_hoc_monitors import AdHocMonitor
from dcmon.monitoring.ad_hoc_runs import Computer, Lookback, TimeSpan
from dcmon.monitoring.drill_down import GroupsRequest, GroupValue

router = APIRouter(tags=["values"])
Id = Annotated[int, Path(ge=1, le=2**31 - 1)]


@dataclass(frozen=True)
class GroupsPath:
    """A version, and the column whose values make the groups."""

    model_version_id: Id
    feature: Annotated[str, Path(max_length=MAX_TEXT)]


Details = Annotated[bool, Query(description="Return {output, details} in place of output alone.")]


@router.get("/checks/{check_id}/info")
def info(access: Reader, check_id: Id) -> InfoResponse:
    """Show what additional_kwargs of a check can have. Each name is accepted as it is shown."""
    with access.session() as session:
        return info_response(check_choices.of_check(session, model_checks.get_check(session, check_id)))


@router.post("/checks/{check_id}/run/lookback", response_model=LookbackResponse)
async def run_lookback(access: Reader, request: Request, check_id: Id, body: LookbackBody) -> Response:
    """Return the values of a check in the last windows of a range: stored results, else computed."""
    frequency = body.frequency or lookback_windows.frequency_of_range(*body.span)
    spec = body.to_spec(frequency, max(1, body.aggregation_window))
    return await _lookback(
        access, request, lambda session: (ad_hoc_monitors.of_check(session, check_id, spec), body.span)
    )


@router.post("/monitors/{monitor_id}/run", response_model=LookbackResponse)
async def run_monitor(access: Reader, request: Request, monitor_id: Id, body: MonitorRunBody | None = None) -> Response:
    """Return the values of a monitor in the windows of its lookback: stored results, else computed.

    Computed values are not stored.
    """
    end = (body and body.end_time) or datetime.now(UTC)

    def read(session: Session) -> tuple[AdHocMonitor, TimeSpan]:
        ad_hoc = ad_hoc_monitors.of_monitor(session, monitor_id)
        return ad_hoc, TimeSpan(ad_hoc_runs.lookback_start(ad_hoc, end), end)

    return await _lookback(access, request, read)


@router.post("/checks/{check_id}/run/window")
async def run_window(
    access: Reader, request: Request, check_id: Id, body: WindowBody, details: Details = False
) -> Values | DetailedValues:
    """Return the value of each version in one window; null for a version without one."""
    spec = body.to_spec()

    def work(computer: Computer) -> Any:
        with access.session(snapshot=True) as session:
            ad_hoc = ad_hoc_monitors.of_check(session, check_id, spec)
            return ad_hoc_runs.window_values(session, access.org, ad_hoc, body.span, computer)

    return values_response(await computing.of(request).run(request, work), details)


@router.post("/checks/{check_id}/run/reference")
async def run_reference(
    access: Reader, request: Request, check_id: Id, body: RunBody | None = None, details: Details = False
) -> Values | DetailedValues:
    """Return the value of each version's reference; versions without a reference are left out."""
    spec, max_rows = (body or RunBody()).to_spec(), access.app.settings.reference.largest

    def work(computer: Computer) -> Any:
        with access.session(snapshot=True) as session:
            ad_hoc = ad_hoc_monitors.of_check(session, check_id, spec)
            return ad_hoc_runs.reference_values(session, access.org, ad_hoc, max_rows, computer)

    return values_response(await computing.of(request).run(request, work), details)


@router.post("/checks/{check_id}/group-by/{model_version_id}/{feature:path}")
async def group_by(
    access: Reader,
    request: Request,
    check_id: Id,
    groups: Annotated[GroupsPath, Depends()],
    body: WindowBody,
    details: Details = False,
) -> list[GroupShown] | list[DetailedGroup]:
    """Return the value of a check on all rows of a window, then on groups by the values of a column."""
    spec = body.to_spec()

    def work(computer: Computer) -> list[GroupValue]:
        with access.session(snapshot=True) as session:
            ad_hoc = ad_hoc_monitors.of_check(session, check_id, spec)
            wanted = GroupsRequest(groups.model_version_id, body.span, groups.feature)
            return drill_down.values(session, access.org, ad_hoc, wanted, computer)

    return groups_response(await computing.of(request).run(request, work), details)


async def _lookback(
    access: Access, request: Request, read: Callable[[Session], tuple[AdHocMonitor, TimeSpan]]
) -> Response:
    """Return the values of a lookback. Only if some must be computed, the request waits for other computations."""
    seconds = access.app.settings.http.computation_time.total_seconds()

    def work(computer: Computer | None) -> Lookback | None:
        with access.session(snapshot=True) as session:
            computing.limit_statements(session, seconds)
            ad_hoc, span = read(session)
            return ad_hoc_runs.lookback(session, access.org, ad_hoc, span, computer)

    try:
        lookback = await run_in_threadpool(work, None)
    except DBAPIError as error:
        raise computing.translated(error, seconds) from error
    if lookback is None:
        lookback = await computing.of(request).run(request, work)
    assert lookback is not None, "a computer computes what is not stored"
    # Encoded at once: FastAPI would validate the response again, which costs as much as all statements.
    return Response(lookback_response(lookback).model_dump_json(), media_type="application/json")

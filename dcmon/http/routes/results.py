"""Routes of the stored results of monitors."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel

from dcmon.db.tables.org import Model, Result
from dcmon.http.auth import Reader
from dcmon.http.routes.run_models import CalendarTime, WindowTimes
from dcmon.monitoring import model_checks, monitor_views, monitors, result_pages
from dcmon.monitoring.result_pages import ResultQuery
from dcmon.states import ResultState
from dcmon.storage import versions

router = APIRouter(tags=["values"])
Id = Annotated[int, Path(ge=1, le=2**31 - 1)]
MAX_PAGE = 1_000


class ComparedShown(BaseModel):
    """The earlier window that was compared with in place of the reference, and its number of rows."""

    start: str
    end: str
    n: int


class ResultShown(BaseModel):
    """A stored result: the value of a monitor in a window of a version.

    revision: of the result; it grows when the window is evaluated again. entries: what drives the metrics, by feature
    or class. intervals: [low, high] at 95 %. noise: the drift that 95 of 100 windows without drift do not exceed.
    how: from how many rows, and by which statistics.
    """

    id: int
    monitor_id: int
    version_id: int
    version: str
    window: WindowTimes
    revision: int
    state: ResultState
    metrics: dict[str, float]
    entries: dict[str, float]
    intervals: dict[str, list[float]] | None
    noise: dict[str, float] | None
    reason: str | None
    n: int
    n_rows: int
    n_labelled: int
    reference_revision: int
    monitor_revision: int
    compared: ComparedShown | None
    computed_at: str
    seconds: float
    how: dict[str, Any]


class ResultsResponse(BaseModel):
    """A page of results, the newest window first. next_cursor: the cursor of the next page; null after the last."""

    results: list[ResultShown]
    next_cursor: str | None


class PageQuery(BaseModel):
    """Which results to return.

    start, end: of windows that end later than start, and at end or before. version: a name. all_revisions: also results
    that newer ones have replaced.
    """

    start: CalendarTime | None = None
    end: CalendarTime | None = None
    version: Annotated[str, Query(max_length=200)] | None = None
    all_revisions: bool = False
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100
    cursor: Annotated[str, Query(max_length=100)] | None = None


@router.get("/monitors/{monitor_id}/results")
def entries(access: Reader, monitor_id: Id, query: Annotated[PageQuery, Query()]) -> ResultsResponse:
    """List the stored results of a monitor, in pages."""
    with access.session(snapshot=True) as session:
        monitor = monitors.get(session, monitor_id)
        version_id = None
        if query.version is not None:
            check = model_checks.get_check(session, monitor.check_id)
            version_id = versions.find(session, session.get_one(Model, check.model_id), query.version).id
        wanted = ResultQuery(query.limit, query.start, query.end, version_id, query.all_revisions, query.cursor)
        page, names = result_pages.read(session, monitor, wanted), monitor_views.version_names(session)
        return ResultsResponse(
            results=[_shown(result, names[result.version_id]) for result in page.results],
            next_cursor=page.next_cursor,
        )


def _shown(result: Result, version: str) -> ResultShown:
    compared_start: datetime | None = result.compared_start
    compared = None
    if compared_start is not None and result.compared_end is not None:
        compared = ComparedShown(
            start=compared_start.isoformat(), end=result.compared_end.isoformat(), n=result.compared_n
        )
    return ResultShown(
        **{name: getattr(result, name) for name in ResultShown.model_fields if name not in _OTHER_FIELDS},
        version=version,
        window=WindowTimes(start=result.window_start.isoformat(), end=result.window_end.isoformat()),
        compared=compared,
        computed_at=result.computed_at.isoformat(),
        seconds=result.duration.total_seconds(),
    )


_OTHER_FIELDS = ("version", "window", "compared", "computed_at", "seconds")  # that are no columns of a result

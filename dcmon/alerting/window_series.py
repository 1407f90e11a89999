"""Read the series of results that rules judge: those of all rules of a window in one statement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    DateTime,
    FromClause,
    Integer,
    Select,
    and_,
    func,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session, aliased

from dcmon.alerting.state_machine import WindowResult
from dcmon.db import bulk
from dcmon.db.tables.org import Baseline, Monitor, Result

REQUEST_TYPES = {
    "monitor_id": Integer(),
    "version_id": Integer(),
    "anchor": DateTime(timezone=True),
    "lead": Integer(),
    "reads_on": Boolean(),
    "with_baselines": Boolean(),
}


@dataclass(frozen=True)
class SeriesRequest:
    """The newest results of a monitor on a version, one for each window.

    `lead`: how many windows before `anchor` are read. `reads_on`: True to read also all windows from `anchor` on.
    `with_baselines`: True to read the values on the reference that belong to the results.
    """

    monitor_id: int
    version_id: int
    anchor: datetime
    lead: int
    reads_on: bool = True
    with_baselines: bool = False

    @property
    def source(self) -> "SeriesRequest":
        """The request without the options that may differ between rules that read the same results."""
        return replace(self, lead=0, with_baselines=False)


@dataclass(frozen=True)
class Series:
    """Results before the anchor and from it on, oldest first, and the values on the reference that belong to them."""

    before: Sequence[Result]
    following: Sequence[Result]
    baselines: Mapping[tuple[int, int], Mapping[str, float]]

    def reference(self, result: WindowResult) -> Mapping[str, float]:
        """Return the values on the reference with which a result was evaluated; empty where they are not known."""
        assert isinstance(result, Result)
        return self.baselines.get((result.reference_revision, result.monitor_revision), {})


def is_current_revision() -> ColumnElement[bool]:
    """Match results of the monitor's current revision.

    Results of earlier revisions have other windows or values, and are not judged.
    """
    return Result.monitor_revision == Monitor.revision


def read(session: Session, requests: Sequence[SeriesRequest]) -> list[Series]:
    """Read the series of all requests. Rules that judge the same results share them."""
    shared: dict[SeriesRequest, SeriesRequest] = {}
    for request in requests:
        known = shared.get(request.source, request)
        shared[request.source] = replace(
            known,
            lead=max(known.lead, request.lead),
            with_baselines=known.with_baselines or request.with_baselines,
        )
    series = dict(zip(shared, _read_series(session, list(shared.values())), strict=True))
    return [_with_lead(series[request.source], request.lead) for request in requests]


def _with_lead(series: Series, lead: int) -> Series:
    return replace(series, before=series.before[-lead:] if lead else [])


def _read_series(session: Session, requests: Sequence[SeriesRequest]) -> list[Series]:
    if not requests:
        return []
    results: list[list[Result]] = [[] for _ in requests]
    baselines: list[dict[tuple[int, int], Mapping[str, float]]] = [{} for _ in requests]
    for position, result, entries, metrics in session.execute(
        _series_statement(), bulk.parameters([vars(request) for request in requests])
    ):
        results[position - 1].append(result)
        if metrics is not None:
            key = (result.reference_revision, result.monitor_revision)
            baselines[position - 1][key] = {**entries, **metrics}
    return [
        _split(request.anchor, of_request, known)
        for request, of_request, known in zip(requests, results, baselines, strict=True)
    ]


@cache
def _series_statement() -> Select[Any]:
    """Return the statement that reads all series; it is built once, because that costs more than to run it."""
    given = bulk.given_rows(REQUEST_TYPES)
    newest = aliased(Result, _newest_results(given))
    belongs = and_(
        given.c.with_baselines, Baseline.monitor_id == newest.monitor_id, Baseline.version_id == newest.version_id,
        Baseline.reference_revision == newest.reference_revision,
        Baseline.monitor_revision == newest.monitor_revision,
    )  # fmt: skip
    return (
        select(given.c[bulk.POSITION], newest, Baseline.entries, Baseline.metrics)
        .select_from(given)
        .join(newest, true())
        .outerjoin(Baseline, belongs)
        .order_by(given.c[bulk.POSITION], newest.window_end)
    )


def _split(
    anchor: datetime, results: Sequence[Result], baselines: Mapping[tuple[int, int], Mapping[str, float]]
) -> Series:
    before = [result for result in results if result.window_end < anchor]
    return Series(before, results[len(before) :], baselines)


def _newest_results(given: FromClause) -> FromClause:
    """Return the newest result of each window that a request reads."""
    is_read = (Result.monitor_id == given.c.monitor_id, Result.version_id == given.c.version_id)
    before_anchor = (
        select(Result.window_end)
        .join(Monitor, Monitor.id == Result.monitor_id)
        .where(*is_read, is_current_revision(), Result.window_end < given.c.anchor)
        .distinct()
        .order_by(Result.window_end.desc())
        .limit(given.c.lead)
        .correlate(given)
        .subquery("before_anchor")
    )
    first_end = select(func.min(before_anchor.c.window_end)).scalar_subquery()
    return (
        select(Result)
        .join(Monitor, Monitor.id == Result.monitor_id)
        .where(
            *is_read, is_current_revision(), Result.window_end >= func.coalesce(first_end, given.c.anchor),
            or_(given.c.reads_on, Result.window_end < given.c.anchor),
        )
        .ext(distinct_on(Result.window_end))
        .order_by(Result.window_end, Result.revision.desc())
        .correlate(given)
        .lateral("newest")
    )  # fmt: skip

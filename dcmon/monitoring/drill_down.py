"""The value of a check in groups of the rows of a window, which are made by the values of a column."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.checks import data_flow, no_value_reasons
from dcmon.checks.dataset_schema import CheckValue
from dcmon.checks.no_value_reasons import SideName
from dcmon.checks.workload import CheckRequest, CheckResult, RowsKey
from dcmon.db import Organization
from dcmon.formatting import format_moment
from dcmon.monitoring import ad_hoc_runs, row_loader
from dcmon.monitoring.ad_hoc_monitors import AdHocMonitor
from dcmon.monitoring.ad_hoc_runs import Computer, TimeSpan, WindowValue
from dcmon.monitoring.planner import Plan
from dcmon.states import ResultState
from dcmon.storage import references, row_groups
from dcmon.storage.column_blocks import ColumnarSample
from dcmon.storage.row_groups import RowGroup
from dcmon.storage.sampling import RowSelection
from dcmon.windows import Window

ALL_DATA = "All Data"


@dataclass(frozen=True)
class GroupValue:
    """The value of a check on a group of rows.

    `n`: the number of its rows, or of its labelled rows. `filters`: those that its rows match.
    """

    name: str
    n: int
    filters: dict[str, Any]
    value: WindowValue


@dataclass(frozen=True)
class _Sides:
    """The samples of each group: of the window, and of what it is compared with."""

    current: Sequence[ColumnarSample | None]
    compared: Sequence[ColumnarSample | None]


@dataclass(frozen=True)
class GroupsRequest:
    """The rows of a version in a span of time, and the column whose values make the groups."""

    version_id: int
    span: TimeSpan
    column: str


def values(
    session: Session, org: Organization, ad_hoc: AdHocMonitor, request: GroupsRequest, computer: Computer
) -> list[GroupValue]:
    """Return the value on all rows, then on each group. The rows of all groups are read in one statement.

    Raises NotFound if there are no rows, and InvalidInput for a column that makes no groups.
    """
    if data_flow.is_data_flow(ad_hoc.check):
        raise errors.InvalidInput("DataFlow counts all rows that arrive, so it has no value for groups of rows.")
    computer.wait(session)
    version = ad_hoc.version(session, request.version_id)
    filters, needs_labels = ad_hoc.monitor.data_filters, ad_hoc.check.needs_labels
    plan = ad_hoc_runs.window_plan(session, ad_hoc, version, Window(*request.span))
    check_request = row_loader.request_of(org, plan, computer.settings)
    selection = RowSelection(ad_hoc.model, version, check_request.current.limit, needs_labels, filters)
    grouped = row_groups.of_column(session, plan.window, selection, request.column)
    if not grouped.n:
        what = "labelled samples" if needs_labels else "samples"
        start, end = (f"{format_moment(time)}" for time in request.span)
        raise errors.NotFound(f"Version {version.name!r} has no {what} from {start} to {end} that match.")
    sides = _read(session, plan, selection, check_request, grouped.groups)
    results = _compute(session, org, plan, (check_request, sides, grouped.groups), computer)
    names = [(ALL_DATA, grouped.n, None), *((group.name, group.n, group) for group in grouped.groups)]
    return [
        GroupValue(name, n, row_groups.combined_filters(filters, group), ad_hoc_runs.computed_value(plan, result))
        for (name, n, group), result in zip(names, results, strict=True)
    ]


def _read(
    session: Session, plan: Plan, selection: RowSelection, request: CheckRequest, groups: Sequence[RowGroup]
) -> _Sides:
    features = request.current.features
    current = row_groups.samples(session, plan.window, selection, features, groups)
    compared: list[ColumnarSample | None] = [None] * len(groups)
    n_reference = None
    if request.compared is not None:
        compared = row_groups.reference_samples(session, selection, features, groups)
        n_reference = references.count(session, plan.version)
    return _Sides(
        [sample and replace(sample, n_selected_from=plan.statistics.n) for sample in current],
        [sample and replace(sample, n_selected_from=n_reference) for sample in compared],
    )


def _compute(
    session: Session,
    org: Organization,
    plan: Plan,
    grouped: tuple[CheckRequest, _Sides, Sequence[RowGroup]],
    computer: Computer,
) -> list[CheckResult]:
    """Return the value on all rows, then on each group. The position of a group is the id of its monitor."""
    base, sides, groups = grouped
    assert base.monitor_id == 0, "the monitor of a request is not stored"
    loaded = row_loader.build_workload(session, org, plan, computer.settings, computer.references)
    results = {result.monitor_id: result for result in loaded.known_results}
    requests, rows = list(loaded.workload.requests), dict(loaded.workload.rows)
    for position, (group, current, compared) in enumerate(zip(groups, sides.current, sides.compared, strict=True), 1):
        request = _request(base, group, position)
        if (reason := _no_rows_reason(request, current, compared)) is not None:
            results[position] = CheckResult(position, CheckValue(ResultState.NO_DATA, reason=reason))
            continue
        requests.append(request)
        rows[request.current] = current
        if request.compared is not None:
            rows[request.compared] = compared
    workload = replace(loaded.workload, requests=requests, rows=rows)
    results |= {result.monitor_id: result for result in computer.run_checks(workload)}
    return [results[position] for position in range(len(groups) + 1)]


def _request(base: CheckRequest, group: RowGroup, position: int) -> CheckRequest:
    """Return the request of a group. Its keys are no keys of cached references: they are used once."""

    def key(of: RowsKey) -> RowsKey:
        return replace(of, filters=f"{position} {of.filters} {group.conditions}")

    return replace(base, monitor_id=position, current=key(base.current), compared=base.compared and key(base.compared))


def _no_rows_reason(
    request: CheckRequest, current: ColumnarSample | None, compared: ColumnarSample | None
) -> str | None:
    """Return why the check can't be run on a group; None if it can."""
    if current is None:
        return no_value_reasons.no_row_matches(SideName.WINDOW)
    if request.compared is not None and compared is None:
        return no_value_reasons.no_row_matches(SideName.REFERENCE, labelled=request.compared.labelled)
    return None

"""Read the rows of a planned window, once for all its monitors.

The parent process reads rows and never runs a check; a check worker runs checks and has no access to the database.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.alerting import baselines
from dcmon.checks import data_flow, no_value_reasons
from dcmon.checks.dataset_schema import CheckValue, DatasetSchema, chosen_features
from dcmon.checks.no_value_reasons import SideName
from dcmon.checks.workload import CheckRequest, CheckResult, RowsKey, Workload
from dcmon.db import Organization
from dcmon.db.tables.org import Check, Model, Monitor, Version
from dcmon.formatting import format_moment
from dcmon.monitoring import flow_metrics
from dcmon.monitoring.planner import Plan
from dcmon.monitoring.reference_cache import ReferenceCache
from dcmon.settings import Evaluate
from dcmon.states import ResultState, TaskType
from dcmon.storage import references, sampling
from dcmon.storage.column_blocks import ColumnarSample
from dcmon.storage.sampling import RowSelection
from dcmon.windows import Window

MAX_FEATURES = 100  # of a version with more features, only the features that its checks read are loaded


class LoadedWindow(NamedTuple):
    """The checks to run with their rows, and the results that need no check."""

    workload: Workload
    known_results: list[CheckResult]


@dataclass
class _Loading:
    """What has been loaded for a plan so far."""

    rows: dict[RowsKey, ColumnarSample | None] = field(default_factory=dict)
    requests: list[CheckRequest] = field(default_factory=list)
    known_results: list[CheckResult] = field(default_factory=list)


def build_workload(
    session: Session, org: Organization, plan: Plan, settings: Evaluate, cache: ReferenceCache
) -> LoadedWindow:
    """Read the rows of a plan's monitors.

    Rows of references come from the cache if it has them. A result is known without a check if there are no rows, or if
    the rows can't be read.
    """
    read = partial(_read, session, plan, settings.memory // 4)
    loading = _Loading(known_results=_flow_results(plan))
    requests = _requests(org, plan, settings.sample_size)
    for request in requests:
        try:
            for key in request.keys:
                if key not in loading.rows:
                    loading.rows[key] = cache.get(key, read)
        except errors.InvalidInput as error:  # a filter on a column that this version lacks, or too many rows
            value = CheckValue(ResultState.ERROR, reason=str(error))
            loading.known_results.append(CheckResult(request.monitor_id, value))
            continue
        if (reason := _no_data_reason(plan, request, loading.rows)) is not None:
            rows = loading.rows[request.current]
            value = CheckValue(ResultState.NO_DATA, reason=reason)
            loading.known_results.append(CheckResult(request.monitor_id, value, len(rows) if rows else 0))
        else:
            loading.requests.append(request)
    by_monitor = {request.monitor_id: request for request in requests}
    on_reference = [planned for planned in plan.monitors if planned.monitor.id in plan.with_reference_rules]
    for monitor, check in baselines.missing(session, plan.version, on_reference):
        request = _on_reference(by_monitor[monitor.id], check, plan.version.reference_revision)
        with suppress(errors.InvalidInput):  # a filter on a column that the reference lacks
            loading.rows[request.current] = cache.get(request.current, read)
            loading.requests += [request] if loading.rows[request.current] is not None else []
    is_unbalanced = plan.model.task_type != TaskType.REGRESSION and cache.is_unbalanced(session, org, plan.version)
    schema = replace(dataset_schema(plan), balance_classes=is_unbalanced)
    return LoadedWindow(Workload(schema, loading.requests, loading.rows), loading.known_results)


class LoadedReference(NamedTuple):
    """The request of a monitor's check, and the reference rows that it reads; None if it can read none."""

    request: CheckRequest
    schema: DatasetSchema
    sample: ColumnarSample | None


def load_reference(session: Session, org: Organization, plan: Plan, settings: Evaluate) -> LoadedReference:
    """Read the rows of the reference as a window of the plan's only monitor. Raises InvalidInput."""
    ((_, check),) = plan.monitors
    (request,) = _requests(org, plan, settings.sample_size)
    key = _on_reference(request, check, plan.version.reference_revision).current
    sample = _read(session, plan, settings.memory // 4, key)
    is_classified = plan.model.task_type != TaskType.REGRESSION
    is_unbalanced = is_classified and references.is_unbalanced(session, plan.version)
    return LoadedReference(request, replace(dataset_schema(plan), balance_classes=is_unbalanced), sample)


def request_of(org: Organization, plan: Plan, settings: Evaluate) -> CheckRequest:
    """Return what the check of a plan's only monitor reads."""
    (request,) = _requests(org, plan, settings.sample_size)
    return request


def no_reference_rows_reason(monitor: Monitor, check: Check) -> str:
    """Return why a monitor's check can read no row of the reference itself."""
    if (monitor.data_filters or {}).get("filters"):
        return no_value_reasons.no_row_matches(SideName.REFERENCE, labelled=check.needs_labels)
    return no_value_reasons.no_label(SideName.REFERENCE) if check.needs_labels else no_value_reasons.NO_REFERENCE


def _flow_results(plan: Plan) -> list[CheckResult]:
    """Return the results of monitors that count arriving rows: they read no rows."""
    if plan.flow is None:
        return []
    results = []
    for monitor, check in plan.monitors:
        if data_flow.is_data_flow(check):
            chosen = (monitor.additional_kwargs or {}).get("res_conf")
            value, n = flow_metrics.flow_value(plan.flow, chosen), flow_metrics.n_counted(plan.flow, chosen)
            results.append(CheckResult(monitor.id, value, n))
    return results


def _requests(org: Organization, plan: Plan, limit: int) -> list[CheckRequest]:
    """Return the check requests of the plan's monitors.

    All requests get the same features, so that monitors that read the same rows share them.
    """
    requests = [
        _request(org, plan, monitor, check, row_limit(monitor, limit))
        for monitor, check in plan.monitors
        if not data_flow.is_data_flow(check)
    ]
    features = sorted(plan.version.features)
    if len(features) > MAX_FEATURES:
        used = {name for request in requests for name in request.features}
        features = [name for name in features if name in used]
    return [request.with_features(tuple(features)) for request in requests]


def _on_reference(request: CheckRequest, check: Check, revision: int) -> CheckRequest:
    """Return the same request, for the rows of the reference."""
    rows = replace(request.current, window=None, reference_revision=revision, labelled=check.needs_labels)
    return replace(request, current=rows, compared=None, is_baseline=True)


def _no_data_reason(plan: Plan, request: CheckRequest, rows: Mapping[RowsKey, ColumnarSample | None]) -> str | None:
    """Return why the check can't be run on these rows.

    None when it can be run, or when the check itself says why not.
    """
    if rows[request.current] is None:
        return no_value_reasons.NO_ROWS if not plan.statistics.n else _no_rows_reason(request.current, SideName.WINDOW)
    compared = request.compared
    if compared is None:
        return None
    if compared.window is None:
        return None if rows[compared] is not None else _no_rows_reason(compared, SideName.REFERENCE)
    earlier = next(candidate for candidate in plan.compared.values() if candidate.window == compared.window)
    name = f"{SideName.EARLIER_WINDOW}, {_window_text(compared.window)},"
    if earlier.is_pruned:
        return no_value_reasons.pruned_rows(name)
    if rows[compared] is not None:
        return None
    if not earlier.statistics.n:
        return no_value_reasons.no_compared_rows(name)
    return _no_rows_reason(compared, name)


def _no_rows_reason(key: RowsKey, where: str) -> str | None:
    """Return why no row was read.

    None when the reference has no rows at all: then the check itself says so.
    """
    if key.filters != "null":
        return no_value_reasons.no_row_matches(where, labelled=key.labelled)
    return no_value_reasons.no_label(where) if key.labelled else None


def _window_text(window: Window) -> str:
    return f"{window.start:%Y-%m-%d %H:%M} to {format_moment(window.end)}"


def dataset_schema(plan: Plan) -> DatasetSchema:
    """Return the columns of the plan's version, as a check needs them."""
    return schema_of(plan.model, plan.version)


def schema_of(model: Model, version: Version) -> DatasetSchema:
    """Return the columns of a version, as a check needs them."""
    return DatasetSchema(model.task_type, version.features, version.classes, version.feature_importance)


def _request(org: Organization, plan: Plan, monitor: Monitor, check: Check, limit: int | None) -> CheckRequest:
    version, filters = plan.version, _filters_json(monitor.data_filters)
    # If all rows of the window fit into the sample, monitors read the same rows whether or not they need labels.
    labelled = check.needs_labels and limit is not None and plan.statistics.n > limit
    current = RowsKey(org.id, version.id, plan.window, 0, filters, labelled, limit)
    return CheckRequest(
        monitor.id,
        check.module_name,
        check.class_name,
        check.params,
        monitor.additional_kwargs,
        _features(dataset_schema(plan), monitor, check),
        current,
        _compared_key(plan, monitor, check, current) if check.needs_reference else None,
    )


def row_limit(monitor: Monitor, default: int) -> int | None:
    """Return how many rows a monitor reads at most; None: all rows."""
    return default if monitor.rows is None else monitor.rows or None


def _compared_key(plan: Plan, monitor: Monitor, check: Check, current: RowsKey) -> RowsKey | None:
    """Return the key of the rows to compare with; None without a reference."""
    if (compared := plan.compared.get(monitor.id)) is not None:
        return replace(current, window=compared.window, labelled=check.needs_labels)
    revision = plan.version.reference_revision
    reference = replace(current, window=None, reference_revision=revision, labelled=check.needs_labels)
    return reference if revision else None


def _filters_json(filters: Mapping[str, Any] | None) -> str:
    return json.dumps(filters) if (filters or {}).get("filters") else "null"


def _features(schema: DatasetSchema, monitor: Monitor, check: Check) -> tuple[str, ...]:
    chosen = chosen_features(schema, (monitor.additional_kwargs or {}).get("check_conf"))
    columns = check.params.get("columns")
    listed = [] if columns is None else columns if isinstance(columns, list | tuple) else [str(columns)]
    return tuple(dict.fromkeys([*chosen, *(name for name in listed if name in schema.features)]))


def _read(session: Session, plan: Plan, max_bytes: int, key: RowsKey) -> ColumnarSample | None:
    """Read the rows of a key; None when there is no row. Raises InvalidInput.

    Filters leave out rows of the window and of the reference alike: both samples say of how many rows without filters.
    """
    selection = RowSelection(plan.model, plan.version, key.limit, key.labelled, json.loads(key.filters))
    if key.window is None:
        sample = references.sample_columns(session, selection, key.features, max_bytes=max_bytes)
        return sample and replace(sample, n_selected_from=references.count(session, plan.version))
    windows = {plan.window: plan.statistics} | {item.window: item.statistics for item in plan.compared.values()}
    statistics = windows[key.window]
    sample = sampling.sample_columns(
        session, key.window, selection, key.features, statistics=statistics, max_bytes=max_bytes
    )
    return sample and replace(sample, n_selected_from=statistics.n)

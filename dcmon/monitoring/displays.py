"""What deepchecks shows of a check, and the report of its production suite, on the rows that a monitor would read."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, timedelta
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.checks import catalogue, no_value_reasons, plugins
from dcmon.checks.dataset_schema import CheckValue, chosen_features
from dcmon.checks.no_value_reasons import SideName
from dcmon.checks.workload import Output, Picture, Workload
from dcmon.db import Organization
from dcmon.db.tables.org import Check, Model, Monitor, Version
from dcmon.formatting import format_moment
from dcmon.monitoring import ad_hoc_runs, row_loader
from dcmon.monitoring.ad_hoc_monitors import UNSAVED_ID, AdHocMonitor
from dcmon.monitoring.ad_hoc_runs import Computer, TimeSpan
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.monitoring.planner import Plan
from dcmon.states import ResultState
from dcmon.storage import filters, sample_tables, versions
from dcmon.windows import Window

SUITE_MODULE, SUITE_CLASS = "deepchecks.tabular.suites", "production_suite"
SUITE_ROWS, SUITE_FEATURES = 5_000, 30  # at most, of each side; the suite compares each feature with each other


@dataclass(frozen=True)
class DisplayRequest:
    """The rows to show: of a version, in a span of time."""

    version_id: int
    span: TimeSpan


@dataclass(frozen=True)
class Prepared:
    """What makes pictures without a session: rows for deepchecks, or pictures that need no rows."""

    workload: Workload | None = None
    known: tuple[Picture, ...] = ()

    def pictures(self, computer: Computer) -> list[Picture]:
        """Return the plots and tables, or the report. Raises NotFound, InvalidInput and LibraryMissing."""
        if self.workload is None:
            return list(self.known)
        (result,) = computer.run_pictures(self.workload)
        _require_value(result.value)
        return list(result.pictures)


def prepare_check(
    session: Session, org: Organization, ad_hoc: AdHocMonitor, request: DisplayRequest, computer: Computer
) -> Prepared:
    """Read the rows of a check to be shown. dcmon's own checks are computed: they have tables of their numbers.

    The session must read from one snapshot. Raises NotFound without such a version or rows, InvalidInput for a check
    that can't be shown on these rows, and LibraryMissing without deepchecks.
    """
    kind = catalogue.for_config(ad_hoc.check.module_name, ad_hoc.check.class_name)
    version, window = ad_hoc.version(session, request.version_id), Window(*request.span)
    if not kind.is_dcmons:
        plugins.require_library()
    plan = _plan(session, ad_hoc, version, window, computer)
    if kind.is_dcmons:
        value = ad_hoc_runs.value_of_plan(session, org, ad_hoc, plan, computer).value
        _require_value(value)
        return Prepared(known=tuple(_tables(value)))
    return Prepared(_workload(session, org, plan, Output.DISPLAY, computer))


def prepare_suite(
    session: Session, org: Organization, spec: MonitorSpec, request: DisplayRequest, computer: Computer
) -> Prepared:
    """Read the rows of the production suite: at most 5,000 of the span, and as many of the reference.

    `spec`: filters, and features as a choice of a check. The 30 most important features are read if it names none.
    Raises as `prepare_check`.
    """
    plugins.require_library()
    model, version = versions.get(session, request.version_id)
    filters.condition(spec.data_filters, sample_tables.columns(model, version).filterable, lambda _: "")
    features = _chosen_features(model, version, spec.additional_kwargs)
    ad_hoc = _suite_monitor(model, version, spec, request.span, features)
    plan = _plan(session, ad_hoc, version, Window(*request.span), computer)
    loaded = row_loader.build_workload(session, org, plan, computer.settings, computer.references)
    if loaded.known_results and ad_hoc.check.needs_reference:  # no row of the reference matches the filters
        ad_hoc.check.needs_reference = False
    return Prepared(_workload(session, org, plan, Output.SUITE, computer))


def _chosen_features(model: Model, version: Version, additional_kwargs: Mapping[str, Any] | None) -> list[str]:
    """Return the features that a suite reads. Raises InvalidInput for an unknown one."""
    conf = {"max features": [SUITE_FEATURES], **((additional_kwargs or {}).get("check_conf") or {})}
    chosen = chosen_features(row_loader.schema_of(model, version), conf)
    if unknown := [name for name in chosen if name not in version.features]:
        raise errors.InvalidInput(no_value_reasons.unknown_features(unknown, version.features))
    return chosen


def _suite_monitor(
    model: Model, version: Version, spec: MonitorSpec, span: TimeSpan, features: list[str]
) -> AdHocMonitor:
    """Return an unsaved monitor that reads the rows of a suite."""
    title = f"Test Suite - Model {version.name} - Window {span.end.astimezone(UTC):%Y-%m-%d %H:%M}"
    check = Check(
        id=UNSAVED_ID, model_id=model.id, name=SUITE_CLASS, module_name=SUITE_MODULE, class_name=SUITE_CLASS,
        params={"title": title}, needs_labels=False, needs_reference=bool(version.reference_revision),
    )  # fmt: skip
    monitor = Monitor(
        id=UNSAVED_ID, check_id=UNSAVED_ID, name=SUITE_CLASS, frequency=spec.frequency.value, aggregation_window=1,
        lookback=timedelta(), rows=SUITE_ROWS, revision=0, data_filters=spec.data_filters,
        additional_kwargs={"check_conf": {"feature": features}}, compared_with=spec.compared_with.value,
    )  # fmt: skip
    return AdHocMonitor(monitor, check, model)


def _plan(session: Session, ad_hoc: AdHocMonitor, version: Version, window: Window, computer: Computer) -> Plan:
    """Return the plan of a window that has rows. Raises NotFound."""
    computer.wait(session)
    plan = ad_hoc_runs.window_plan(session, ad_hoc, version, window)
    if not plan.statistics.n:
        start, end = (f"{format_moment(time)}" for time in (window.start, window.end))
        raise errors.NotFound(f"Version {version.name!r} has no samples from {start} to {end}.")
    return plan


def _workload(session: Session, org: Organization, plan: Plan, output: Output, computer: Computer) -> Workload:
    """Read the rows of a plan's only monitor. Raises NotFound if no rows match, and InvalidInput."""
    computer.wait(session)
    loaded = row_loader.build_workload(session, org, plan, computer.settings, computer.references)
    for known in loaded.known_results:
        _require_value(known.value)
    requests = [replace(request, output=output) for request in loaded.workload.requests]
    return replace(loaded.workload, requests=requests)


def _require_value(value: CheckValue) -> None:
    """Raise NotFound if there are no rows, or InvalidInput with the reason why there is no value."""
    if value.state == ResultState.NO_DATA:
        raise errors.NotFound(value.reason or no_value_reasons.NO_ROWS)
    if value.state != ResultState.OK:
        raise errors.InvalidInput(value.reason or f"The check has no value on the {SideName.WINDOW}.")


def _tables(value: CheckValue) -> list[Picture]:
    """Return the numbers of a value as tables: its metrics, then what drives them."""
    named = [("Metric", value.metrics), ("Entry", value.entries)]
    return [Picture("table", _table(value, heading, numbers)) for heading, numbers in named if numbers]


def _table(value: CheckValue, heading: str, numbers: Mapping[str, float]) -> str:
    rows = []
    for name, number in numbers.items():
        low, high = value.intervals.get(name, (None, None))
        row = {heading: name, "Value": number, "Low (95 %)": low, "High (95 %)": high, "Noise": value.noise.get(name)}
        rows.append({column: cell for column, cell in row.items() if cell is not None})
    return msgspec.json.encode(rows).decode()

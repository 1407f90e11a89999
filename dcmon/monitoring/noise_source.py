"""What windows without a change are drawn from: the reference of a version, and the sizes of its recent windows."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.checks import catalogue, data_flow
from dcmon.checks.dataset_schema import chosen_features
from dcmon.checks.resampling import ResampledCheck
from dcmon.db import Organization
from dcmon.db.tables.org import Check, Monitor, MonitorWithCheck, Result, Version
from dcmon.monitoring import row_loader, schedules
from dcmon.monitoring.planner import ComparedWindow, Plan
from dcmon.monitoring.schedules import Schedule
from dcmon.settings import Evaluate
from dcmon.states import ResultState
from dcmon.storage import sampling
from dcmon.storage.sampling import WindowStatistics
from dcmon.windows import ComparedWith, Frequency

RECENT_WINDOWS = 60  # whose numbers of rows are drawn


@dataclass(frozen=True)
class NoiseSource:
    """A monitor's check, and the rows that windows without a change are drawn from.

    `sizes`: how many rows recent windows had, each at least 1. `units`: how many steps of the frequency a window has.
    `n_features`: how many the check reads; 0 if it reads none.
    """

    monitor: str
    version: str
    check: ResampledCheck
    sizes: Sequence[int]
    frequency: Frequency
    units: int
    compared_with: ComparedWith
    n_features: int


def load(session: Session, org: Organization, monitor_id: int, settings: Evaluate) -> NoiseSource:
    """Read what a monitor's windows are drawn from. Raises InvalidInput, which says why none can be drawn."""
    schedule = schedules.for_monitor(session, monitor_id)
    monitor, check = schedule.monitor, schedule.check
    _require_drawable(check)
    version = _newest_version(session, schedule)
    if not version.reference_revision:
        raise errors.InvalidInput(
            f"Version {version.name} has no reference to draw windows from. Load one with"
            f' "dcmon reference load FILE --model {schedule.model.name} --version {version.name}".'
        )
    plan = _plan(schedule, version)
    sizes = _recent_sizes(session, schedule, version, row_loader.row_limit(monitor, settings.sample_size))
    request, schema, sample = row_loader.load_reference(session, org, plan, settings)
    if sample is None:
        raise errors.InvalidInput(_no_rows_reason(monitor, check, version))
    kind = catalogue.for_config(check.module_name, check.class_name)
    features = chosen_features(schema, (monitor.additional_kwargs or {}).get("check_conf"))
    types = kind.column_types
    n_features = sum(types is None or schema.features.get(name) in types for name in features)
    return NoiseSource(
        f"{schedule.model.name}/{monitor.name}", version.name, ResampledCheck(request, schema, sample), sizes,
        schedule.grid.frequency, schedule.grid.units, ComparedWith(monitor.compared_with),
        n_features if kind.reads_features else 0,
    )  # fmt: skip


def _require_drawable(check: Check) -> None:
    if data_flow.is_data_flow(check):
        raise errors.InvalidInput(
            "The monitor counts arriving rows, and a reference does not say how many arrive. Test the rule on stored"
            ' results with "dcmon rule backtest".'
        )
    if catalogue.for_config(check.module_name, check.class_name).is_own:
        raise errors.InvalidInput(
            f"{check.class_name} is a check of your own, which is too slow for hundreds of drawn windows. Test the rule"
            ' on stored results with "dcmon rule backtest".'
        )


def _newest_version(session: Session, schedule: Schedule) -> Version:
    """Return the version with the newest rows. Raises InvalidInput without rows."""
    of_model = select(Version).where(Version.model_id == schedule.model.id, Version.watermark.is_not(None))
    version = session.scalars(of_model.order_by(Version.watermark.desc(), Version.id.desc()).limit(1)).first()
    if version is None:
        raise errors.InvalidInput(
            f"No version of {schedule.model.name} has rows yet, so the number of rows in a window is unknown."
        )
    return version


def _plan(schedule: Schedule, version: Version) -> Plan:
    """Return a plan of the newest window, which is not evaluated: its request says what the check reads."""
    assert version.watermark is not None
    window = schedule.first_ending(version.watermark)
    earlier = schedules.compared_window(schedule, window)
    return Plan(
        schedule.model, version, window, WindowStatistics(), [MonitorWithCheck(schedule.monitor, schedule.check)],
        compared={} if earlier is None else {schedule.monitor.id: ComparedWindow(earlier, WindowStatistics())},
    )  # fmt: skip


def _recent_sizes(session: Session, schedule: Schedule, version: Version, limit: int | None) -> list[int]:
    """Return how many rows the monitor read in recent windows. Raises InvalidInput if it is unknown."""
    monitor, check = schedule.monitor, schedule.check
    of_results = (
        select(Result.n)
        .where(
            Result.monitor_id == monitor.id, Result.version_id == version.id, Result.n > 0,
            Result.monitor_revision == monitor.revision,
            Result.state.in_([ResultState.OK, ResultState.INSUFFICIENT]),
        )
        .ext(distinct_on(Result.window_end))
        .order_by(Result.window_end.desc(), Result.revision.desc())
        .limit(RECENT_WINDOWS)
    )  # fmt: skip
    if sizes := list(session.scalars(of_results)):
        return sizes
    if (monitor.data_filters or {}).get("filters"):
        raise errors.InvalidInput(
            "The monitor has filters and no result yet, so the number of rows in a window is unknown. Evaluate some"
            f' windows with "dcmon monitor backfill {schedule.model.name}/{monitor.name} --since 30d".'
        )
    assert version.watermark is not None
    end = schedule.floor(version.watermark)
    windows = [schedule.ending(schedule.step(end, -steps)) for steps in range(RECENT_WINDOWS)]
    counted = sampling.statistics_of_windows(session, version.id, windows).values()
    known = [n for statistics in counted if (n := statistics.n_used(check.needs_labels))]
    if not known:
        missing = "labelled rows" if check.needs_labels else "complete windows"
        raise errors.InvalidInput(
            f"Version {version.name} has no {missing} yet, so the number of rows in a window is unknown."
        )
    return [n if limit is None else min(n, limit) for n in known]


def _no_rows_reason(monitor: Monitor, check: Check, version: Version) -> str:
    """Return why the check can't read a row of the reference."""
    if (monitor.data_filters or {}).get("filters"):
        return f"No row of the reference of version {version.name} matches the monitor's filters."
    if check.needs_labels:
        return f"The reference of version {version.name} has no labels, which {check.class_name} reads."
    return f"The reference of version {version.name} has no rows."

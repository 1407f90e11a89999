"""Read the distributions of features from stored samples: of the reference, of a window before, and of a window."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.alerting.alert_views import AlertView
from dcmon.checks import decoding
from dcmon.checks.dataset_schema import DatasetSchema
from dcmon.db.tables.org import Alert, Model, Monitor, Result, Version
from dcmon.formatting import format_time
from dcmon.pages.distribution_charts import SideName
from dcmon.states import ResultState
from dcmon.statistics import histograms
from dcmon.statistics.columns import ClassColumn, Column, CountedColumn, OutputColumn, Rows, UnreadColumn
from dcmon.statistics.histograms import Distributions, Side
from dcmon.storage import references, sampling
from dcmon.storage.filters import Filters
from dcmon.storage.sampling import RowSelection
from dcmon.windows import Window

MAX_ROWS = 5_000  # of each side: the shares of a page do not get better with more
MAX_FEATURES = 6  # of an alert
MAIN_SHARE = 0.3  # of the value of the first driver: an entry with less did not cause the alert
OUTPUTS = {"PredictionDrift": "Prediction", "LabelDrift": "Label"}  # by check: the output that drifts


@dataclass(frozen=True)
class Compared:
    """Distributions by the name of a feature or an output, over the same sides. `remark`: why there are none."""

    names: Sequence[SideName] = ()
    features: dict[str, Distributions] | None = None
    remark: str = ""


@dataclass(frozen=True)
class _Source:
    """The rows of one side: of a window, or of the reference (None)."""

    name: SideName
    window: Window | None


def of_alert(session: Session, view: AlertView) -> Compared:
    """Return what moved in an alert: the distributions of its drivers, of the reference, before and in the alert."""
    features = [name for name in main_drivers(view) if name in view.version.features]
    output = next((name for check, name in OUTPUTS.items() if view.check.class_name.endswith(check)), None)
    if not features and output is None:
        return Compared(remark="This check is not about features, so no distribution is shown.")
    violated = _window(session, view.monitor, view.version, view.alert.last_window_end)
    before = _window_before(session, view)
    is_open = view.alert.resolved_at is None
    sources = [_Source(SideName("Reference"), None)] if view.version.reference_revision else []
    sources += [_Source(SideName(f"Before: {_text(before)}", "before"), before)] if before else []
    sources += [_Source(SideName(f"{'Now' if is_open else 'Alert'}: {_text(violated)}", "now"), violated)]
    return read(session, (view.model, view.version), sources, features, (view.monitor.data_filters, output))


def main_drivers(view: AlertView) -> list[str]:
    """Return the entries that drive an alert, without those that are far behind the first one; at most six."""
    drivers = view.alert.drivers
    most = max((abs(value) for value in drivers.values()), default=0.0)
    return [name for name, value in drivers.items() if abs(value) >= MAIN_SHARE * most][:MAX_FEATURES]


def of_version(session: Session, model: Model, version: Version, window: Window, features: Sequence[str]) -> Compared:
    """Return the distributions of features, of the reference and in a window."""
    sources = [_Source(SideName("Reference"), None)] if version.reference_revision else []
    sources.append(_Source(SideName(f"Newest: {_text(window)}", "now"), window))
    return read(session, (model, version), sources, features, (None, None))


def read(
    session: Session,
    of: tuple[Model, Version],
    sources: Sequence[_Source],
    features: Sequence[str],
    choice: tuple[Filters, str | None],
) -> Compared:
    """Return the distributions of features of each source that has rows. `choice`: filters, and an output to add."""
    model, version = of
    schema = DatasetSchema(model.task_type, version.features, version.classes)
    sides = list[tuple[SideName, Rows]]()
    try:
        for source in sources:
            rows = _rows(session, of, source.window, features, choice[0])
            if rows is not None:
                sides.append((source.name, decoding.decode(rows, schema)))
    except errors.InvalidInput as error:  # a filter on a column that the version lacks, or too many bytes
        return Compared(remark=str(error))
    if not sides:
        return Compared(remark="The rows are not stored any more, so no distribution is shown.")
    compared = {name: histograms.compare([Side(rows.features[name], rows.n) for _, rows in sides]) for name in features}
    if choice[1] is not None:
        compared[choice[1]] = histograms.compare([Side(_output(rows, choice[1]), rows.n) for _, rows in sides])
    return Compared([name for name, _ in sides], compared)


def _rows(
    session: Session, of: tuple[Model, Version], window: Window | None, features: Sequence[str], chosen: Filters
) -> Any:
    selection = RowSelection(*of, MAX_ROWS, filters=chosen)
    if window is None:
        return references.sample_columns(session, selection, features)
    statistics = sampling.window_statistics(session, of[1].id, window.start, window.end)
    return sampling.sample_columns(session, window, selection, features, statistics=statistics)


def _output(rows: Rows, name: str) -> Column:
    """Return the predictions or labels of rows as a column."""
    column: OutputColumn | None = rows.labels if name == "Label" else rows.predictions
    if column is None:
        return CountedColumn({}, rows.n) if name == "Label" else UnreadColumn(rows.n)
    if isinstance(column, ClassColumn):
        return CountedColumn(column.counts(), int((~column.is_present).sum()))
    return column


def _window(session: Session, monitor: Monitor, version: Version, end: datetime) -> Window | None:
    """Return the window of a monitor's newest result that ends at a time."""
    of_end = _results(monitor, version).where(Result.window_end == end)
    row = session.execute(of_end.order_by(Result.revision.desc()).limit(1)).one_or_none()
    return None if row is None else Window(*row)


def _window_before(session: Session, view: AlertView) -> Window | None:
    """Return the last window with a value before the alert."""
    alert: Alert = view.alert
    before = _results(view.monitor, view.version).where(
        Result.window_end <= alert.first_window_start, Result.state == ResultState.OK
    )
    row = session.execute(before.order_by(Result.window_end.desc()).limit(1)).one_or_none()
    return None if row is None else Window(*row)


def _results(monitor: Monitor, version: Version) -> Any:
    return select(Result.window_start, Result.window_end).where(
        Result.monitor_id == monitor.id, Result.version_id == version.id
    )


def _text(window: Window | None) -> str:
    if window is None:
        return "unknown window"
    return f"{format_time(window.start)} to {format_time(window.end)}"

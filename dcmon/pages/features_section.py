"""The features of a version: types, values, nulls, drift over time, and distributions beside the reference."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dcmon.db.tables.org import Check, Model, Monitor, Result, Version
from dcmon.formatting import count_of, format_number
from dcmon.pages import distribution_charts, distribution_reading, series_charts
from dcmon.pages.charts import MonitorSeries, Point
from dcmon.pages.distribution_reading import Compared
from dcmon.pages.markup import EMPTY, NOTHING, Markup, element, joined, number, paragraph, section, share, table
from dcmon.pages.models_section import page_links
from dcmon.pages.view import View
from dcmon.states import ResultState
from dcmon.statistics.histograms import Distribution
from dcmon.windows import Window

FEATURES_AT_ONCE = 20
RECENT = timedelta(days=7)  # until the newest sample
DRIFT_CHECKS = ("FeatureDrift", "TrainTestFeatureDrift", "DriftBeyondNoise")
DRIFT_WINDOWS = 90
LINES = 6  # of the chart of drift
HEADS = ("Feature", "Type", "Importance", "Drift", "Nulls", "Mean", "Lowest", "Highest", "Values", "In the reference")


def render(session: Session, view: View, of: tuple[Model, Version], page: int, *, with_charts: bool = True) -> Markup:
    """Return a page of a version's features, the most important first. `with_charts`: also each distribution."""
    model, version = of
    drift = _drift(session, version)
    ordered = _ordered(version, drift)
    names = ordered[(page - 1) * FEATURES_AT_ONCE : page * FEATURES_AT_ONCE]
    if not names:
        return paragraph("This version has no such features.", "none")
    compared = Compared(remark="No row was received yet.")
    if version.watermark is not None:
        compared = distribution_reading.of_version(session, model, version, _recent(version.watermark), names)
    links = page_links(page, len(ordered), FEATURES_AT_ONCE)
    return joined(
        (
            paragraph(compared.remark, "none") if compared.remark else NOTHING,
            paragraph(_order_text(version, drift), "hint") if len(ordered) > 1 else NOTHING,
            table(HEADS, [_cells(name, version, compared, drift) for name in names], "Features", stacks=True),
            links,
            _drift_chart(view, drift, names) if drift else NOTHING,
            _distributions(compared, names) if with_charts and compared.features else NOTHING,
            links if with_charts else NOTHING,
        )
    )


def _ordered(version: Version, drift: Sequence[Point]) -> list[str]:
    """Return the features, the most important first; without importances those that differ most from the reference."""
    newest, importance = _newest(drift), version.feature_importance or {}
    return sorted(version.features, key=lambda name: (-importance.get(name, 0.0), -newest.get(name, 0.0), name))


def _newest(drift: Sequence[Point]) -> dict[str, float]:
    """Return the newest drift of features: one that is null in the newest windows has none there, but differs most."""
    return {name: value for point in drift for name, value in point.metrics.items()}


def _order_text(version: Version, drift: Sequence[Point]) -> str:
    if version.feature_importance:
        return "The most important features are first."
    return "The features with the highest drift are first." if drift else ""


def _recent(watermark: datetime) -> Window:
    """Return the whole hours of the last week until the newest sample, with that sample."""
    end = watermark.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    return Window(end - RECENT, end)


def _cells(name: str, version: Version, compared: Compared, drift: Sequence[Point]) -> list[object]:
    sides = compared.features[name].sides if compared.features else ()
    current = sides[-1] if sides else None
    reference = sides[0] if len(sides) > 1 else None
    values = [point.metrics.get(name) for point in drift]
    last = next((value for value in reversed(values) if value is not None), None)
    importance = (version.feature_importance or {}).get(name)
    return [
        name, version.features[name], number(importance), _drift_cell(last, values),
        share(current.null_share if current else None), *_numbers(current),
        number(EMPTY if current is None or current.values is None else f"{current.values:,}"), _text(reference),
    ]  # fmt: skip


def _drift_cell(last: float | None, values: Sequence[float | None]) -> Markup:
    """Return the newest drift with its trend below."""
    trend = series_charts.spark(values[-60:])
    return joined((number(last), trend), Markup("<br>")) if trend else number(last)


def _numbers(side: Distribution | None) -> list[Markup]:
    return [number(None)] * 3 if side is None else [number(value) for value in (side.mean, side.low, side.high)]


def _text(side: Distribution | None) -> str:
    """Return the reference of a feature in a few words."""
    if side is None:
        return EMPTY
    parts = [f"mean {format_number(side.mean)}"] if side.mean is not None else []
    parts += [count_of(side.values, "value")] if side.values is not None else []
    parts += [f"nulls {100 * side.null_share:.3g} %"] if side.null_share else []
    return ", ".join(parts)


def _drift(session: Session, version: Version) -> list[Point]:
    """Return the drift of features over the newest windows of the first monitor that computes it."""
    monitor = session.scalar(
        select(Monitor).join(Check, Check.id == Monitor.check_id)
        .where(Check.model_id == version.model_id, Check.class_name.in_(DRIFT_CHECKS)).order_by(Monitor.id).limit(1)
    )  # fmt: skip
    if monitor is None:
        return []
    newest = func.row_number().over(partition_by=Result.window_end, order_by=Result.revision.desc()).label("place")
    ranked = (
        select(Result.window_start, Result.window_end, Result.entries, Result.n, newest)
        .where(
            Result.monitor_id == monitor.id, Result.version_id == version.id, Result.state == ResultState.OK,
            Result.monitor_revision == monitor.revision,
        )
        .subquery()
    )  # fmt: skip
    rows = session.execute(
        select(ranked).where(ranked.c.place == 1).order_by(ranked.c.window_end.desc()).limit(DRIFT_WINDOWS)
    ).all()
    return [Point(row.window_start, row.window_end, _known(row.entries), row.n) for row in reversed(rows)]


def _known(entries: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in entries.items() if value is not None}


def _drift_chart(view: View, drift: Sequence[Point], names: Sequence[str]) -> Markup:
    newest = _newest(drift)
    shown = sorted((name for name in names if name in newest), key=lambda name: -newest[name])[:LINES]
    series = MonitorSeries("Drift of features", "", drift, shown=shown or list(names)[:LINES])
    chart = series_charts.chart(view, series, drift[0].start, drift[-1].end)
    title = f"Drift over time, of the {count_of(len(series.metrics), 'feature')} that differ most now"
    return section(title, element("div", chart + series_charts.value_table(series, 12), "card"))


def _distributions(compared: Compared, names: Sequence[str]) -> Markup:
    assert compared.features is not None
    cards = joined(
        element(
            "section",
            element("h3", name) + distribution_charts.side_by_side(compared.names, compared.features[name]),
            "card",
        )
        for name in names
    )
    return section("Distributions", cards)

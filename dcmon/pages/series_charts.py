"""Monitors over time as cards: a chart, and a table of its newest values for those who read no chart."""

from collections.abc import Sequence
from datetime import datetime

from dcmon.formatting import count_of, format_number
from dcmon.pages import charts
from dcmon.pages.charts import AlertSpan, MonitorSeries, Point
from dcmon.pages.markup import EMPTY, NOTHING, Markup, badge, details, element, joined, link, moment, number, table
from dcmon.pages.view import View, monitor_anchor

TABLE_ROWS = 12  # the newest windows below a chart
SHOWN_ALERTS = 8  # and all that are open; the others are shown when a reader asks for them
SPARK_WIDTH, SPARK_HEIGHT = 120, 24
ALERT_HEADS = ("Monitor", "Severity", "Since", "Until", "Worst value", "Rule", "What drives it")
MONITOR_HEADS = ("Monitor", "State", "Last value", "Trend", "Worst, or range", "Alerts", "Last window", "Frequency")


def chart(view: View, series: MonitorSeries, start: datetime, end: datetime) -> Markup:
    """Return the place of a chart, and add its figure to the page."""
    view.figures.append(charts.figure(series, start, end))
    return Markup('<div class="chart" data-figure="{}"></div>').format(len(view.figures) - 1)


def card(view: View, series: MonitorSeries, start: datetime, end: datetime, *, rows: int = TABLE_ROWS) -> Markup:
    """Return a monitor: its name and state, its chart, and a table of its newest values. `rows`: of the table."""
    address = view.links.monitor(series.monitor_id) if series.monitor_id else None
    name = link(series.name, address)
    head = element("h3", joined((name, badge(series.state, series.open_severity or series.state)), " "))
    anchor = Markup(' id="{}"').format(monitor_anchor(series.monitor_id)) if series.monitor_id else NOTHING
    note = element("p", series.note, "note") if series.note else NOTHING
    drawn = chart(view, series, start, end) if series.points else NOTHING
    return Markup('<section{} class="card">{}{}{}{}</section>').format(
        anchor, head, note, drawn, value_table(series, rows)
    )


def value_table(series: MonitorSeries, rows: int, *, is_open: bool = False) -> Markup:
    """Return the newest windows as a table, the newest first."""
    newest = list(reversed(series.points))[:rows]
    if not newest:
        return element("p", "No window was evaluated yet.", "none")
    metrics = series.metrics[:6]
    has_versions = len(series.versions) > 1
    heads = ["Window ends", *(["Version"] if has_versions else []), *metrics, "Rows", "Revision", "Remark"]
    lines = [
        [
            moment(point.end), *([point.version] if has_versions else []),
            *(_value(point, name) for name in metrics), number(f"{point.n:,}"), number(str(point.revision)),
            _remark(point),
        ]
        for point in newest
    ]  # fmt: skip
    title = f"Values of {series.name}"
    shown = table(heads, lines, title)
    if is_open:
        return shown
    return details(f"The newest {count_of(len(newest), 'window')} as a table", shown)


def _value(point: Point, name: str) -> Markup:
    value, interval = point.metrics.get(name), point.intervals.get(name)
    if value is None or interval is None:
        return number(value)
    return number(f"{format_number(value)} ({format_number(interval.low)} to {format_number(interval.high)})")


def _remark(point: Point) -> str:
    return (point.reason or "") if point.metrics else f"{point.state}: {point.reason or 'no reason given'}"


def monitor_table(view: View, all_series: Sequence[MonitorSeries]) -> Markup:
    """Return monitors in a table, in the order given."""
    return table(MONITOR_HEADS, [_monitor_cells(view, series) for series in all_series], "Monitors", stacks=True)


def _monitor_cells(view: View, series: MonitorSeries) -> list[object]:
    has_rule = series.n_rules or series.thresholds
    return [
        link(series.name, view.links.monitor(series.monitor_id) if series.monitor_id else None),
        badge(series.state, series.open_severity or series.state),
        number(series.last),
        spark(_spark_values(series)),
        number(worst_value(series)),
        number(str(len(series.alerts)) if has_rule else "no rule"),
        moment(series.points[-1].end if series.points else None),
        series.frequency.lower(),
    ]


def _spark_values(series: MonitorSeries) -> list[float | None]:
    """Return the values of the most important metric of the version with the newest window."""
    if not series.points or not series.metrics:
        return []
    version = series.points[-1].version
    return [point.metrics.get(series.metrics[0]) for point in series.versions[version]][-60:]


def has_worst_value(series: MonitorSeries) -> bool:
    """Return True if a rule says whether large or small values are bad."""
    return bool(series.thresholds)


def worst_value(series: MonitorSeries) -> str:
    """Return the value that is furthest beyond the rule.

    Without such a rule, return the smallest and the largest value.
    """
    values = series.values
    if not values:
        return EMPTY
    if not has_worst_value(series):
        return f"{format_number(min(values))} to {format_number(max(values))}"
    return format_number(min(values) if series.thresholds[0].is_lower_bound else max(values))


def spark(values: Sequence[float | None]) -> Markup:
    """Return a small line of values without axes; nothing for fewer than two values."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return NOTHING
    low, span = min(known), (max(known) / 2 - min(known) / 2) or 1.0
    step = SPARK_WIDTH / (len(values) - 1)
    path, is_broken = [], True
    for place, value in enumerate(values):
        if value is not None:
            y = SPARK_HEIGHT - 2 - (value / 2 - low / 2) / span * (SPARK_HEIGHT - 4)
            path.append(f"{'M' if is_broken else 'L'}{place * step:.1f} {y:.1f}")
        is_broken = value is None
    return Markup(' <svg viewBox="0 0 {} {}" aria-hidden="true"><path class="spark" d="{}"/></svg>').format(
        SPARK_WIDTH, SPARK_HEIGHT, " ".join(path)
    )


def alert_table(view: View, all_series: Sequence[MonitorSeries]) -> Markup:
    """Return the alerts of monitors: those that are open first, then by time; old ones behind a button."""
    rows = [(series, alert) for series in all_series for alert in series.alerts]
    if not rows:
        return element("p", "No alert in this period.", "none")
    rows.sort(key=lambda row: (row[1].until is not None, -row[1].since.timestamp(), row[0].name))
    n_open = sum(alert.until is None for _, alert in rows)
    shown = max(n_open, min(len(rows), SHOWN_ALERTS))
    first, earlier = ([_alert_cells(view, *row) for row in part] for part in (rows[:shown], rows[shown:]))
    newest = table(ALERT_HEADS, first, "Alerts", stacks=True)
    if not earlier:
        return newest
    title = f"{count_of(len(earlier), 'earlier alert')}, which {'is' if len(earlier) == 1 else 'are'} over"
    return newest + details(title, table(ALERT_HEADS, earlier, title, stacks=True))


def _alert_cells(view: View, series: MonitorSeries, alert: AlertSpan) -> list[object]:
    until = moment(alert.until) if alert.until else element("span", "still open", "open")
    address = view.links.alert(alert.alert_id) if alert.alert_id else None
    if address is None and series.monitor_id:
        address = view.links.monitor(series.monitor_id)
    return [
        link(series.name, address),
        badge(alert.severity, alert.severity),
        moment(alert.started or alert.since),
        until,
        number(alert.worst),
        alert.threshold.text if alert.threshold else EMPTY,
        alert.driver or EMPTY,
    ]

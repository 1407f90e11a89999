"""Describe the chart of a monitor's values over its windows, as JSON for the page's script."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from dcmon import severity
from dcmon.formatting import format_number, format_time
from dcmon.operators import LOWER_BOUNDS, SIGN_OF_OPERATOR, Operator
from dcmon.pages.markup import DIRECTIONS
from dcmon.states import ResultState

Figure = dict[str, Any]  # what the page's script draws
_LINE_COLORS = 6  # the page's style has so many colors for lines
_CHART_SIGNS = {">=": "≥", "<=": "≤", "==": "=", "!=": "≠"}  # the other signs are drawn as they are


class Interval(NamedTuple):
    """The values between which the true value of a metric lies, with the probability that the page names."""

    low: float
    high: float


@dataclass(frozen=True)
class Point:
    """The result of the window [`start`, `end`).

    `metrics`: by name. `n`: the number of samples that they were computed from. `reason`: why there is no value.
    `intervals`: by name of the metric, for metrics that have one. `revision`: how often the window was computed.
    """

    start: datetime
    end: datetime
    metrics: Mapping[str, float]
    n: int
    state: str = ResultState.OK
    reason: str | None = None
    version: str = ""
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    revision: int = 1


@dataclass(frozen=True)
class Threshold:
    """The line of a rule, e.g. with `operator` GREATER_THAN and `value` 0.2.

    `label`: the condition in words, which is shown in place of operator and value. `metric`: None for a rule about any
    metric.
    """

    value: float
    severity: str
    operator: str = Operator.GREATER_THAN
    label: str = ""
    metric: str | None = None

    @property
    def text(self) -> str:
        """The rule as text: its label, or the sign of its operator and its value."""
        sign = SIGN_OF_OPERATOR.get(self.operator, self.operator)
        return self.label or f"{_CHART_SIGNS.get(sign, sign)} {format_number(self.value)}"

    @property
    def is_lower_bound(self) -> bool:
        """True if smaller values violate the rule."""
        return self.operator in LOWER_BOUNDS


@dataclass(frozen=True)
class AlertSpan:
    """An alert over time.

    `since`: the end of the first window that violated the rule. `until`: the end of the next window that did not
    violate it; None if the alert is open. `worst`: the value that is furthest beyond the rule. `driver`: the feature,
    class or category that drives it. `alert_id`: 0 if it is not stored.
    `started`: the start of the first window, which lists of alerts show.
    """

    since: datetime
    until: datetime | None
    severity: str
    worst: float | None
    threshold: Threshold | None = None
    driver: str | None = None
    alert_id: int = 0
    started: datetime | None = None


@dataclass(frozen=True)
class MonitorSeries:
    """A monitor with its results in order of time, its rules and its alerts.

    `note`: a text under its name. `shown`: the metrics to draw, the most important first; empty: all metrics.
    `has_own_axes`: True if each metric has its own unit and axis. `n_rules`: the number of rules; those on features or
    on changes have no threshold to draw. `monitor_id`: 0 if it is not stored.
    """

    name: str
    frequency: str
    points: Sequence[Point] = field(default_factory=tuple)
    thresholds: Sequence[Threshold] = field(default_factory=tuple)
    alerts: Sequence[AlertSpan] = field(default_factory=tuple)
    note: str = ""
    shown: Sequence[str] = ()
    has_own_axes: bool = False
    n_rules: int = 0
    monitor_id: int = 0

    @property
    def metrics(self) -> list[str]:
        """The metrics to draw, in order."""
        return list(self.shown) or list(dict.fromkeys(name for point in self.points for name in point.metrics))

    @property
    def panels(self) -> list[list[str]]:
        """The metrics by axis: each panel is a list of metrics that share an axis."""
        return [[name] for name in self.metrics] if self.has_own_axes else [self.metrics]

    @property
    def versions(self) -> dict[str, list[Point]]:
        """The points by version, in the order in which versions appear."""
        versions: dict[str, list[Point]] = {}
        for point in self.points:
            versions.setdefault(point.version, []).append(point)
        return versions

    def values_of(self, metrics: Sequence[str]) -> list[float]:
        """Return the values of these metrics in all windows."""
        return [point.metrics[name] for point in self.points for name in metrics if name in point.metrics]

    @property
    def values(self) -> list[float]:
        """The values of the metrics on the first axis."""
        return self.values_of(self.panels[0]) if self.panels else []

    @property
    def last(self) -> float | None:
        """The newest value of the most important metric."""
        return next(iter(reversed(self.values_of(self.metrics[:1]))), None)

    @property
    def open_severity(self) -> str | None:
        """The highest severity of the open alerts; None if no alert is open."""
        open_severities = [alert.severity for alert in self.alerts if alert.until is None]
        return min(open_severities, key=severity.descending_rank, default=None)

    @property
    def state(self) -> str:
        """The state of the monitor in one or two words."""
        if self.open_severity:
            return f"firing {self.open_severity}"
        return "ok" if self.values else "no value"


def figures_json(figures: Sequence[Mapping[str, Any]]) -> str:
    """Return figures as JSON that is safe inside a script element.

    `<`, `>` and `&` in names are escaped, and what turns the direction of text.
    """
    text = json.dumps(figures, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    text = text.translate({code: json.dumps(shown)[1:-1] for code, shown in DIRECTIONS.items()})
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def figure(series: MonitorSeries, start: datetime, end: datetime) -> Figure:
    """Return what the page's script draws; times are seconds since 1970.

    A figure has a panel for each axis, with a line for each version and metric, thresholds, alerts as bands, and the
    reasons of windows without a value. The time axis is [`start`, `end`] with a margin, so that figures of the same
    period can be compared by eye.
    """
    margin = (end - start) * 0.015
    span = (_seconds(start - margin), _seconds(end + margin))
    return {
        "name": series.name,
        "span": span,
        "windows": [_windows(version, points) for version, points in series.versions.items()],
        "panels": [_panel(series, metrics) for metrics in series.panels or [[]]],
        "alerts": [_alert(alert, span[1]) for alert in series.alerts],
    }


def _seconds(time: datetime) -> int:
    return int(time.timestamp())


def _windows(version: str, points: Sequence[Point]) -> dict[str, Any]:
    """Return the windows of a version in columns; `notes` has remarks by the window's place."""
    notes = {place: _note(point) for place, point in enumerate(points)}
    return {
        "version": version,
        "starts": [_seconds(point.start) for point in points],
        "ends": [_seconds(point.end) for point in points],
        "n": [point.n for point in points],
        "notes": {str(place): note for place, note in notes.items() if note},
        "revisions": {str(place): point.revision for place, point in enumerate(points) if point.revision > 1},
    }


def _note(point: Point) -> str:
    if point.metrics:
        return point.reason or ""
    return f"no value ({point.state}): {point.reason or 'no reason given'}"


def _panel(series: MonitorSeries, metrics: Sequence[str]) -> dict[str, Any]:
    rules = [rule for rule in series.thresholds if _applies_to(rule, metrics)]
    return {
        "title": metrics[0] if series.has_own_axes and metrics else "",
        "range": _range(series, metrics, rules),
        "lines": _lines(series, metrics),
        "thresholds": [
            {"value": rule.value, "severity": rule.severity, "text": f"{rule.text} {rule.severity}"} for rule in rules
        ],
    }


def _applies_to(rule: Threshold, metrics: Sequence[str]) -> bool:
    return rule.metric is None or rule.metric.lower() in (name.lower() for name in metrics)


def _lines(series: MonitorSeries, metrics: Sequence[str]) -> list[dict[str, Any]]:
    versions = series.versions
    names = list(
        dict.fromkeys((point.version, name) for point in series.points for name in metrics if name in point.metrics)
    )
    has_versions = len({version for version, _ in names}) > 1
    return [
        {
            "version": version,
            "name": f"{version} · {metric}" if has_versions else metric,
            "color": place % _LINE_COLORS + 1,
            **_values(versions[version], metric),
        }
        for place, (version, metric) in enumerate(names)
    ]


def _values(points: Sequence[Point], metric: str) -> dict[str, Any]:
    """Return the values of a metric in columns: numbers, texts, and the ends of intervals if there are any."""
    values = [_rounded(point.metrics.get(metric)) for point in points]
    intervals = [point.intervals.get(metric) for point in points]
    columns: dict[str, Any] = {
        "values": values,
        "texts": [_text(value, interval) for value, interval in zip(values, intervals, strict=True)],
    }
    if any(intervals):
        columns["lows"] = [interval and _rounded(interval.low) for interval in intervals]
        columns["highs"] = [interval and _rounded(interval.high) for interval in intervals]
    return columns


def _rounded(value: float | None) -> float | None:
    """Return the value with six significant digits, more than a chart can show."""
    return None if value is None else float(f"{value:.6g}")


def _text(value: float | None, interval: Interval | None) -> str:
    ends = f" ({format_number(interval.low)} to {format_number(interval.high)})" if interval else ""
    return f"{format_number(value)}{ends}"


def _alert(alert: AlertSpan, end: int) -> dict[str, Any]:
    until = f"until {format_time(alert.until)}" if alert.until else "still open"
    return {
        "start": _seconds(alert.since),
        "end": _seconds(alert.until) if alert.until else end,
        "severity": alert.severity,
        "text": f"alert {alert.severity} since {format_time(alert.started or alert.since)}, {until}"
        + (f", driven by {alert.driver}" if alert.driver else ""),
    }


def _range(series: MonitorSeries, metrics: Sequence[str], rules: Sequence[Threshold]) -> tuple[float, float]:
    """Return an axis range with all values, intervals and thresholds, and with zero if near."""
    ends = [end for point in series.points for name in metrics for end in point.intervals.get(name, ())]
    values = [*series.values_of(metrics), *ends, *(rule.value for rule in rules)]
    if not values:
        return 0, 1
    low, high = min(values), max(values)
    if 0 <= low <= (high - low):
        low = 0.0
    margin = (high - low) * 0.08 or abs(high) * 0.1 or 0.1
    return (low - margin if low else -0.05 * (high or margin)), high + margin

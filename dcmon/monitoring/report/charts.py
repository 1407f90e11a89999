"""Draw a monitor's values over its windows, as a figure in plotly's JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from typing import Any

from dcmon.formatting import format_number, format_time
from dcmon.operators import LOWER_BOUNDS, SIGN_OF_OPERATOR, Operator
from dcmon.severity import Severity
from dcmon.states import ResultState

SEVERITY_COLORS: dict[str, str] = {
    Severity.LOW: "#5b8def",
    Severity.MEDIUM: "#d99a00",
    Severity.HIGH: "#e8702a",
    Severity.CRITICAL: "#d6336c",
}
# People with any colour vision can distinguish these colours, on white and on black (Okabe and Ito).
_TRACE_COLORS = ("#2f86d6", "#1aa179", "#c774a8", "#a58a2c", "#7a6ff0", "#8a8f98")
_CHART_SIGNS = {">=": "≥", "<=": "≤", "==": "=", "!=": "≠"}  # the other signs are drawn as they are


@dataclass(frozen=True)
class Point:
    """The result of the window [`start`, `end`).

    `metrics`: by name. `n`: the number of samples that they were computed from. `reason`: why there is no value.
    """

    start: datetime
    end: datetime
    metrics: Mapping[str, float]
    n: int
    state: str = ResultState.OK
    reason: str | None = None
    version: str = ""


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
    class or category that drives it.
    """

    since: datetime
    until: datetime | None
    severity: str
    worst: float | None
    threshold: Threshold | None = None
    driver: str | None = None


@dataclass(frozen=True)
class MonitorSeries:
    """A monitor with its results in order of time, its rules and its alerts.

    `note`: a text under its name. `shown`: the metrics to draw, the most important first; empty: all metrics.
    `has_own_axes`: True if each metric has its own unit and axis.
    """

    name: str
    frequency: str
    points: Sequence[Point] = field(default_factory=tuple)
    thresholds: Sequence[Threshold] = field(default_factory=tuple)
    alerts: Sequence[AlertSpan] = field(default_factory=tuple)
    note: str = ""
    shown: Sequence[str] = ()
    has_own_axes: bool = False

    @property
    def metrics(self) -> list[str]:
        """The metrics to draw, in order."""
        return list(self.shown) or list(dict.fromkeys(name for point in self.points for name in point.metrics))

    @property
    def panels(self) -> list[list[str]]:
        """The metrics by axis: each panel is a list of metrics that share an axis."""
        return [[name] for name in self.metrics] if self.has_own_axes else [self.metrics]

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
        order = list(SEVERITY_COLORS)
        return max(open_severities, key=lambda name: order.index(name) if name in order else -1, default=None)

    @property
    def state(self) -> str:
        """The state of the monitor in one or two words."""
        if self.open_severity:
            return f"firing {self.open_severity}"
        return "ok" if self.values else "no value"


def figures_json(figures: Sequence[Mapping[str, Any]]) -> str:
    """Return figures as JSON that is safe inside a script element.

    `<`, `>` and `&` in names are escaped.
    """
    text = json.dumps(figures, allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def figure(series: MonitorSeries, start: datetime, end: datetime) -> dict[str, Any]:
    """Return a figure as plotly's `{"data": …, "layout": …}`.

    It has a line for each version and metric, thresholds, alerts as bands, and marks with reasons for windows without a
    value. The time axis is [`start`, `end`], so that figures of the same period can be compared by eye. Metrics with
    different units are drawn one above the other, over the same time axis.
    """
    margin = (end - start) * 0.015
    span = (start - margin, end + margin)
    panels = series.panels
    axes = ["y", *(f"y{number}" for number in range(3, 2 + len(panels)))]
    lines = [line for axis, panel in zip(axes, panels, strict=True) for line in _lines(series, panel, axis)]
    thresholds = [
        (axis, rule)
        for axis, panel in zip(axes, panels, strict=True)
        for rule in series.thresholds
        if _applies_to(rule, panel)
    ]
    bands = [_band(alert, alert.until or span[1]) for alert in series.alerts]
    layout: dict[str, Any] = {
        "height": 300 if len(panels) < 2 else 60 + 150 * len(panels),
        "margin": {"l": 56, "r": 120 if thresholds else 24, "t": 12, "b": 36},
        "showlegend": len(lines) > 1 and (len(panels) < 2 or len(lines) > len(panels)),
        "legend": {"orientation": "h", "y": 1.12 if len(panels) < 2 else 1.04, "x": 0},
        "hovermode": "closest",
        "xaxis": {"type": "date", "tickangle": 0, "range": [time.isoformat() for time in span], "anchor": axes[-1]},
        **_axes(series, axes),
        # Windows without a value are marked at the bottom, on an axis of their own.
        "yaxis2": {"overlaying": axes[-1], "range": [0, 1], "visible": False, "fixedrange": True},
        "shapes": [*bands, *(_threshold(rule, axis) for axis, rule in thresholds)],
        "annotations": [_label(rule, axis) for axis, rule in thresholds],
    }
    return {"data": [*lines, *_no_value_marks(series)], "layout": layout}


def _axes(series: MonitorSeries, axes: Sequence[str]) -> dict[str, Any]:
    """Return an axis of values for each panel, from the top down."""
    height, layout = 1 / len(axes), dict[str, Any]()
    for row, (axis, panel) in enumerate(zip(axes, series.panels, strict=True)):
        layout[axis.replace("y", "yaxis")] = axis_layout = {
            "zeroline": False,
            "automargin": True,
            **_range(series, panel),
        }
        if len(axes) > 1:
            top = 1 - row * height
            axis_layout |= {"domain": [max(0.0, top - 0.82 * height), top], "title": {"text": escape(panel[0])}}
    return layout


def _applies_to(rule: Threshold, panel: Sequence[str]) -> bool:
    return rule.metric is None or rule.metric.lower() in (name.lower() for name in panel)


def _lines(series: MonitorSeries, panel: Sequence[str], axis: str) -> list[dict[str, Any]]:
    names = dict.fromkeys(
        (point.version, metric) for point in series.points for metric in point.metrics if metric in panel
    )
    has_versions = len({version for version, _ in names}) > 1
    return [
        _line(series, version, metric, f"{version} · {metric}" if has_versions else metric, color) | {"yaxis": axis}
        for (version, metric), color in zip(names, _TRACE_COLORS * (len(names) // len(_TRACE_COLORS) + 1), strict=False)
    ]


def _line(series: MonitorSeries, version: str, metric: str, name: str, color: str) -> dict[str, Any]:
    points = [point for point in series.points if point.version == version]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": escape(name),
        "x": [point.end.isoformat() for point in points],
        "y": [point.metrics.get(metric) for point in points],
        "text": [_value_text(point, name, point.metrics.get(metric)) for point in points],
        "hovertemplate": "%{text}<extra></extra>",
        "connectgaps": False,
        "line": {"color": color, "width": 1.8},
        "marker": {"color": color, "size": 6 if len(points) < 100 else 4},
    }


def _value_text(point: Point, name: str, value: float | None) -> str:
    reason = f"<br>{_wrapped(point.reason)}" if point.reason else ""
    return f"<b>{format_number(value)}</b> {escape(name)}<br>{_window(point)}, n = {point.n:,}{reason}"


def _no_value_marks(series: MonitorSeries) -> list[dict[str, Any]]:
    points = [point for point in series.points if not point.metrics]
    if not points:
        return []
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "no value",
            "showlegend": False,
            "yaxis": "y2",
            "x": [point.end.isoformat() for point in points],
            "y": [0.04] * len(points),
            "text": [_no_value_text(point) for point in points],
            "hovertemplate": "%{text}<extra></extra>",
            "marker": {"symbol": "x-thin", "size": 8, "line": {"width": 2, "color": "#8a8f98"}},
        }
    ]


def _no_value_text(point: Point) -> str:
    return f"<b>no value</b> ({escape(point.state)})<br>{_window(point)}, n = {point.n:,}<br>{_wrapped(point.reason)}"


def _window(point: Point) -> str:
    return f"{format_time(point.start)} to {format_time(point.end)}"


def _wrapped(text: str | None, width: int = 70) -> str:
    from textwrap import wrap

    return "<br>".join(escape(line) for line in wrap(text or "no reason given", width))


def _band(alert: AlertSpan, until: datetime) -> dict[str, Any]:
    color = SEVERITY_COLORS.get(alert.severity, "#8a8f98")
    edges = {"x0": alert.since.isoformat(), "x1": until.isoformat(), "y0": 0, "y1": 1}
    style = {"fillcolor": color, "opacity": 0.16, "line": {"width": 1, "color": color}, "layer": "below"}
    return {"type": "rect", "xref": "x", "yref": "paper", **edges, **style}


def _threshold(rule: Threshold, axis: str) -> dict[str, Any]:
    color = SEVERITY_COLORS.get(rule.severity, "#8a8f98")
    edges = {"x0": 0, "x1": 1, "y0": rule.value, "y1": rule.value}
    return {
        "type": "line",
        "xref": "paper",
        "yref": axis,
        **edges,
        "line": {"color": color, "width": 1.6, "dash": "dash"},
    }


def _label(rule: Threshold, axis: str) -> dict[str, Any]:
    color = SEVERITY_COLORS.get(rule.severity, "#8a8f98")
    position = {"xref": "paper", "yref": axis, "x": 1.005, "y": rule.value, "xanchor": "left", "yanchor": "middle"}
    return {**position, "text": escape(f"{rule.text} {rule.severity}"), "showarrow": False, "font": {"color": color}}


def _range(series: MonitorSeries, panel: Sequence[str]) -> dict[str, Any]:
    """Return an axis range with all values and thresholds, and with zero if near."""
    values = [*series.values_of(panel), *(rule.value for rule in series.thresholds if _applies_to(rule, panel))]
    if not values:
        return {"range": [0, 1]}
    low, high = min(values), max(values)
    if 0 <= low <= (high - low):
        low = 0.0
    margin = (high - low) * 0.08 or abs(high) * 0.1 or 0.1
    return {"range": [low - margin if low else -0.05 * (high or margin), high + margin]}

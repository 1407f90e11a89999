"""Write a report on a model's monitors as one HTML file, which needs no network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from dcmon.formatting import format_number, format_time
from dcmon.pages import charts
from dcmon.pages.charts import AlertSpan, MonitorSeries, Point, Threshold

__all__ = ["AlertSpan", "MonitorSeries", "Point", "Report", "Threshold", "write"]


@dataclass(frozen=True)
class Report:
    """What a report shows: the monitors of a model in the period [`start`, `end`).

    All times are in UTC, with a time zone.
    """

    organization: str
    model: str
    version: str
    start: datetime
    end: datetime
    generated_at: datetime
    monitors: Sequence[MonitorSeries] = field(default_factory=tuple)


def write(path: Path, report: Report) -> None:
    """Write the report as one HTML file: 80 kB, and 60 bytes for each value.

    Raises OSError.
    """
    path.write_text(render(report), encoding="utf-8")


def render(report: Report) -> str:
    """Return the HTML page. Names are escaped, because they may contain any character."""
    end = max([report.end, *(point.end for series in report.monitors for point in series.points)])
    figures = [charts.figure(series, report.start, end) for series in report.monitors]
    return Template(_file("report.html")).substitute(
        title=escape(f"{report.model} · {report.organization}"),
        model=escape(report.model),
        summary=_summary(report),
        monitors=_table(
            _MONITOR_HEADERS, [_monitor_cells(index, series) for index, series in enumerate(report.monitors)]
        ),
        alerts=_alerts(report),
        charts="".join(_chart(index, series) for index, series in enumerate(report.monitors)),
        figures=charts.figures_json(figures),
        uplot_style=_file("uplot/uPlot.min.css"),
        uplot=f"/*!\n{_file('uplot/LICENSE')}*/\n{_file('uplot/uPlot.iife.min.js')}",
        script=_file("report.js"),
    )


def _file(name: str) -> str:
    return files("dcmon.pages").joinpath(name).read_text(encoding="utf-8")


_MONITOR_HEADERS = ("Monitor", "Frequency", "Last value", "Worst value", "Alerts", "State")
_ALERT_HEADERS = ("Monitor", "Severity", "Since", "Until", "Worst value", "Rule", "What drives it")


def _summary(report: Report) -> str:
    entries: Mapping[str, str] = {
        "Organization": report.organization,
        "Version": report.version,
        "Period": f"{report.start:%Y-%m-%d} to {report.end:%Y-%m-%d}",
        "Generated": f"{format_time(report.generated_at)} UTC",
    }
    return "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in entries.items())


def _monitor_cells(index: int, series: MonitorSeries) -> tuple[str, ...]:
    return (
        f'<a href="#monitor-{index}">{escape(series.name)}</a>',
        escape(series.frequency.lower()),
        _number(format_number(series.last)),
        _number(_worst_value(series)),
        _number(str(len(series.alerts)) if series.n_rules or series.thresholds else "no rule"),
        _badge(series.state, series.open_severity or series.state),
    )


def _worst_value(series: MonitorSeries) -> str:
    """Return the value that is furthest beyond the rule.

    Without a rule, return the smallest and the largest value.
    """
    values = series.values
    if not values:
        return "–"
    if not series.thresholds:
        return f"{format_number(min(values))} to {format_number(max(values))}"
    return format_number(min(values) if series.thresholds[0].is_lower_bound else max(values))


def _alerts(report: Report) -> str:
    rows = [(index, series, alert) for index, series in enumerate(report.monitors) for alert in series.alerts]
    if not rows:
        return '<p class="none">No alert in this period.</p>'
    rows.sort(key=lambda row: (row[2].since, row[1].name))
    return _table(_ALERT_HEADERS, [_alert_cells(*row) for row in rows])


def _alert_cells(index: int, series: MonitorSeries, alert: AlertSpan) -> tuple[str, ...]:
    until = escape(format_time(alert.until)) if alert.until else '<span class="open">still open</span>'
    rule = alert.threshold.text if alert.threshold else "–"
    return (
        f'<a href="#monitor-{index}">{escape(series.name)}</a>',
        _badge(alert.severity, alert.severity),
        f"<time>{escape(format_time(alert.since))}</time>",
        f"<time>{until}</time>",
        _number(format_number(alert.worst)),
        escape(rule),
        escape(alert.driver or "–"),
    )


def _chart(index: int, series: MonitorSeries) -> str:
    note = f'<p class="note">{escape(series.note)}</p>' if series.note else ""
    head = f"<h3>{escape(series.name)} {_badge(series.state, series.open_severity or series.state)}</h3>"
    return f'<section id="monitor-{index}" class="card">{head}{note}<div class="chart"></div></section>'


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in headers)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _number(value: str) -> str:
    return f'<span class="number">{escape(value)}</span>'


def _badge(label: str, style: str) -> str:
    return f'<span class="badge {escape(style.lower().replace(" ", "-"))}">{escape(label)}</span>'

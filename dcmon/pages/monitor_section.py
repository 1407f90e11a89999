"""One monitor: what it computes, its rules, its values over time, and its alerts."""

from sqlalchemy.orm import Session

from dcmon.alerting import alert_payload, rules
from dcmon.pages import series_charts
from dcmon.pages.charts import MonitorSeries
from dcmon.pages.markup import Markup, badge, element, fields, items, joined, number, paragraph, section
from dcmon.pages.model_section import ZOOM_HINT
from dcmon.pages.monitor_series import ModelSeries
from dcmon.pages.view import View

TABLE_ROWS = 100  # the newest windows


def render(session: Session, view: View, series: ModelSeries) -> Markup:
    """Return the section of the only monitor of a series."""
    (monitor,) = series.monitors
    state = badge(monitor.state, monitor.open_severity or monitor.state)
    revised = sum(point.revision > 1 for point in monitor.points)
    known = {
        "State": state,
        "Last value": number(monitor.last),
        "Worst value" if series_charts.has_worst_value(monitor) else "Range": series_charts.worst_value(monitor),
        "Frequency": monitor.frequency,
        "Windows": f"{len(monitor.points):,}" + (f", {revised:,} computed again" if revised else ""),
    }
    texts = [alert_payload.sentence(rule) for rule in rules.for_monitor(session, monitor.monitor_id)]
    return joined(
        (
            element("h1", monitor.name),
            paragraph(monitor.note, "note") if monitor.note else "",
            fields(known),
            section("Rules", items(texts) if texts else paragraph("No rule judges this monitor.", "none")),
            section("Values over time", paragraph(ZOOM_HINT, "hint") + _chart(view, monitor, series)),
            section("Alerts", series_charts.alert_table(view, [monitor])),
            section("The newest windows", series_charts.value_table(monitor, TABLE_ROWS, is_open=True)),
        )
    )


def _chart(view: View, monitor: MonitorSeries, series: ModelSeries) -> Markup:
    return element("div", series_charts.chart(view, monitor, series.start, series.end), "card")

"""A model: its alerts, and its monitors over time, those with the most severe alerts first."""

from sqlalchemy.orm import Session

from dcmon.db.tables.org import Model
from dcmon.formatting import count_of
from dcmon.pages import monitor_series, series_charts
from dcmon.pages.markup import Markup, element, fields, joined, link, moment, paragraph, section
from dcmon.pages.models_section import page_links
from dcmon.pages.monitor_series import ModelSeries, Reading
from dcmon.pages.view import View

MONITORS_AT_ONCE = 50
WINDOWS = 90  # of each monitor and version; the page of a monitor has more
NO_ROW = 'No row was received yet. The SDK and the API send rows, and "dcmon ingest file" loads files.'
ZOOM_HINT = (
    "Times are in UTC. Drag across a chart to zoom all charts into a period; double-click to see all again."
    " Arrow keys move through the windows of a chart."
)


def render(session: Session, view: View, model: Model, page: int) -> Markup:
    """Return a page of a model's monitors with their alerts. `page`: from 1 on."""
    reading = Reading(MONITORS_AT_ONCE, (page - 1) * MONITORS_AT_ONCE, WINDOWS)
    series = monitor_series.read(session, model, reading)
    pages = page_links(page, series.count, MONITORS_AT_ONCE)
    return head(view, series) + parts(view, series, pages) + pages


def head(view: View, series: ModelSeries) -> Markup:
    """Return the name of a model, and what is known of it."""
    links = [link("Data flow and refused rows", view.links.data(series.model.id))]
    links += [
        link(f"Features of {version.name}", address)
        for version in series.versions[:5]
        if (address := view.links.features(version.id)) is not None
    ]
    versions = ", ".join(version.name for version in series.versions[:10])
    known = {
        "Organization": view.organization,
        "Versions": versions + (" …" if len(series.versions) > 10 else ""),
        "Task": series.model.task_type,
        "Monitors": _count(series),
        "Period": joined((moment(series.start), moment(series.end)), " to ") if series.start < series.end else None,
    }
    return element("h1", series.model.name) + fields(known) + element("p", joined(links, " · "))


def _count(series: ModelSeries) -> str:
    shown = len(series.monitors)
    return f"{series.count:,}" if shown == series.count else f"{series.count:,}, of which {shown:,} are shown"


def parts(view: View, series: ModelSeries, pages: Markup) -> Markup:
    """Return the alerts, the table and the charts of monitors. `pages`: links to other pages of monitors."""
    if not series.monitors:
        return paragraph("No monitor watches this model yet.", "none")
    cards = joined(series_charts.card(view, entry, series.start, series.end) for entry in series.monitors)
    values = paragraph(ZOOM_HINT, "hint") + cards
    if not any(version.watermark for version in series.versions) and not any(e.points for e in series.monitors):
        values = paragraph(NO_ROW, "none")
    of_all = "" if len(series.monitors) == series.count else f" of {count_of(len(series.monitors), 'monitor')}"
    return joined(
        (
            section(f"Alerts{of_all}", series_charts.alert_table(view, series.monitors)),
            section("Monitors", series_charts.monitor_table(view, series.monitors) + pages),
            section("Values over time", values),
        )
    )

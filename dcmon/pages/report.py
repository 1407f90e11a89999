"""The pages of one model as one HTML file, which needs no network."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from sqlalchemy.orm import Session

from dcmon import complete_files
from dcmon.alerting.alert_views import AlertView
from dcmon.db import Organization
from dcmon.db.tables.org import Model
from dcmon.formatting import format_time
from dcmon.monitoring.results import ALL, Span
from dcmon.pages import alert_section, data_section, document, features_section, model_section, monitor_series
from dcmon.pages.document import Page
from dcmon.pages.markup import Markup, element, joined, section
from dcmon.pages.monitor_series import ModelSeries, Reading
from dcmon.pages.view import DATA_ANCHOR, FileLinks, View, alert_anchor, features_anchor
from dcmon.states import AlertState

MOST_ALERTS = 8  # with what moved: those that fire, then the newest
MOST_MONITORS = 60  # those with the most severe alerts, then the oldest
WINDOWS = 200  # of a monitor and version, the newest
MOST_VERSIONS = 2  # with their features: those with the newest samples
MOST_POINTS = 4_000  # windows of all monitors: more would make the file larger than 1 MB
__all__ = ["Contents", "model_report", "read", "render", "write"]


@dataclass(frozen=True)
class Contents:
    """What a report shows below its monitors. `parts`: HTML of the sections on alerts, features and rows.

    `until`: no window ends later.
    """

    series: ModelSeries
    view: View
    parts: Sequence[Markup] = field(default_factory=tuple)
    until: datetime | None = None


def model_report(session: Session, organization: Organization, model: Model) -> str:
    """Return the report on a model."""
    return render(read(session, organization, model, ALL))


def read(session: Session, organization: Organization, model: Model, span: Span) -> Contents:
    """Read what the report on a model shows. `span`: only its windows, and the alerts of that time."""
    reading = Reading(MOST_MONITORS, windows=WINDOWS, since=span.since, until=span.until)
    series = monitor_series.read(session, model, reading)
    if (points := sum(len(entry.points) for entry in series.monitors)) > MOST_POINTS:
        windows = max(max(len(entry.points) for entry in series.monitors) * MOST_POINTS // points, 10)
        series = monitor_series.read(session, model, replace(reading, windows=windows))
    alerts = sorted(series.alerts, key=lambda view: view.alert.state != AlertState.FIRING)[:MOST_ALERTS]
    newest = series.versions[:MOST_VERSIONS]
    links = FileLinks({view.alert.id for view in alerts}, {version.id for version in newest})
    view = View(organization.name, links)
    parts = [_alert(session, view, organization, alert) for alert in alerts]
    for version in newest:
        of_version = features_section.render(session, view, (model, version), 1)
        parts.append(section(f"Features of version {version.name}", of_version, features_anchor(version.id)))
    parts.append(section("Data flow", data_section.render(session, view, model), DATA_ANCHOR))
    return Contents(series, view, parts, span.until)


def _alert(session: Session, view: View, organization: Organization, alert: AlertView) -> Markup:
    content = alert_section.render(session, view, organization, alert, shows_receivers=False, level="h2")
    return Markup('<section id="{}">{}</section>').format(alert_anchor(alert.alert.id), content)


def render(contents: Contents) -> str:
    """Return the HTML document. Names are escaped, because they may contain any character."""
    view, series, versions_of_file = contents.view, contents.series, len(contents.series.versions)
    body = joined((model_section.head(view, series), model_section.parts(view, series, Markup("")), *contents.parts))
    note = f"Generated {format_time(view.now)} UTC by dcmon" + ("" if versions_of_file else ", before any version")
    if contents.until is not None:
        note += f", from windows and alerts until {format_time(contents.until)}; states, features and rows are of now"
    title = f"{series.model.name} · {view.organization}"
    return document.offline(Page(title, body, view.figures, banner=element("span", note)))


def write(path: Path, text: str) -> None:
    """Write a report as a file, which is complete as soon as it has its name. Raises OSError."""
    complete_files.write_text(path, text)

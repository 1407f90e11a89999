"""Models and their versions, as rows."""

from typing import TYPE_CHECKING, Any

from dcmon import durations
from dcmon.alerting import alert_views
from dcmon.commands.shared.wording import NO_END
from dcmon.commands.views import version as version_view
from dcmon.ingestion import quarantine, sample_counts
from dcmon.monitoring import monitors
from dcmon.output import Fields, Page, Table
from dcmon.states import AlertState
from dcmon.storage import models, versions
from dcmon.tenancy import retention

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from dcmon.app import App
    from dcmon.db.tables.org import Model


# The default monitors of a model of an earlier release.
OF_EARLIER_RELEASES = "as in earlier releases"


def rows(app: "App") -> list[dict[str, Any]]:
    """List models with their samples, which are counted."""
    with app.org() as session:
        return [_list_row(session, model) for model in models.entries(session)]


def _list_row(session: "Session", model: "Model") -> dict[str, Any]:
    model_versions = versions.entries(session, model)
    watermarks = [version.watermark for version in model_versions if version.watermark]
    return {
        "name": model.name,
        "id": model.id,
        "task": model.task_type,
        "versions": len(model_versions),
        "samples": sum(sample_counts.count(session, version) for version in model_versions),
        "newest_sample": max(watermarks, default=None),
    }


def detail(app: "App", name: str) -> Page:
    """Show a model and its versions. Raises ModelNotFound."""
    org = app.organization()
    with app.org(org) as session:
        model = models.find(session, name)
        version_rows = [version_view.row(session, model, version) for version in versions.entries(session, model)]
        alerts = alert_views.list_alerts(session, model.id)
        row = {
            "name": model.name,
            "id": model.id,
            "task": model.task_type,
            "description": model.description,
            "time_zone": model.time_zone,
            "lateness": durations.to_text(model.lateness),
            "label_ratio": model.label_ratio,
            "label_delay": durations.to_text(model.label_delay),
            "samples_kept": retention.format_term(retention.effective_term(model.retention, org.retention)),
            "default_monitors": model.default_monitors or OF_EARLIER_RELEASES,
            "monitors": monitors.count(session, model),
            "firing_alerts": sum(view.alert.state == AlertState.FIRING for view in alerts),
            "quarantined": quarantine.counts_by_reason(session, model),
        }
    table = Table(version_rows, version_view.COLUMNS, empty="The model has no version yet.")
    return Page({**row, "versions": version_rows}, [Fields(row, NO_END), table])

"""Create models, and change when their windows are evaluated."""

from typing import TYPE_CHECKING, Any

from dcmon import durations
from dcmon.db import work_queue
from dcmon.monitoring import default_monitors, lifecycle
from dcmon.storage import models, versions
from dcmon.tenancy import organizations, retention

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.monitoring.lifecycle import ModelTiming
    from dcmon.states import DefaultSet
    from dcmon.storage.models import NewModel
    from dcmon.storage.versions import NewVersion
    from dcmon.windows import Frequency


def create(
    app: "App", new: "NewModel", version: "NewVersion | None", frequency: "Frequency", chosen: "DefaultSet | None"
) -> dict[str, Any]:
    """Create a model with default monitors, and optionally a version.

    `chosen`: which default monitors; None: those of the organization.
    """
    row: dict[str, Any] = {"model": new.name}
    org = app.organization()
    with app.public() as session:
        chosen = chosen or organizations.default_monitors(session, org)
    with app.org(org) as session:
        model = models.create(session, new)
        row["id"] = model.id
        row["monitors"] = default_monitors.create_defaults(session, model, frequency, chosen)
        if version is not None:
            row |= {"version": version.name, "version_id": versions.create(session, model, version).id}
    return row


def change(app: "App", name: str, timing: "ModelTiming") -> dict[str, Any]:
    """Change when a model's windows are evaluated, and enqueue the windows due now. Raises ModelNotFound."""
    org = app.organization()
    with app.org(org) as session:
        model = models.find(session, name)
        windows_due = lifecycle.change_model(session, org, model, timing, app.settings.url)
        row = {
            "model": name, "time_zone": model.time_zone, "lateness": durations.to_text(model.lateness),
            "label_ratio": model.label_ratio, "label_delay": durations.to_text(model.label_delay),
            "windows_due": windows_due,
        }  # fmt: skip
    app.enqueue(org, work_queue.Work.evaluate, work_queue.Work.notify)
    return row


def set_retention(app: "App", name: str, term: str) -> dict[str, Any]:
    """Set a model's own retention term, or let it inherit. Raises ModelNotFound or InvalidInput."""
    org = app.organization()
    own = None if term.strip().lower() == "inherit" else retention.parse(term) or retention.FOR_EVER
    with app.org(org) as session:
        models.set_retention(session, models.find(session, name), own)
    effective = retention.format_term(retention.effective_term(own, org.retention))
    return {"model": name, "samples_kept": effective, "own": own is not None}

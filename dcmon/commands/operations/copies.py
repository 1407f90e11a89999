"""Copy models, versions and monitors."""

from typing import TYPE_CHECKING, Any

from dcmon.db import work_queue
from dcmon.db.tables.org import Check, Model
from dcmon.monitoring import copies, monitors
from dcmon.storage import models, versions
from dcmon.storage.models import NewModel
from dcmon.tenancy import members

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dcmon.app import App
    from dcmon.monitoring.copies import Copied


def copy_model(app: "App", name: str, new_name: str, *, with_reference: bool) -> dict[str, Any]:
    """Copy a model without its rows. Raises ModelNotFound, InvalidInput or Conflict."""
    org = app.organization()
    with app.public() as session:
        administrators = members.administrators(session, org.id)
    with app.org(org) as session:
        model = models.find(session, name)
        new = NewModel(
            new_name, model.task_type, model.description, model.label_ratio, model.label_delay, model.time_zone,
            members=administrators,
        )  # fmt: skip
        copied = copies.copy_model(session, model, new, with_reference=with_reference, retention=org.retention)
        row = _row(new_name, name, copied) | {"versions": copied.versions, "monitors": copied.monitors}
    return {**row, "rules": copied.rules, "reference_rows": copied.reference}


def _row(name: str, copied_from: str, copied: "Copied") -> dict[str, Any]:
    return {"name": name, "copied_from": copied_from, "id": copied.id}


def copy_version(app: "App", words: "Sequence[str]", new_name: str, *, with_reference: bool) -> dict[str, Any]:
    """Copy a version without its rows. Raises VersionNotFound, InvalidInput or Conflict."""
    with app.org() as session:
        model, version = versions.find_one(session, words)
        copied = copies.copy_version(session, version, model, new_name, with_reference=with_reference)
        row = _row(f"{model.name}/{new_name}", versions.full_name(model, version), copied)
    return {**row, "reference_rows": copied.reference}


def copy_monitor(app: "App", name: str, new_name: str, model_name: str | None) -> dict[str, Any]:
    """Copy a monitor with its rules, and enqueue its last windows. Raises NotFound, InvalidInput or Conflict."""
    org = app.organization()
    with app.org(org) as session:
        monitor = monitors.find(session, name)
        own = session.get_one(Model, session.get_one(Check, monitor.check_id).model_id)
        model = own if model_name is None else models.find(session, model_name)
        copied = copies.copy_monitor(session, monitor, new_name, model, org.retention)
        row = _row(f"{model.name}/{new_name}", monitors.full_name(session, monitor), copied)
    app.enqueue(org, work_queue.Work.evaluate)
    return {**row, "rules": copied.rules}

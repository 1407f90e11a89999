"""Rename and delete models and versions."""

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from dcmon.commands.operations import old_names
from dcmon.commands.shared.several import Deletion
from dcmon.commands.shared.wording import open_text
from dcmon.db import work_queue
from dcmon.db.tables.org import Alert, AlertRule, Check, Model, Monitor, Result, Version
from dcmon.formatting import count_of, listed
from dcmon.ingestion import sample_counts
from dcmon.monitoring import lifecycle
from dcmon.monitoring.lifecycle import VersionEdit
from dcmon.states import AlertState
from dcmon.storage import models, sample_tables, versions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from dcmon.app import App


def model_deletion(app: "App", name: str) -> Deletion:
    """Find a model and count what is deleted with it. Raises ModelNotFound."""
    with app.org() as session:
        model = models.find(session, name)
        of_model = versions.entries(session, model)
        alerts = _alerts(session, Version.model_id == model.id)
        counts = {"versions": len(of_model), **_counts(session, of_model), **_rules(session, model), **alerts}

    def delete() -> None:
        with app.org() as session:
            lifecycle.delete_model(session, models.get(session, model.id))
        app.enqueue(app.organization(), work_queue.Work.notify)

    what = f"model {name!r}{_contents(counts)}"
    return Deletion(model.id, {"deleted": name, **counts}, what, delete, typed_name=name)


def version_deletion(app: "App", name: str) -> Deletion:
    """Find a version, MODEL/VERSION, and count what is deleted with it. Raises VersionNotFound or InvalidInput."""
    with app.org() as session:
        model, version = versions.find_named(session, name)
        counts = {**_counts(session, [version]), **_alerts(session, Version.id == version.id)}
        full_name = versions.full_name(model, version)

    def delete() -> None:
        with app.org() as session:
            lifecycle.delete_version(session, *versions.get(session, version.id))
        app.enqueue(app.organization(), work_queue.Work.notify)

    what = f"version {full_name!r}{_contents(counts)}"
    return Deletion(version.id, {"deleted": full_name, **counts}, what, delete, typed_name=full_name)


def _contents(counts: "Mapping[str, int]") -> str:
    """Return what is deleted with an object, for people."""
    parts = [count_of(count, what.removesuffix("s")) for what, count in counts.items() if count and what != "open"]
    return f" with {listed(parts)}{open_text(counts['open'])}" if parts else ", which is empty"


def rename_model(app: "App", name: str, new_name: str) -> dict[str, Any]:
    """Rename a model. Raises ModelNotFound, InvalidInput or Conflict."""
    with app.org() as session:
        sample_tables.lock_naming(session, "models")  # of two renames, the second one finds no model of the old name
        model = models.find(session, name)
        models.rename(session, model, new_name)
        of_model = session.scalars(select(Monitor.name).join(Check).where(Check.model_id == model.id)).all()
        still = old_names.row(session, old_names.of_model(name, new_name, of_model))
        return {"name": new_name, "old_name": name, "id": model.id, **still}


def rename_version(app: "App", words: "Sequence[str]", new_name: str) -> dict[str, Any]:
    """Rename a version. Raises VersionNotFound, InvalidInput or Conflict."""
    org = app.organization()
    with app.org(org) as session:
        model, version = versions.find_one(session, words)
        sample_tables.lock_naming(session, f"versions of {model.id}")
        version = versions.find(session, model, version.name)
        old_name = versions.full_name(model, version)
        lifecycle.change_version(session, org, version, VersionEdit(new_name, None, app.settings.url))
        return {"name": versions.full_name(model, version), "old_name": old_name, "id": version.id}


def _counts(session: "Session", of_model: list[Version]) -> dict[str, int]:
    results = (
        select(func.count()).select_from(Result).where(Result.version_id.in_([version.id for version in of_model]))
    )
    return {
        "samples": sum(sample_counts.count(session, version) for version in of_model),
        "results": session.scalar(results) or 0,
    }


def _rules(session: "Session", model: Model) -> dict[str, int]:
    monitors = select(Monitor.id).join(Check).where(Check.model_id == model.id)
    rules = select(func.count()).select_from(AlertRule).where(AlertRule.monitor_id.in_(monitors))
    return {
        "monitors": session.scalar(select(func.count()).select_from(monitors.subquery())) or 0,
        "rules": session.scalar(rules) or 0,
    }


def _alerts(session: "Session", condition: "ColumnElement[bool]") -> dict[str, int]:
    """Count the alerts of versions, and those of them that are open."""
    is_open = func.count().filter(Alert.state == AlertState.FIRING)
    statement = select(func.count(), is_open).select_from(Alert).join(Version, Version.id == Alert.version_id)
    alerts, opened = session.execute(statement.where(condition)).one()
    return {"alerts": alerts, "open": opened}

"""Rename and delete models and versions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from dcmon.db import work_queue
from dcmon.db.tables.org import Alert, AlertRule, Check, Model, Monitor, Result, Version
from dcmon.ingestion import sample_counts
from dcmon.monitoring import lifecycle
from dcmon.monitoring.lifecycle import VersionEdit
from dcmon.states import AlertState
from dcmon.storage import models, versions

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from dcmon.app import App


@dataclass(frozen=True)
class Removal:
    """What is deleted with an object. `name`: what an operator types to confirm it."""

    name: str
    counts: dict[str, int]
    delete: Callable[[], None]

    @property
    def question(self) -> str:
        """Return what is lost, for people."""
        shown = ", ".join(_counted(count, what.replace("_", " ")) for what, count in self.counts.items() if count)
        return f"This deletes {self.name!r} with {shown}." if shown else f"This deletes {self.name!r}, which is empty."


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what.removesuffix('s') if count == 1 else what}"


def prepare_model(app: "App", name: str) -> Removal:
    """Count what is deleted with a model. Raises ModelNotFound."""
    with app.org() as session:
        model = models.find(session, name)
        of_model = versions.entries(session, model)
        counts = {"versions": len(of_model), **_counts(session, of_model), **_rules(session, model)}
        counts["open_alerts"] = _open_alerts(session, Version.model_id == model.id)

    def delete() -> None:
        with app.org() as session:
            lifecycle.delete_model(session, models.get(session, model.id))
        app.enqueue(app.organization(), work_queue.Work.notify)

    return Removal(name, counts, delete)


def prepare_version(app: "App", model_name: str, name: str) -> Removal:
    """Count what is deleted with a version. Raises ModelNotFound or VersionNotFound."""
    with app.org() as session:
        version = versions.find(session, models.find(session, model_name), name)
        counts = {**_counts(session, [version]), "open_alerts": _open_alerts(session, Version.id == version.id)}

    def delete() -> None:
        with app.org() as session:
            lifecycle.delete_version(session, *versions.get(session, version.id))
        app.enqueue(app.organization(), work_queue.Work.notify)

    return Removal(name, counts, delete)


def rename_model(app: "App", name: str, new_name: str) -> dict[str, Any]:
    """Rename a model. Raises ModelNotFound, InvalidInput or Conflict."""
    with app.org() as session:
        model = models.find(session, name)
        models.rename(session, model, new_name)
        return {"id": model.id, "model": new_name, "before": name}


def rename_version(app: "App", model_name: str, name: str, new_name: str) -> dict[str, Any]:
    """Rename a version. Raises ModelNotFound, VersionNotFound, InvalidInput or Conflict."""
    org = app.organization()
    with app.org(org) as session:
        version = versions.find(session, models.find(session, model_name), name)
        lifecycle.change_version(session, org, version, VersionEdit(new_name, None, app.settings.url))
        return {"id": version.id, "model": model_name, "version": new_name, "before": name}


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


def _open_alerts(session: "Session", condition: "ColumnElement[bool]") -> int:
    statement = select(func.count()).select_from(Alert).join(Version, Version.id == Alert.version_id)
    return session.scalar(statement.where(condition, Alert.state == AlertState.FIRING)) or 0

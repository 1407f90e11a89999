"""Versions of models, as rows."""

from typing import TYPE_CHECKING, Any

from dcmon.ingestion import sample_counts
from dcmon.monitoring import liveness
from dcmon.output import Fields, Page, Table
from dcmon.storage import models, references, versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from dcmon.app import App
    from dcmon.db.tables.org import Model, Version

COLUMNS = ["version", "id", "features", "samples", "reference", "newest_sample", "state"]


def rows(app: "App", model_name: str | None) -> list[dict[str, Any]]:
    """List versions with their samples, which are counted; of all models without a name. Raises ModelNotFound."""
    with app.org() as session:
        of = models.entries(session) if model_name is None else [models.find(session, model_name)]
        return [_full_row(session, model, version) for model in of for version in versions.entries(session, model)]


def names(app: "App", words: "Sequence[str]") -> list[str]:
    """Return the names of versions that were typed, also as MODEL VERSION in two words. Raises VersionNotFound."""
    with app.org() as session:
        return versions.join_words(session, words)


def detail(app: "App", name: str) -> Page:
    """Show a version and its columns. Raises VersionNotFound or InvalidInput."""
    with app.org() as session:
        model, version = versions.find_named(session, name)
        about = {**_full_row(session, model, version), "classes": version.classes}
        importance = version.feature_importance or {}
        columns = [
            {"column": column, "type": kind, "kind": "feature", "importance": importance.get(column)}
            for column, kind in version.features.items()
        ] + [
            {"column": column, "type": kind, "kind": "additional", "importance": None}
            for column, kind in version.additional.items()
        ]
    table = Table(columns, ["column", "type", "kind", "importance"], empty="The version has no column.")
    return Page({**about, "columns": columns}, [Fields(about), table])


def _full_row(session: "Session", model: "Model", version: "Version") -> dict[str, Any]:
    return {"name": versions.full_name(model, version), "model": model.name, **row(session, model, version)}


def row(session: "Session", model: "Model", version: "Version") -> dict[str, Any]:
    """Describe a version; its samples are counted."""
    return {
        "version": version.name,
        "id": version.id,
        "features": len(version.features),
        "samples": sample_counts.count(session, version),
        "reference": references.count(session, version),
        "newest_sample": version.watermark,
        "state": liveness.classify(model, version),
        "file_columns": version.file_columns or {},
    }

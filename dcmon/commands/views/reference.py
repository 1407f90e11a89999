"""References, as rows."""

from typing import TYPE_CHECKING, Any

from dcmon.storage import models, references, versions

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from dcmon.app import App
    from dcmon.db.tables.org import Model, Version


def rows(app: "App", model_name: str | None) -> list[dict[str, Any]]:
    """List the references of all versions, or of those of one model, also empty ones. Raises ModelNotFound."""
    with app.org() as session:
        of = models.entries(session) if model_name is None else [models.find(session, model_name)]
        return [_row(session, model, version) for model in of for version in versions.entries(session, model)]


def detail(app: "App", name: str) -> dict[str, Any]:
    """Read the size and the revision of the reference of MODEL/VERSION. Raises VersionNotFound or InvalidInput."""
    with app.org() as session:
        return _row(session, *versions.find_named(session, name)) | {"at_most": app.settings.reference.largest}


def _row(session: "Session", model: "Model", version: "Version") -> dict[str, Any]:
    return {
        "name": versions.full_name(model, version),
        "model": model.name,
        "version": version.name,
        "rows": references.count(session, version),
        "revision": version.reference_revision,
    }

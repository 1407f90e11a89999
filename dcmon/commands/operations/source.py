"""Add, change, remove and scan sources of files."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from dcmon.commands.shared.arguments import require_some
from dcmon.commands.shared.several import Deletion
from dcmon.commands.views import source as view
from dcmon.errors import InvalidInput
from dcmon.formatting import count_of
from dcmon.ingestion.files import dialect, file_target, sources, store_keys
from dcmon.states import RowKind
from dcmon.storage import models, versions

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from dcmon.app import App
    from dcmon.db.tables.org import DataSource
    from dcmon.ingestion.files.dialect import Dialect
    from dcmon.ingestion.files.scanner import ScanResult


@dataclass(frozen=True)
class TypedTarget:
    """The target of files as typed.

    `kind` is samples or labels. `model` may be None if there is only one, `version` if the model has only one.
    `constants`: texts by field.
    """

    model: str | None
    version: str | None
    kind: RowKind
    mapping: Mapping[str, str]
    dialect: "Dialect"
    constants: Mapping[str, str]

    def find(self, session: "Session") -> file_target.FileTarget:
        """Find the model, the version and the fields. Raises NotFound or InvalidInput."""
        target = file_target.find(session, self.model, self.version, self.kind, self.mapping, self.dialect)
        return target.with_constants(self.constants)


@dataclass(frozen=True)
class SourceChange:
    """What changes of a source, as typed; None and empty values: it stays.

    Columns of `mapping` and fields of `constants` are added to those that it has. `reset`: words of --reset.
    """

    url: str | None
    version: str | None
    mapping: Mapping[str, str]
    dialect: "Dialect"
    constants: Mapping[str, str]
    reset: Collection[str]

    def require_some(self) -> None:
        """Check that something changes. Raises BadParameter."""
        values = (self.url, self.version, self.mapping, self.dialect.given(), self.constants, self.reset)
        require_some("source set", *(value or None for value in values))

    def target_of(self, session: "Session", source: "DataSource") -> TypedTarget:
        """Return the target of a source with the changes."""
        model, version = models.get(session, source.model_id).name, self.version
        if version is None and source.version_id is not None:
            version = versions.get(session, source.version_id)[1].name
        mapping = ({} if "map" in self.reset else dict(source.mapping)) | dict(self.mapping)
        constants = ({} if "set" in self.reset else dict(source.constants or {})) | dict(self.constants)
        options = {option.replace("-", "_") for option in self.reset}
        written = dialect.changed(dialect.from_json(source.dialect), self.dialect, options)
        return TypedTarget(model, version, RowKind(source.kind), mapping, written, constants)


def require_same_owner(model: str | None, *, has_labels: bool) -> None:
    """Refuse another model of a source, or another kind of rows. Raises BadParameter."""
    if model is not None or has_labels:
        raise typer.BadParameter(
            "The model of a source, and whether its files hold labels, can't change: the rows that it loaded belong to"
            ' them. "dcmon source delete" keeps these rows; then create another source.'
        )


def add(app: "App", name: str, url: str, typed: TypedTarget, *, is_checked: bool) -> dict[str, Any]:
    """Add a source; with `is_checked`, list its location first. Raises InvalidInput, NotFound or Conflict."""
    _require_location(app, url, is_checked=is_checked)
    with app.org() as session:
        return _row(session, sources.add(session, _new(session, name, url, typed)))


def change(app: "App", name: str, wanted: SourceChange, *, is_checked: bool) -> dict[str, Any]:
    """Change a source; with `is_checked`, list a new location first. Raises InvalidInput or NotFound."""
    if wanted.url is not None:
        _require_location(app, wanted.url, is_checked=is_checked)
    with app.org() as session:
        source = sources.find(session, name, is_locked=True)
        if source.is_of_path:
            raise InvalidInput(f'Source {name!r} belongs to the path of its model: "dcmon model set-path" changes it.')
        typed = wanted.target_of(session, source)
        sources.change(session, source, _new(session, name, wanted.url or source.url, typed))
        return _row(session, source) | {"failed": sources.describe(session, source)["failed"]}


def _require_location(app: "App", url: str, *, is_checked: bool) -> None:
    """Check the URL of a source, and with `is_checked` that it can be listed. Raises InvalidInput or NotFound."""
    with app.org() as session:
        keys = store_keys.of_organization(session) if sources.is_bucket(url) else None
    location = sources.location(url, app.settings.s3, keys)
    if is_checked:
        next(location.pages(), None)


def _new(session: "Session", name: str, url: str, typed: TypedTarget) -> sources.NewSource:
    """Return the properties of a source, if its model, version and fields exist. Raises NotFound or InvalidInput."""
    target = typed.find(session)
    return sources.NewSource(
        name, url, typed.kind, target.model_id, target.version_id, typed.mapping, typed.dialect, typed.constants
    )


def _row(session: "Session", source: "DataSource") -> dict[str, Any]:
    row = sources.describe(session, source)
    return {key: row[key] for key in ("name", "url", "kind", "model", "version", "mapping", "dialect", "constants")}


def deletion(app: "App", name: str) -> Deletion:
    """Find a source; the rows that were loaded from it stay. Raises SourceNotFound."""
    row = view.row(app, name)
    loss = f"source {name!r} of {row['url']}, whose {count_of(row['stored'], 'row')} stay"
    deleted = {"deleted": name, "files": row["files"], "rows_kept": row["stored"]}
    return Deletion(name, deleted, loss, partial(_delete, app, name))


def _delete(app: "App", name: str) -> None:
    """Delete a source. Raises SourceNotFound."""
    with app.org() as session:
        sources.remove(session, sources.find(session, name))


def rename(app: "App", name: str, new_name: str) -> dict[str, Any]:
    """Rename a source; its files and rows stay. Raises SourceNotFound, InvalidInput or Conflict."""
    with app.org() as session:
        sources.rename(session, sources.find(session, name, is_locked=True), new_name)
    return {"name": new_name, "old_name": name}


def find(app: "App", name: str) -> str:
    """Check that there is a source, and return its name. Raises SourceNotFound."""
    with app.org() as session:
        return sources.find(session, name).name


def resume(app: "App", name: str) -> dict[str, Any]:
    """Let the scheduler scan a source. Raises SourceNotFound."""
    with app.org() as session:
        source = sources.find(session, name)
        source.is_active = True
        session.flush()
        return {"name": name, "is_active": True, "url": sources.describe(session, source)["url"]}


def scan(app: "App", name: str | None, *, retries_failed: bool) -> "list[ScanResult]":
    """Load the new files of a source, or of all active sources if `name` is None. Raises SourceNotFound."""
    from dcmon.ingestion.files.scanner import Scanner

    with app.org() as session:
        names = [name] if name is not None else [source.name for source in sources.entries(session) if source.is_active]
    scanner = Scanner(app.engine, app.organization(), app.settings.s3)
    return [scanner.scan(source, retry=retries_failed) for source in names]

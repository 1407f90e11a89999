"""Add, remove and scan sources of files."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from dcmon.commands.shared.several import Deletion
from dcmon.commands.views import source as view
from dcmon.formatting import count_of
from dcmon.ingestion.files import file_target, sources, store_keys

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from dcmon.app import App
    from dcmon.ingestion.files.dialect import Dialect
    from dcmon.ingestion.files.scanner import ScanResult
    from dcmon.states import RowKind


@dataclass(frozen=True)
class TypedTarget:
    """The target of files as typed.

    `kind` is samples or labels. `model` may be None if there is only one, `version` if the model has only one.
    `constants`: texts by field.
    """

    model: str | None
    version: str | None
    kind: "RowKind"
    mapping: Mapping[str, str]
    dialect: "Dialect"
    constants: Mapping[str, str]

    def find(self, session: "Session") -> file_target.FileTarget:
        """Find the model, the version and the fields. Raises NotFound or InvalidInput."""
        target = file_target.find(session, self.model, self.version, self.kind, self.mapping, self.dialect)
        return target.with_constants(self.constants)


def add(app: "App", name: str, url: str, typed: TypedTarget, *, is_checked: bool) -> dict[str, Any]:
    """Add a source; with `is_checked`, list its location first. Raises InvalidInput, NotFound or Conflict."""
    with app.org() as session:
        keys = store_keys.of_organization(session) if sources.is_bucket(url) else None
    location = sources.location(url, app.settings.s3, keys)
    if is_checked:
        next(location.pages(), None)
    with app.org() as session:
        target = typed.find(session)
        new = sources.NewSource(
            name, url, typed.kind, target.model_id, target.version_id, typed.mapping, typed.dialect, typed.constants
        )
        row = sources.describe(session, sources.add(session, new))
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

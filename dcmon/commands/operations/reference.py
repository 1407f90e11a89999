"""Load and clear references."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from dcmon.commands.shared.dry_run_output import would
from dcmon.commands.shared.several import Deletion
from dcmon.db import work_queue
from dcmon.formatting import count_of
from dcmon.ingestion.files import reference_file
from dcmon.ingestion.files.dialect import Dialect
from dcmon.ingestion.reference_loading import LoadOptions, ReferenceLoad
from dcmon.monitoring import lifecycle
from dcmon.storage import models, references, sample_tables, versions

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from dcmon.app import App
    from dcmon.db.tables.org import Model, Version
    from dcmon.storage.columns import Columns


class VersionNames(NamedTuple):
    """The names of a model and its version; None: the only one."""

    model: str | None
    version: str | None


@dataclass(frozen=True)
class ReferenceFile:
    """A file, directory or pattern to load as a reference. `renames` maps columns to fields.

    `constants` has the texts of --set by field.
    """

    path: Path
    renames: Mapping[str, str]
    dialect: Dialect
    constants: Mapping[str, str]
    replaces: bool
    is_dry_run: bool


class Reference(NamedTuple):
    """The reference of a version: the number of rows and the possible columns."""

    model: "Model"
    version: "Version"
    rows: int
    columns: "Columns"


def find(app: "App", names: VersionNames) -> Reference:
    """Find a version's reference. Raises ModelNotFound, VersionNotFound or InvalidInput."""
    with app.org() as session:
        owner = models.find_or_only(session, names.model)
        row = versions.find_or_only(session, owner, names.version)
        return Reference(owner, row, references.count(session, row), sample_tables.columns(owner, row))


def load(app: "App", names: VersionNames, file: ReferenceFile, confirm: Callable[[str], None]) -> dict[str, Any]:
    """Append a file's rows to a reference, or replace it after `confirm(question)`; then enqueue its windows.

    Raises ModelNotFound, VersionNotFound, InvalidInput or FileRefused.
    """
    options = LoadOptions(file.replaces, app.settings.reference.largest, file.is_dry_run)
    reference = find(app, names)
    with reference_file.opened_table(file.path, reference.columns, file.renames, file.dialect, file.constants) as table:
        if options.replace and not options.dry_run:
            confirm(f"Replace {reference.rows:,} reference rows of {reference.model.name}/{reference.version.name}?")
        org = app.organization()
        with app.org(org) as session:
            reference_load = lifecycle.load_reference(
                session, reference.model, reference.version, table, options, org.retention
            )
        for remark in table.remarks:
            app.output.remark(remark)
        return _finish(app, reference_load, dry_run=options.dry_run)


def load_first(
    app: "App", session: "Session", model: "Model", version: "Version", file: ReferenceFile
) -> ReferenceLoad | None:
    """Load a file as the first reference of a version, in the transaction of the session.

    Return None, and load nothing, if the version has a reference. Raises InvalidInput, NotFound or FileRefused.
    """
    if references.count(session, version):
        return None
    options = LoadOptions(False, app.settings.reference.largest, False)
    columns = sample_tables.columns(model, version)
    with reference_file.opened_table(file.path, columns, file.renames, file.dialect, file.constants) as table:
        loaded = lifecycle.load_reference(session, model, version, table, options, app.organization().retention)
        for remark in table.remarks:
            app.output.remark(remark)
    return loaded


def chosen(app: "App", typed: Sequence[str] | None, names: VersionNames) -> list[str]:
    """Return the versions that were typed, as arguments or as --model and --version, by their full names.

    Raises ModelNotFound, VersionNotFound, InvalidInput, or BadParameter if there are both.
    """
    if not typed:
        reference = find(app, names)
        return [versions.full_name(reference.model, reference.version)]
    if names != VersionNames(None, None):
        raise typer.BadParameter("Give MODEL/VERSION, or --model and --version, not both.")
    with app.org() as session:
        return versions.join_words(session, typed)


def deletion(app: "App", name: str) -> Deletion:
    """Find a reference, of MODEL/VERSION, to delete its rows. Raises VersionNotFound or InvalidInput."""
    org = app.organization()
    with app.org(org) as session:
        model, version = versions.find_named(session, name)
        rows, full_name = references.count(session, version), versions.full_name(model, version)

    def delete() -> None:
        with app.org(org) as session:
            lifecycle.clear_reference(session, versions.get(session, version.id)[1], org.retention)
        app.enqueue(org, work_queue.Work.evaluate)

    row = {"deleted": full_name, "removed": rows, "rows": 0, "revision": version.reference_revision + 1}
    return Deletion(version.id, row, f"{count_of(rows, 'reference row')} of {full_name}", delete)


def _finish(app: "App", load: ReferenceLoad, *, dry_run: bool) -> dict[str, Any]:
    """Enqueue evaluation after the commit, and return the counts of the load as a row."""
    if not dry_run:
        app.enqueue(app.organization(), work_queue.Work.evaluate)
    counts = {"store": load.stored, "delete": load.removed}
    would(app.output, *(f"{verb} {count_of(rows, 'reference row')}" for verb, rows in counts.items() if rows))
    return {"stored": load.stored, "removed": load.removed, "rows": load.total, "revision": load.revision}

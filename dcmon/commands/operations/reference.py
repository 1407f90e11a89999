"""Load and clear references."""

from typing import TYPE_CHECKING, Any, NamedTuple

from dcmon.db import work_queue
from dcmon.ingestion.reference_loading import LoadOptions, ReferenceLoad
from dcmon.monitoring import lifecycle
from dcmon.storage import models, references, sample_tables, versions

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.db.tables.org import Model, Version
    from dcmon.ingestion.reference_loading import ReferenceTable
    from dcmon.storage.columns import Columns


class Reference(NamedTuple):
    """The reference of a version: the number of rows and the possible columns."""

    model: "Model"
    version: "Version"
    rows: int
    columns: "Columns"


def find(app: "App", model: str, version: str) -> Reference:
    """Find a version's reference. Raises ModelNotFound or VersionNotFound."""
    with app.org() as session:
        owner = models.find(session, model)
        row = versions.find(session, owner, version)
        return Reference(owner, row, references.count(session, row), sample_tables.columns(owner, row))


def load(app: "App", reference: Reference, table: "ReferenceTable", options: LoadOptions) -> dict[str, Any]:
    """Append rows to a reference, or replace it; then enqueue its windows."""
    org = app.organization()
    with app.org(org) as session:
        reference_load = lifecycle.load_reference(
            session, reference.model, reference.version, table, options, org.retention
        )
    return _finish(app, reference_load, dry_run=options.dry_run)


def clear(app: "App", reference: Reference, *, dry_run: bool) -> dict[str, Any]:
    """Delete all rows of a reference; then enqueue its windows."""
    if dry_run:
        revision = reference.version.reference_revision + 1
        return _finish(app, ReferenceLoad(0, reference.rows, 0, revision), dry_run=True)
    org = app.organization()
    with app.org(org) as session:
        reference_load = lifecycle.clear_reference(session, reference.version, org.retention)
    return _finish(app, reference_load, dry_run=False)


def _finish(app: "App", load: ReferenceLoad, *, dry_run: bool) -> dict[str, Any]:
    """Enqueue evaluation after the commit, and return the counts of the load as a row."""
    if not dry_run:
        app.enqueue(app.organization(), work_queue.Work.evaluate)
    return {"stored": load.stored, "removed": load.removed, "rows": load.total, "revision": load.revision}

"""Load and clear references."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dcmon.db import work_queue
from dcmon.ingestion import reference_loading
from dcmon.ingestion.reference_loading import LoadOptions, ReferenceLoad
from dcmon.monitoring import lifecycle
from dcmon.storage import models, references, sample_tables, versions

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.db.tables.org import Model, Version
    from dcmon.ingestion.reference_loading import ReferenceTable
    from dcmon.storage.columns import Columns


class Reference(NamedTuple):
    """The reference of a version: the number of its rows, and the columns that it can have."""

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


@contextmanager
def opened_table(file: Path, columns: "Columns", mapping: Mapping[str, str]) -> "Iterator[ReferenceTable]":
    """Open a file as rows of a reference. Raises InvalidInput, NotFound or FileRefused."""
    from mmap import ACCESS_READ, mmap

    from dcmon.ingestion.files import column_mapping, reader
    from dcmon.ingestion.files.column_mapping import FileKind

    if file.suffix != ".json":
        with reader.open_file(str(file)) as opened:
            file_mapping = column_mapping.create(columns, FileKind.REFERENCE, mapping)
            yield reference_loading.ReferenceTable(opened.reference_rows(file_mapping))
        return
    with reader.open_bytes(file) as plain:
        is_empty = file.stat().st_size == 0
        yield reference_loading.split_document(b"" if is_empty else mmap(plain.fileno(), 0, access=ACCESS_READ))


def _finish(app: "App", load: ReferenceLoad, *, dry_run: bool) -> dict[str, Any]:
    """Enqueue evaluation after the commit, and return the counts of the load as a row."""
    if not dry_run:
        app.enqueue(app.organization(), work_queue.Work.evaluate)
    return {"stored": load.stored, "removed": load.removed, "rows": load.total, "revision": load.revision}

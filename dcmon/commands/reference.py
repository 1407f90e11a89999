"""References that production is compared with: load, show, clear."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dcmon.commands import confirm, group, mapping, outcome
from dcmon.ingestion import reference_loading
from dcmon.monitoring import lifecycle

if TYPE_CHECKING:
    from dcmon.ingestion.reference_loading import ReferenceLoad, ReferenceTable
    from dcmon.storage.columns import Columns

app = group(__doc__)

ModelName = Annotated[str, typer.Option("--model", help="The model.")]
VersionName = Annotated[str, typer.Option("--version", help="Its version.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


@app.command()
def load(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help='"split" JSON of pandas (.json), CSV, Parquet or JSON lines.')],
    model: ModelName,
    version: VersionName,
    replace: Annotated[bool, typer.Option("--replace", help="Put it in the place of what is there.")] = False,
    map_: Annotated[list[str] | None, typer.Option("--map", help="COLUMN=FIELD; COLUMN= leaves one out.")] = None,
    ignore_extra: Annotated[bool, typer.Option("--ignore-extra", help="Leave out columns with no field.")] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Append a file's rows to a reference, or replace it: all of them, or none.

    Example: dcmon reference load training.parquet --model credit --version v1 --map target=_dc_label --dry-run
    """
    from dcmon.storage import models, references, sample_tables, versions

    largest, columns = ctx.obj.settings.reference.largest, mapping(map_, ignore_extra)
    with ctx.obj.org() as session:
        owner = models.find(session, model)
        found = versions.find(session, owner, version)
        there, shape = references.count(session, found), sample_tables.columns(owner, found)
    with _table(file, shape, columns) as table:
        if replace and not dry_run:
            confirm(f"Replace {there:,} reference rows of {model}/{version}?", yes)
        org = ctx.obj.organization()
        with ctx.obj.org(org) as session:
            options = reference_loading.LoadOptions(replace, largest, dry_run)
            done = lifecycle.load_reference(session, owner, found, table, options, org.retention)
    _finish(ctx, done, dry_run=dry_run)


@app.command()
def show(ctx: typer.Context, model: ModelName, version: VersionName) -> None:
    """Show how large a reference is, and its revision. Example: dcmon reference show --model credit --version v1"""
    from dcmon.storage import models, references, versions

    with ctx.obj.org() as session:
        found = versions.find(session, models.find(session, model), version)
        rows = references.count(session, found)
    largest = ctx.obj.settings.reference.largest
    ctx.obj.output.value(
        {"model": model, "version": version, "rows": rows, "revision": found.reference_revision, "at_most": largest}
    )


@app.command()
def clear(
    ctx: typer.Context, model: ModelName, version: VersionName, yes: Yes = False, dry_run: DryRun = False
) -> None:
    """Remove all rows of a reference. Example: dcmon reference clear --model credit --version v1 --dry-run"""
    from dcmon.storage import models, references, versions

    with ctx.obj.org() as session:
        found = versions.find(session, models.find(session, model), version)
        rows = references.count(session, found)
    if dry_run:
        _finish(ctx, reference_loading.ReferenceLoad(0, rows, 0, found.reference_revision + 1), dry_run=True)
        return
    confirm(f"Remove {rows:,} reference rows of {model}/{version}?", yes)
    org = ctx.obj.organization()
    with ctx.obj.org(org) as session:
        done = lifecycle.clear_reference(session, found, org.retention)
    _finish(ctx, done, dry_run=False)


@contextmanager
def _table(file: Path, columns: "Columns", mapping: Mapping[str, str]) -> "Iterator[ReferenceTable]":
    """The rows of a file, read as they are stored. Raises InvalidInput, NotFound or FileRefused."""
    from mmap import ACCESS_READ, mmap

    from dcmon.ingestion.files import column_mapping, reader

    if file.suffix != ".json":
        with reader.open_file(str(file)) as opened:
            yield reference_loading.ReferenceTable(
                opened.reference_rows(column_mapping.create(columns, "reference", mapping))
            )
        return
    with reader.open_bytes(file) as plain:
        is_empty = file.stat().st_size == 0
        yield reference_loading.split_document(b"" if is_empty else mmap(plain.fileno(), 0, access=ACCESS_READ))


def _finish(ctx: typer.Context, done: "ReferenceLoad", *, dry_run: bool) -> None:
    """Say what was done; windows that are due by it are looked for at once."""
    from dcmon.db import work_queue

    org = ctx.obj.organization()
    if not dry_run:
        ctx.obj.enqueue(org, work_queue.Work.evaluate)
    said = {"stored": done.stored, "removed": done.removed, "rows": done.total, "revision": done.revision}
    ctx.obj.output.value(outcome(said, dry_run=dry_run))

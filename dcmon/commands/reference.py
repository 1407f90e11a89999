"""References, with which production rows are compared."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dcmon.commands.shared import option_groups, options
from dcmon.commands.shared.arguments import column_mapping, constants
from dcmon.commands.shared.changes import counting
from dcmon.commands.shared.confirmation import confirm
from dcmon.commands.shared.groups import group

if TYPE_CHECKING:
    from dcmon.ingestion.files.dialect import Dialect

app = group(__doc__)


@app.command()
@counting
@option_groups.file_dialect
def load(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(help='CSV, Parquet, JSON lines, "split" JSON of pandas (.json), a directory or pattern.'),
    ],
    model: options.TargetModel = None,
    version: options.TargetVersion = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the rows of the reference.")] = False,
    map_: options.Mapping = None,
    ignore_extra: options.IgnoreExtra = False,
    set_: options.Constants = None,
    *,
    dialect: "Dialect",
    yes: options.Yes = False,
    dry_run: options.DryRun = False,
) -> None:
    """Append a file's rows to a reference, or replace the reference.

    Either all rows are stored, or none.

    Example: dcmon reference load training.parquet --model credit --version v1 --dry-run
    """
    from dcmon.commands.operations import reference as operation

    renames = column_mapping(map_, ignore_extra)
    reference_file = operation.ReferenceFile(file, renames, dialect, constants(set_), replace, dry_run)
    names = operation.VersionNames(model, version)
    loaded = operation.load(ctx.obj, names, reference_file, partial(confirm, yes=yes))
    ctx.obj.output.value(loaded)


@app.command()
def show(ctx: typer.Context, model: options.TargetModel = None, version: options.TargetVersion = None) -> None:
    """Show the size and the revision of a reference. Example: dcmon reference show --model credit --version v1"""
    from dcmon.commands.operations import reference as operation

    reference = operation.find(ctx.obj, operation.VersionNames(model, version))
    row = {"model": reference.model.name, "version": reference.version.name, "rows": reference.rows}
    row |= {"revision": reference.version.reference_revision, "at_most": ctx.obj.settings.reference.largest}
    ctx.obj.output.value(row)


@app.command()
@counting
def delete(
    ctx: typer.Context,
    model: options.TargetModel = None,
    version: options.TargetVersion = None,
    yes: options.Yes = False,
    dry_run: options.DryRun = False,
) -> None:
    """Delete all rows of a reference. Example: dcmon reference delete --model credit --version v1 --dry-run"""
    from dcmon.commands.operations import reference as operation

    names = operation.VersionNames(model, version)
    cleared = operation.clear(ctx.obj, names, partial(confirm, yes=yes), dry_run=dry_run)
    ctx.obj.output.value(cleared)

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
from dcmon.commands.shared.lists import listing_of
from dcmon.commands.shared.several import delete_all, show_all

if TYPE_CHECKING:
    from dcmon.ingestion.files.dialect import Dialect

app = group(__doc__)
Versions = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="VERSION...",
        help="MODEL/VERSION, VERSION that only one model has; not needed if there is one.",
    ),
]


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


@app.command("list")
@listing_of("versions")
def list_(ctx: typer.Context, model: options.OnlyModel = None) -> None:
    """List the references of all versions; without rows there is none. Example: dcmon reference list"""
    from dcmon.commands.views import reference as view

    ctx.obj.output.table(view.rows(ctx.obj, model), ["model", "version", "rows", "revision"], empty="No version yet.")


@app.command()
def show(
    ctx: typer.Context,
    versions: Versions = None,
    model: options.TargetModel = None,
    version: options.TargetVersion = None,
) -> None:
    """Show the sizes and revisions of references. Example: dcmon reference show credit/v1"""
    from dcmon.commands.operations import reference as operation
    from dcmon.commands.views import reference as view

    names = operation.chosen(ctx.obj, versions, operation.VersionNames(model, version))
    show_all(ctx.obj.output, names, partial(view.detail, ctx.obj))


@app.command()
@counting
def delete(
    ctx: typer.Context,
    versions: Versions = None,
    model: options.TargetModel = None,
    version: options.TargetVersion = None,
    yes: options.Yes = False,
) -> None:
    """Delete all rows of references. Example: dcmon reference delete credit/v1 --dry-run"""
    from dcmon.commands.operations import reference as operation

    names = operation.chosen(ctx.obj, versions, operation.VersionNames(model, version))
    delete_all(ctx.obj.output, names, partial(operation.deletion, ctx.obj), yes=yes)

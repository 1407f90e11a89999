"""Versions of models, with their columns."""

from functools import partial
from typing import Annotated

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.changes import changing, counting
from dcmon.commands.shared.groups import group
from dcmon.commands.shared.lists import listing_of
from dcmon.commands.shared.several import delete_all, show_all

app = group(__doc__)
NAME_HELP = "MODEL/VERSION, VERSION where only one model has it, or its id."
Versions = Annotated[list[str], typer.Argument(metavar="VERSION...", help=NAME_HELP)]
# One, that may be typed in two words: MODEL VERSION.
Version = Annotated[list[str], typer.Argument(metavar="VERSION", help=NAME_HELP)]


@app.command("list")
@listing_of("versions")
def list_(ctx: typer.Context, model: options.OnlyModel = None) -> None:
    """List versions, of each model the one with the newest sample first. Example: dcmon version list --model credit"""
    from dcmon.commands.views import version as view

    columns = ["model", *view.COLUMNS]
    ctx.obj.output.table(view.rows(ctx.obj, model), columns, empty='No version: "dcmon model create --help" shows how.')


@app.command()
def show(ctx: typer.Context, versions: Versions) -> None:
    """Show versions with their columns. Example: dcmon version show credit/v1"""
    from dcmon.commands.views import version as view

    show_all(ctx.obj.output, view.names(ctx.obj, versions), partial(view.detail, ctx.obj))


@app.command()
@changing
def rename(ctx: typer.Context, version: Version, new_name: options.NewName) -> None:
    """Rename a version; its id stays, so clients go on unchanged. Example: dcmon version rename credit/v1 v1-retired"""
    from dcmon.commands.operations import model_removal as operation

    ctx.obj.output.value(operation.rename_version(ctx.obj, version, new_name))


@app.command()
@changing
def copy(
    ctx: typer.Context,
    version: Version,
    new_name: options.NewName,
    with_reference: options.WithReference = False,
) -> None:
    """Copy a version's columns, but no rows. Example: dcmon version copy credit/v1 v2 --with-reference"""
    from dcmon.commands.operations import copies as operation

    ctx.obj.output.value(operation.copy_version(ctx.obj, version, new_name, with_reference=with_reference))


@app.command()
@counting
def delete(
    ctx: typer.Context,
    versions: Versions,
    yes: options.Yes = False,
) -> None:
    """Delete versions with their samples, results and alerts. Example: dcmon version delete credit/v1 --dry-run"""
    from dcmon.commands.operations import model_removal as operation
    from dcmon.commands.views import version as view

    names = view.names(ctx.obj, versions)
    delete_all(ctx.obj.output, names, partial(operation.version_deletion, ctx.obj), yes=yes)

"""Versions of models, with their columns."""

from typing import Annotated

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.changes import changing
from dcmon.commands.shared.confirmation import ask_for_name, outcome
from dcmon.commands.shared.groups import group
from dcmon.commands.shared.lists import listing_of

app = group(__doc__)
Name = Annotated[str, typer.Argument(metavar="VERSION", help="Name of the version.")]


@app.command("list")
@listing_of("versions")
def list_(ctx: typer.Context, model: options.OnlyModel = None) -> None:
    """List versions, of each model the one with the newest sample first. Example: dcmon version list --model credit"""
    from dcmon.commands.views import version as view

    columns = ["model", *view.COLUMNS]
    ctx.obj.output.table(view.rows(ctx.obj, model), columns, empty='No version: "dcmon model create --help" shows how.')


@app.command()
def show(ctx: typer.Context, model: options.ModelName, version: Name) -> None:
    """Show a version with its columns. Example: dcmon version show credit v1"""
    from dcmon.commands.views import version as view

    ctx.obj.output.page(view.detail(ctx.obj, model, version))


@app.command()
@changing
def rename(
    ctx: typer.Context,
    model: options.ModelName,
    version: Name,
    new_name: options.NewName,
) -> None:
    """Rename a version; its id stays, so clients go on unchanged. Example: dcmon version rename credit v1 v1-retired"""
    from dcmon.commands.operations import model_removal as operation

    ctx.obj.output.value(operation.rename_version(ctx.obj, model, version, new_name))


@app.command()
@changing
def copy(
    ctx: typer.Context,
    model: options.ModelName,
    version: Name,
    new_name: options.NewName,
    with_reference: options.WithReference = False,
) -> None:
    """Copy a version's columns, but no rows. Example: dcmon version copy credit v1 v2 --with-reference"""
    from dcmon.commands.operations import copies as operation

    ctx.obj.output.value(operation.copy_version(ctx.obj, model, version, new_name, with_reference=with_reference))


@app.command()
def delete(
    ctx: typer.Context,
    model: options.ModelName,
    version: Name,
    dry_run: options.DryRun = False,
    yes: options.Yes = False,
) -> None:
    """Delete a version with its samples, results and alerts. Example: dcmon version delete credit v1 --dry-run"""
    from dcmon.commands.operations import model_removal as operation

    removal = operation.prepare_version(ctx.obj, model, version)
    ask_for_name(removal.question, removal.name, removal.delete, dry_run=dry_run, yes=yes)
    ctx.obj.output.value(outcome({"model": model, "deleted": version, **removal.counts}, dry_run=dry_run))

"""Profiles: named sets of settings in a file of the user."""

from typing import Annotated

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.changes import counting
from dcmon.commands.shared.groups import group
from dcmon.commands.shared.lists import global_listing
from dcmon.commands.shared.several import delete_all, show_all

app = group(__doc__)

Name = Annotated[str, typer.Argument(metavar="PROFILE", help="Name of the profile.")]
Names = Annotated[list[str], typer.Argument(metavar="PROFILE...", help="Names of profiles.")]
Values = Annotated[
    list[str],
    typer.Argument(
        metavar="SETTING=VALUE...", help="Settings, like org=acme http.port=8010 output=json; SETTING= removes."
    ),
]


@app.command("list")
@global_listing
def list_(ctx: typer.Context) -> None:
    """List the profiles; one may be the current one. Example: dcmon profile list"""
    from dcmon.commands.views import profile as view

    ctx.obj.output.page(view.listing())


@app.command()
def show(ctx: typer.Context, names: Names) -> None:
    """Show the settings of profiles; secrets are masked. Example: dcmon profile show prod"""
    from dcmon.commands.views import profile as view

    show_all(ctx.obj.output, names, view.detail)


@app.command()
@counting
def use(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="PROFILE|none", help="Name of the profile.")],
    dry_run: options.DryRun = False,
) -> None:
    """Make a profile the current one, which commands use by default; none: no profile. Example: dcmon profile use prod

    --profile and DCMON_PROFILE choose another one for a command or a shell.
    """
    from dcmon.commands.operations import profile as operation

    ctx.obj.output.value(operation.use(ctx.obj.output, name, dry_run=dry_run))


@app.command("set")
@counting
def set_(ctx: typer.Context, name: Name, values: Values, dry_run: options.DryRun = False) -> None:
    """Create a profile, or change its settings. A value "-" is read from stdin, or asked for on a terminal.

    Example: dcmon profile set prod org=acme output=wide http.port=8010
    """
    from dcmon.commands.operations import profile as operation

    ctx.obj.output.value(operation.change(ctx.obj.output, name, values, dry_run=dry_run))


@app.command()
@counting
def rename(ctx: typer.Context, name: Name, new_name: options.NewName, dry_run: options.DryRun = False) -> None:
    """Rename a profile in the file; what names it elsewhere, like DCMON_PROFILE, needs the new name.

    Example: dcmon profile rename staging test
    """
    from dcmon.commands.operations import profile as operation

    ctx.obj.output.value(operation.rename(ctx.obj.output, name, new_name, dry_run=dry_run))


@app.command()
@counting
def delete(
    ctx: typer.Context,
    names: Names,
    yes: options.Yes = False,
) -> None:
    """Delete profiles from the file. Example: dcmon profile delete staging --dry-run"""
    from dcmon.commands.operations import profile as operation

    delete_all(ctx.obj.output, names, operation.deletion, yes=yes)

"""Checks that monitors can run."""

from typing import Annotated

import typer

from dcmon.commands.shared.groups import group
from dcmon.commands.shared.lists import global_listing

app = group(__doc__)


@app.command("list")
@global_listing
def list_(ctx: typer.Context) -> None:
    """List checks: those of deepchecks that return numbers, and own ones.

    Own checks are those of installed packages.

    Example: dcmon check list
    """
    from dcmon.commands.views import check as view

    ctx.obj.output.table(view.rows(), ["check", "group", "needs", "choices"], unfolded=["check"])


@app.command()
def show(
    ctx: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="CHECK", help='Class of a check, or name of an own check; "dcmon check list" lists them.'
        ),
    ],
) -> None:
    """Show what a check needs, and its choices: scorers, aggregations, parameters with their defaults.

    Example: dcmon check show SingleDatasetPerformance
    """
    from dcmon.commands.views import check as view

    ctx.obj.output.page(view.detail(name))

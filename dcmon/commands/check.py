"""Checks that monitors can run."""

from typing import Annotated

import typer

from dcmon.commands.shared.groups import group
from dcmon.commands.shared.lists import global_listing
from dcmon.commands.shared.several import show_all

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
    names: Annotated[
        list[str],
        typer.Argument(metavar="CHECK...", help='Classes of checks, or names of own ones, as in "dcmon check list".'),
    ],
) -> None:
    """Show what checks need, and their choices: scorers, aggregations, parameters with their defaults.

    Example: dcmon check show SingleDatasetPerformance
    """
    from dcmon.commands.views import check as view

    show_all(ctx.obj.output, names, view.detail)

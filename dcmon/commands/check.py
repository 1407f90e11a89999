"""Checks that monitors can run: list, show."""

from typing import Annotated

import typer

from dcmon.commands.shared.groups import group

app = group(__doc__)

KEYS = ("check", "group", "needs", "choices", "also_called")


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """List the checks of deepchecks that return numbers, and the checks of installed packages.

    Example: dcmon check list
    """
    from dcmon.commands.views import check as view

    rows = view.rows()
    if ctx.obj.output.is_json:
        rows = [{key: row.get(key) for key in KEYS} for row in rows]
    ctx.obj.output.table(rows, ["check", "group", "needs", "choices"], unfolded=["check"])


@app.command()
def show(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(help='Class of a check, or name of an own check; "dcmon check list" lists them.')
    ],
) -> None:
    """Show what a check needs, and its choices: scorers, aggregations, parameters with their defaults.

    Example: dcmon check show SingleDatasetPerformance
    """
    from dcmon.commands.views import check as view

    output, (row, scorers) = ctx.obj.output, view.detail(name)
    if output.is_json:
        output.value({**row, "scorers": scorers})
        return
    output.value({key: value for key, value in row.items() if value and key != "parameters"})
    parameters = [{"parameter": key, "default": value} for key, value in row["parameters"].items()]
    output.table(parameters, ["parameter", "default"], title="Parameters (--param)", empty="It takes no parameters.")
    if scorers:
        output.table(view.scorer_rows(scorers), ["scorer", *scorers], title="Scorers (--scorer)")

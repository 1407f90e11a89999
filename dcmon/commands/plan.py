"""Show what files of monitoring as code would change."""

from pathlib import Path
from typing import Annotated

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.groups import single

app = single()


@app.command()
def plan(
    ctx: typer.Context,
    files: options.DeclarationFiles = None,
    prune: options.PruneUndeclared = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="PLAN", help="Store the plan, for dcmon apply --plan.")
    ] = None,
    replace: options.Replace = False,
) -> None:
    """Show what would change so that the organization is as files say; nothing is changed.

    The exit code is 0 if nothing would change, and 1 if something would: so it also finds drift. The changes are tried
    in a transaction that is rolled back, so that refusals and effects are known.

    Example: dcmon plan -f monitoring.yaml
    """
    from dcmon.commands.operations import declarations as operation

    planned = operation.plan(ctx.obj, operation.TypedPlan(files, prune, out, is_replaced=replace))
    ctx.obj.output.page(planned.page)
    if planned.has_changes:
        raise typer.Exit(1)

"""Make an organization as files of monitoring as code say."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.changes import counting
from dcmon.commands.shared.confirmation import confirm
from dcmon.commands.shared.groups import single

app = single()


@app.command()
@counting
def apply(
    ctx: typer.Context,
    files: options.DeclarationFiles = None,
    prune: options.PruneUndeclared = False,
    plan: Annotated[
        Path | None, typer.Option("--plan", metavar="PLAN", help="A plan that dcmon plan --out has stored.")
    ] = None,
    dry_run: options.DryRun = False,
    yes: options.Yes = False,
) -> None:
    """Show the plan, ask, and make its changes in one transaction: all of them, or none.

    Exit 6, and no change, if the organization was changed after the plan was shown, or stored with dcmon plan --out.
    With --dry-run it is dcmon plan: exit 1 if something would change.

    Example: dcmon apply -f monitoring.yaml --yes
    """
    from dcmon.commands.operations import declarations as operation

    typed = operation.TypedPlan(files, prune, None, plan)
    applied = operation.apply(ctx.obj, typed, partial(confirm, yes=yes), is_dry_run=dry_run)
    ctx.obj.output.page(applied.page)
    if applied.has_changes:
        raise typer.Exit(1)

"""Delete rows that are past their retention."""

from functools import partial
from typing import Annotated

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.arguments import operator_name
from dcmon.commands.shared.changes import counting
from dcmon.commands.shared.confirmation import confirm
from dcmon.commands.shared.groups import single

app = single()


@app.command()
@counting
def prune(
    ctx: typer.Context,
    dry_run: options.DryRun = False,
    fast: Annotated[
        bool, typer.Option("--fast", help="Do not pause between batches; new rows are stored more slowly meanwhile.")
    ] = False,
    yes: options.Yes = False,
    by: options.By = None,
) -> None:
    """Delete samples, labels, results and alerts past their retention, of every organization or of --org.

    The scheduler does the same every hour. Exit 6 when another prune runs, 8 when an organization was skipped.

    Example: dcmon prune --dry-run
    """
    from dcmon.commands.operations import prune as operation
    from dcmon.commands.views import prune as view

    request = operation.PruneRequest(by or operator_name(), fast, dry_run)
    pruned = operation.prune(ctx.obj, request, partial(confirm, yes=yes))
    ctx.obj.output.page(view.report(pruned))
    if any(result.skipped is not None for result in pruned):
        raise typer.Exit(8)

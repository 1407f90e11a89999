"""Delete rows that are past their retention."""

from functools import partial
from typing import Annotated

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.arguments import operator_name
from dcmon.commands.shared.confirmation import ask_and_run
from dcmon.commands.shared.groups import single

app = single()


@app.command()
def prune(
    ctx: typer.Context,
    dry_run: options.DryRun = False,
    fast: Annotated[
        bool, typer.Option("--fast", help="Do not pause between batches; new rows are stored more slowly meanwhile.")
    ] = False,
    yes: options.LongYes = False,
    by: options.By = None,
) -> None:
    """Delete samples, labels, results and alerts past their retention, of every organization or of --org.

    The scheduler does the same every hour. Exit 6 when another prune runs, 8 when an organization was skipped.

    Example: dcmon prune --dry-run
    """
    from dcmon.commands.views import prune as view
    from dcmon.jobs import prune as job

    orgs = ctx.obj.organizations()
    expired = job.count_expired(ctx.obj, orgs)
    prune_all = partial(job.prune, ctx.obj, orgs, by or operator_name(), is_fast=fast)
    pruned = ask_and_run(view.question(expired), prune_all, dry_run=dry_run, yes=yes) or expired
    skipped = [result.skipped for result in pruned if result.skipped is not None]
    if skipped and len(skipped) == len(pruned):
        raise skipped[0]
    ctx.obj.output.page(view.report(pruned, dry_run=dry_run))
    if skipped:
        raise typer.Exit(8)

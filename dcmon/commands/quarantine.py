"""Rows that could not be stored."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from dcmon.commands.shared import option_groups, options
from dcmon.commands.shared.arguments import operator_name
from dcmon.commands.shared.confirmation import ask_and_run, outcome
from dcmon.commands.shared.groups import group
from dcmon.commands.shared.lists import listing_of
from dcmon.commands.shared.wording import NO_SUCH_ROW

if TYPE_CHECKING:
    from dcmon.ingestion.quarantine import QuarantineFilter

app = group(__doc__)


@app.command("list")
@listing_of("quarantine")
@option_groups.listed_rows
def list_(
    ctx: typer.Context,
    row_filter: "QuarantineFilter",
    rows: Annotated[bool, typer.Option("--rows", help="List rows, the newest first, instead of counts.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of rows to list.")] = 100,
) -> None:
    """Count quarantined rows by model, version and reason, or list them. Both show the field and the value met.

    Example: dcmon quarantine list --model credit --rows
    """
    from dcmon.commands.views import quarantine as view

    ctx.obj.output.page(view.listing(ctx.obj, row_filter, limit if rows else None))


@app.command()
def show(ctx: typer.Context, row_id: Annotated[int, typer.Argument(metavar="ROW", help="Id of the row.")]) -> None:
    """Show a quarantined row as it was received, and the reason. Example: dcmon quarantine show 17"""
    from dcmon.commands.views import quarantine as view

    ctx.obj.output.value(view.detail(ctx.obj, row_id))


@app.command()
@option_groups.chosen_rows
def retry(
    ctx: typer.Context,
    row_filter: "QuarantineFilter",
    dry_run: options.DryRun = False,
    by: options.By = None,
) -> None:
    """Try to store rows again, with the time at which they were logged.

    Exit 8 when some rows are refused again.

    Example: dcmon quarantine retry --model credit --reason conflict
    """
    from dcmon.commands.operations import quarantine as operation

    retried = operation.retry(ctx.obj, row_filter, by or operator_name(), dry_run=dry_run)
    ctx.obj.output.value(outcome(vars(retried), dry_run=dry_run), remark=None if retried.tried else NO_SUCH_ROW)
    if retried.refused_again:
        raise typer.Exit(8)


@app.command()
@option_groups.chosen_rows
def delete(
    ctx: typer.Context,
    row_filter: "QuarantineFilter",
    dry_run: options.DryRun = False,
    yes: options.Yes = False,
    by: options.By = None,
) -> None:
    """Drop rows for ever. Example: dcmon quarantine delete --model credit --reason wrong_type --dry-run"""
    from dcmon.commands.operations import quarantine as operation
    from dcmon.commands.views import quarantine as view

    count = sum(group["rows"] for group in view.counts(ctx.obj, row_filter))
    question = f"Drop {count:,} quarantined rows for ever?"
    drop_rows = partial(operation.drop, ctx.obj, row_filter, by or operator_name())
    dropped = ask_and_run(question, drop_rows, dry_run=dry_run or not count, yes=yes)
    row = outcome({"dropped": count if dropped is None else dropped}, dry_run=dry_run)
    ctx.obj.output.value(row, remark=None if count else NO_SUCH_ROW)

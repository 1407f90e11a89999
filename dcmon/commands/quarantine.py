"""Rows that could not be stored."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from dcmon.commands.shared import option_groups, options
from dcmon.commands.shared.arguments import operator_name
from dcmon.commands.shared.changes import counting
from dcmon.commands.shared.confirmation import ask_and_run
from dcmon.commands.shared.groups import group
from dcmon.commands.shared.lists import listing_of
from dcmon.commands.shared.several import show_all
from dcmon.commands.shared.wording import NO_SUCH_ROW
from dcmon.formatting import count_of

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
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 100,
) -> None:
    """Count quarantined rows by model, version and reason, or list them. Both show the field and the value met.

    Example: dcmon quarantine list --model credit --rows
    """
    from dcmon.commands.views import quarantine as view

    ctx.obj.output.page(view.listing(ctx.obj, row_filter, limit if rows else None))


@app.command()
def show(
    ctx: typer.Context, row_ids: Annotated[list[int], typer.Argument(metavar="ROW...", help="Ids of rows.")]
) -> None:
    """Show quarantined rows as they were received, and the reasons. Example: dcmon quarantine show 17"""
    from dcmon.commands.views import quarantine as view

    show_all(ctx.obj.output, row_ids, partial(view.detail, ctx.obj))


@app.command()
@counting
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
    ctx.obj.output.value(vars(retried), remark=None if retried.tried else NO_SUCH_ROW)
    if retried.refused_again:
        raise typer.Exit(8)


@app.command()
@counting
@option_groups.chosen_rows
def delete(
    ctx: typer.Context,
    row_filter: "QuarantineFilter",
    yes: options.Yes = False,
    by: options.By = None,
) -> None:
    """Delete rows for ever. Example: dcmon quarantine delete --model credit --reason wrong_type --dry-run"""
    from dcmon.commands.operations import quarantine as operation
    from dcmon.commands.views import quarantine as view

    rows = count_of(count := sum(group["rows"] for group in view.counts(ctx.obj, row_filter)), "quarantined row")
    drop_rows = partial(operation.drop, ctx.obj, row_filter, by or operator_name())
    question, phrases = (f"Delete {rows} for ever?", [f"delete {rows} for ever"]) if count else (None, [])
    deleted = ask_and_run(ctx.obj.output, question, drop_rows, phrases=phrases, yes=yes)
    row = {"deleted": count if deleted is None else deleted}
    ctx.obj.output.value(row, remark=None if count else NO_SUCH_ROW)

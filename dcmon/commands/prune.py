"""Take out what is past its retention."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcmon.commands.shared.arguments import operator_name
from dcmon.commands.shared.confirmation import confirm, outcome
from dcmon.commands.shared.groups import single

if TYPE_CHECKING:
    from dcmon.storage.expiry import Counts

COLUMNS = ["organization", "model", "version", "table", "rows"]
BELONGING = ("ids", "labels", "quarter_hours")
NAMES = {"quarantine": "quarantined rows", "quarter_hours": "quarter hours", "waiting_labels": "labels that wait"}
app = single()


@app.command()
def prune(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would go.")] = False,
    fast: Annotated[
        bool, typer.Option("--fast", help="Do not pause between batches; logging is slower meanwhile.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    by: Annotated[str | None, typer.Option(help="Who does it, for the ledger; the system's user by default.")] = None,
) -> None:
    """Take out samples, labels, results and alerts past their retention, of every organization or of --org.

    The scheduler does the same every hour. Exit 6 when another prune runs, 8 when an organization was left out.

    Example: dcmon prune --dry-run
    """
    from dcmon.jobs import prune as job

    orgs = ctx.obj.organizations()
    pruned = job.count_expired(ctx.obj, orgs)
    if not dry_run:
        _confirm(pruned, yes)
        pruned = job.prune(ctx.obj, orgs, by or operator_name(), is_fast=fast)
    left_out = [(each.org.name, each.skipped) for each in pruned if each.skipped is not None]
    if left_out and len(left_out) == len(pruned):
        raise left_out[0][1]
    ctx.obj.output.table(_rows(pruned, dry_run=dry_run), COLUMNS, empty="Nothing is past its retention.")
    for name, why in left_out:
        ctx.obj.output.say(f"{name} was left out: {why}")
    if left_out:
        raise typer.Exit(8)


def _confirm(counted: "Sequence[Any]", yes: bool) -> None:
    """Ask, if there is something to delete. Raises InvalidInput when the answer is no."""
    from dcmon.storage.expiry import Counts

    if any(each.removed for each in counted):
        total = sum((each.removed for each in counted), Counts())
        confirm(f"Delete {_extent(total)} for ever?", yes)


def _rows(pruned: "Sequence[Any]", *, dry_run: bool) -> list[dict[str, Any]]:
    return [
        outcome(
            {"organization": each.org.name, "model": place.model, "version": place.version or None,
             "table": place.table, "rows": count},
            dry_run=dry_run,
        )
        for each in pruned for place, count in sorted(each.removed.items())
    ]  # fmt: skip


def _extent(removed: "Counts") -> str:
    """Count rows for people: ids, labels and quarter hours are counted as part of their samples."""
    rows = Counter[str]()
    for place, count in removed.items():
        rows[place.table] += count
    if rows["samples"]:
        belonging = sum(rows.pop(table, 0) for table in BELONGING)
        rows["samples (and what belongs to them)" if belonging else "samples"] = rows.pop("samples")
    return " and ".join(f"{count:,} {NAMES.get(table, table)}" for table, count in sorted(rows.items()) if count)

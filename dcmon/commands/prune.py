"""Delete rows that are past their retention."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.arguments import operator_name
from dcmon.commands.shared.confirmation import ask_and_run, outcome
from dcmon.commands.shared.groups import single

if TYPE_CHECKING:
    from dcmon.jobs.prune import Pruned
    from dcmon.storage.expiry import Counts

COLUMNS = ["organization", "model", "version", "table", "rows"]
BELONGING = ("ids", "labels", "quarter_hours")
NAMES = {"quarantine": "quarantined rows", "quarter_hours": "quarter hours", "waiting_labels": "waiting labels"}
app = single()


@app.command()
def prune(
    ctx: typer.Context,
    dry_run: options.DryRun = False,
    fast: Annotated[
        bool, typer.Option("--fast", help="Do not pause between batches; logging is slower during that time.")
    ] = False,
    yes: options.LongYes = False,
    by: options.By = None,
) -> None:
    """Delete samples, labels, results and alerts past their retention, of every organization or of --org.

    The scheduler does the same every hour. Exit 6 when another prune runs, 8 when an organization was skipped.

    Example: dcmon prune --dry-run
    """
    from dcmon.jobs import prune as job

    orgs = ctx.obj.organizations()
    expired = job.count_expired(ctx.obj, orgs)
    prune_all = partial(job.prune, ctx.obj, orgs, by or operator_name(), is_fast=fast)
    pruned = ask_and_run(_question(expired), prune_all, dry_run=dry_run, yes=yes) or expired
    skipped = {result.org.name: result.skipped for result in pruned if result.skipped is not None}
    if skipped and len(skipped) == len(pruned):
        raise next(iter(skipped.values()))
    ctx.obj.output.table(_rows(pruned, dry_run=dry_run), COLUMNS, empty="Nothing is past its retention.")
    for name, error in skipped.items():
        ctx.obj.output.say(f"Organization {name!r} was skipped: {error}")
    if skipped:
        raise typer.Exit(8)


def _question(expired: "Sequence[Pruned]") -> str | None:
    """Return the question to confirm; None if there is nothing to delete."""
    from dcmon.storage.expiry import Counts

    total = sum((result.removed for result in expired), Counts())
    return f"Delete {_count_text(total)} for ever?" if total else None


def _rows(pruned: "Sequence[Pruned]", *, dry_run: bool) -> list[dict[str, Any]]:
    return [
        outcome(
            {"organization": result.org.name, "model": place.model, "version": place.version or None,
             "table": place.table, "rows": count},
            dry_run=dry_run,
        )
        for result in pruned for place, count in sorted(result.removed.items())
    ]  # fmt: skip


def _count_text(removed: "Counts") -> str:
    """Write counts as text; ids, labels and quarter hours belong to the samples and are not listed."""
    rows = Counter[str]()
    for place, count in removed.items():
        rows[place.table] += count
    if rows["samples"]:
        belonging = sum(rows.pop(table, 0) for table in BELONGING)
        rows["samples (and what belongs to them)" if belonging else "samples"] = rows.pop("samples")
    return " and ".join(f"{count:,} {NAMES.get(table, table)}" for table, count in sorted(rows.items()) if count)

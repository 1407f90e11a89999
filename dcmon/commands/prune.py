"""Take out what is past its retention."""

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from dcmon.commands.shared.groups import single

if TYPE_CHECKING:
    from dcmon.storage.expiry import Counts

BELONGING = ("ids", "labels", "quarter_hours")
NAMES = {"quarantine": "quarantined rows", "quarter_hours": "quarter hours", "waiting_labels": "labels that wait"}
app = single()


@app.command()
def prune(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would go.")] = False,
    fast: Annotated[
        bool, typer.Option("--fast", help="Make no pauses, at the cost of whoever logs meanwhile.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    by: Annotated[str | None, typer.Option(help="Who does it, for the ledger; the system's user by default.")] = None,
) -> None:
    """Take out samples, labels, results and alerts past their retention, of every organization or of --org.

    The scheduler does the same every hour. Exit 6 when another prune runs, 8 when an organization was left out.

    Example: dcmon prune --dry-run
    """
    from dcmon.commands.shared.arguments import operator_name
    from dcmon.commands.shared.confirmation import confirm, outcome
    from dcmon.jobs import prune as job
    from dcmon.storage.expiry import Counts

    given = ctx.obj
    orgs = given.organizations()
    found = job.extent(given, orgs)
    if not dry_run and any(each.removed for each in found):
        counted = sum((each.removed for each in found), Counts())
        confirm(f"Take out {_extent(counted)} for ever?", yes)
    if not dry_run:
        found = job.prune(given, orgs, by or operator_name(), is_fast=fast)
    left_out = [(each.org.name, each.left_out) for each in found if each.left_out is not None]
    if left_out and len(left_out) == len(found):
        raise left_out[0][1]
    rows = [
        outcome(
            {"organization": each.org.name, "model": place.model, "version": place.version or None,
             "table": place.table, "rows": count},
            dry_run=dry_run,
        )
        for each in found for place, count in sorted(each.removed.items())
    ]  # fmt: skip
    columns = ["organization", "model", "version", "table", "rows"]
    given.output.table(rows, columns, empty="Nothing is past its retention.")
    for name, why in left_out:
        given.output.say(f"{name} was left out: {why}")
    if left_out:
        raise typer.Exit(8)


def _extent(removed: "Counts") -> str:
    """What goes, as a person counts it: ids, labels and quarter hours belong to their samples."""
    rows = Counter[str]()
    for place, count in removed.items():
        rows[place.table] += count
    if rows["samples"]:
        belonging = sum(rows.pop(table, 0) for table in BELONGING)
        rows["samples (and what belongs to them)" if belonging else "samples"] = rows.pop("samples")
    return " and ".join(f"{count:,} {NAMES.get(table, table)}" for table, count in sorted(rows.items()) if count)

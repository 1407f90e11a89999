"""Take out what is past its retention."""

from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode=None, add_completion=False)


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
    from dcmon.commands import confirm, operator
    from dcmon.jobs import prune as job

    given = ctx.obj
    orgs = given.organizations()
    found = job.extent(given, orgs)
    if not dry_run and (counted := sum(sum(each.removed.values()) for each in found)):
        confirm(f"Take out {counted} rows for ever?", yes)
    if not dry_run:
        found = job.prune(given, orgs, by or operator(), is_fast=fast)
    left_out = [(each.org.name, each.left_out) for each in found if each.left_out is not None]
    if left_out and len(left_out) == len(found):
        raise left_out[0][1]
    rows = [
        {"organization": each.org.name, "model": place.model, "version": place.version or None, "table": place.table,
         "rows": count}
        for each in found for place, count in sorted(each.removed.items())
    ]  # fmt: skip
    columns = ["organization", "model", "version", "table", "rows"]
    given.output.table(rows, columns, empty="Nothing is past its retention.")
    for name, why in left_out:
        given.output.say(f"{name} was left out: {why}")
    if left_out:
        raise typer.Exit(8)

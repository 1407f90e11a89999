"""Move organizations of Deepchecks Monitoring into dcmon."""

from typing import Annotated

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.changes import counting
from dcmon.commands.shared.groups import single

app = single()


@app.command()
@counting
def adopt(
    ctx: typer.Context,
    source: Annotated[
        str, typer.Option("--from", metavar="URL", help='The old database; "-" reads the URL from stdin.')
    ],
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME", help="Only this organization; repeatable.")
    ] = None,
    dry_run: options.DryRun = False,
) -> None:
    """Move organizations of the old system, Deepchecks Monitoring, into dcmon. Its database is only read.

    Users, tokens, models, versions, rows, references, checks, monitors, rules and webhooks come along, with their ids.
    A run that was killed goes on when it is typed again. Exit 8: some objects could not be moved.

    Example: dcmon adopt --from postgresql://reader@old.example/deepchecks --dry-run
    """
    from dcmon.commands.operations import adoption as operation

    rows = operation.run(ctx.obj, source, only or [], dry_run=dry_run)
    columns = ["org", "kind", "total", "adopted", "not_adopted", "reason"]
    ctx.obj.output.table(rows, columns, empty="The old database has no organization.")
    if any(row["is_unexpected"] for row in rows):
        raise typer.Exit(8)

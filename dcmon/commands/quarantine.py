"""Rows that could not be stored: list, show, retry, drop."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from dcmon.commands.shared.arguments import as_utc, operator_name
from dcmon.commands.shared.confirmation import confirm, outcome
from dcmon.commands.shared.groups import group
from dcmon.output import shortened

if TYPE_CHECKING:
    from dcmon.ingestion.quarantine import QuarantineFilter

app = group(__doc__)

COUNTED = ["model", "version", "kind", "reason", "rows", "first", "last", "example"]
NO_SUCH_ROW = "No such row is quarantined."

Ids = Annotated[list[int] | None, typer.Argument(help="Ids of rows; none: what the options say.")]
OfModel = Annotated[str | None, typer.Option("--model", help="Only of this model.")]
OfVersion = Annotated[str | None, typer.Option("--version", help="Only of this version.")]
Reason = Annotated[str | None, typer.Option("--reason", help="Only with this reason: conflict, wrong_type …")]
Since = Annotated[datetime | None, typer.Option("--since", help="Only logged then or later, UTC.")]
Source = Annotated[
    str | None, typer.Option("--source", help="Only with a source that begins so, or of a file: its path.")
]
All = Annotated[bool, typer.Option("--all", help="Every row that there is.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would become of the rows.")]
By = Annotated[str | None, typer.Option("--by", help="Who does it, for the ledger; the system's user by default.")]


@app.command("list")
def list_(
    ctx: typer.Context,
    model: OfModel = None,
    version: OfVersion = None,
    reason: Reason = None,
    since: Since = None,
    source: Source = None,
    rows: Annotated[bool, typer.Option("--rows", help="Rows, the newest first, instead of counts.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Rows at most.")] = 100,
) -> None:
    """Count quarantined rows by model, version and reason, with an example of each, or list them.

    Example: dcmon quarantine list --model credit --rows
    """
    from dcmon.ingestion import quarantine

    what, output = _chosen(None, model, version, reason, since, source), ctx.obj.output
    with ctx.obj.org() as session:
        quarantine.require_known(session, what)
        found = quarantine.newest_rows(session, what, limit) if rows else quarantine.summary(session, what)
    empty = "No row is quarantined." if what.is_all else NO_SUCH_ROW
    if rows and not output.is_json:
        found = [{**row, "sample_id": shortened(row["sample_id"] or "-")} for row in found]
    detail = [] if output.is_narrow else ["detail"]
    each = ["id", "model", "version", "kind", "sample_id", "reason", "field", *detail, "logged_at"]
    output.table(found, each if rows else COUNTED, empty=empty, whole=["id", "reason"])


@app.command()
def show(ctx: typer.Context, row_id: Annotated[int, typer.Argument(metavar="ID")]) -> None:
    """Show a quarantined row as it came, and why it could not be stored. Example: dcmon quarantine show 17"""
    from dcmon.ingestion import quarantine

    with ctx.obj.org() as session:
        found = quarantine.row_details(session, row_id)
    ctx.obj.output.value(found)


@app.command()
def retry(
    ctx: typer.Context,
    ids: Ids = None,
    model: OfModel = None,
    version: OfVersion = None,
    reason: Reason = None,
    since: Since = None,
    source: Source = None,
    all_: All = False,
    dry_run: DryRun = False,
    by: By = None,
) -> None:
    """Try rows again, as of when they were logged: what is fine now is stored; exit 8 when some still are not.

    Example: dcmon quarantine retry --model credit --reason conflict
    """
    from dcmon.ingestion import corrections, quarantine

    what, app = _chosen(ids, model, version, reason, since, source, all_=all_), ctx.obj
    org = app.organization()
    with app.org(org) as session:
        quarantine.require_known(session, what)
    done = corrections.retry_quarantined(app.engine, org, what, by or operator_name(), dry_run=dry_run)
    app.output.value(outcome(vars(done), dry_run=dry_run))
    if not done.tried:
        app.output.say(NO_SUCH_ROW)
    if done.still_bad:
        raise typer.Exit(8)


@app.command()
def drop(
    ctx: typer.Context,
    ids: Ids = None,
    model: OfModel = None,
    version: OfVersion = None,
    reason: Reason = None,
    since: Since = None,
    source: Source = None,
    all_: All = False,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    by: By = None,
) -> None:
    """Drop rows for ever. Example: dcmon quarantine drop --model credit --reason wrong_type --dry-run"""
    from dcmon.ingestion import corrections, quarantine

    what, app = _chosen(ids, model, version, reason, since, source, all_=all_), ctx.obj
    org = app.organization()
    with app.org(org) as session:
        quarantine.require_known(session, what)
        dropped = sum(group["rows"] for group in quarantine.summary(session, what))
    if not dropped:
        app.output.say(NO_SUCH_ROW)
    elif not dry_run:
        confirm(f"Drop {dropped:,} quarantined rows for ever?", yes)
        dropped = corrections.drop_quarantined(app.engine, org, what, by or operator_name())
    app.output.value(outcome({"dropped": dropped}, dry_run=dry_run))


def _chosen(
    ids: list[int] | None,
    model: str | None,
    version: str | None,
    reason: str | None,
    since: datetime | None,
    source: str | None,
    *,
    all_: bool | None = None,
) -> "QuarantineFilter":
    """What the options say; ids, a restriction or --all are needed unless `all_` is None. Raises InvalidInput."""
    from dcmon import errors
    from dcmon.ingestion.quarantine import QuarantineFilter

    chosen = QuarantineFilter((), model, version, reason, as_utc(since) if since else None, source)
    if sum([bool(ids), not chosen.is_all, bool(all_)]) > 1:
        raise errors.InvalidInput("Say ids, or options that choose rows, or --all: not several of them.")
    if all_ is False and not ids and chosen.is_all:
        raise errors.InvalidInput("Say which rows: ids, --model, --reason, … or --all.")
    return QuarantineFilter(tuple(ids)) if ids else chosen

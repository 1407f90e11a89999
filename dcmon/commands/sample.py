"""Samples: show, delete."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.arguments import as_utc, operator_name
from dcmon.commands.shared.confirmation import confirm, outcome
from dcmon.commands.shared.groups import group

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.db import Organization

app = group(__doc__)


@app.command()
def show(
    ctx: typer.Context,
    sample_id: Annotated[str, typer.Argument(help="Id that the sample was logged with.")],
    model: Annotated[str, typer.Option(help="Model that the sample was logged to.")],
) -> None:
    """Show where a sample is: stored, quarantined, or missing while a label waits for it.

    Example: dcmon sample show 17 --model credit
    """
    from dcmon.storage import models, sample_lookup

    with ctx.obj.org() as session:
        rows = sample_lookup.find(session, models.find(session, model), sample_id)
    if ctx.obj.output.is_json:
        ctx.obj.output.table(rows, [])
        return
    for row in rows:
        ctx.obj.output.value({name: _plain(value) for name, value in row.items()})


def _plain(value: Any) -> Any:
    """Write an object or a number as JSON: it is not rounded, and commas stay unambiguous."""
    import json

    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | float) else value


@app.command()
def delete(
    ctx: typer.Context,
    model: Annotated[str, typer.Option(help="Model of the samples.")],
    from_: Annotated[
        datetime, typer.Option("--from", help="Start of the time range, UTC: samples with this time or later.")
    ],
    to: Annotated[datetime, typer.Option("--to", help="End of the time range, UTC: only samples before this time.")],
    version: options.OnlyVersion = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="Delete the labels too; else they wait for the samples to be logged again.")
    ] = False,
    dry_run: options.DryRun = False,
    yes: options.LongYes = False,
    by: options.By = None,
) -> None:
    """Delete the samples of a time range, so that they can be logged again; their windows are evaluated again.

    Example: dcmon sample delete --model credit --from 2026-11-02 --to 2026-11-03 --dry-run
    """
    from dcmon.ingestion import corrections
    from dcmon.storage import models

    org = ctx.obj.organization()
    with ctx.obj.org(org, snapshot=True) as session:
        ranges = corrections.sample_ranges(session, models.find(session, model), version, as_utc(from_), as_utc(to))
        counts = {name: corrections.count_samples(session, sample_range) for name, sample_range in ranges.items()}
    if not dry_run:
        if total := sum(count.samples for count in counts.values()):
            confirm(f"Delete {total:,} samples of model {model!r} from {len(ranges)} versions?", yes)
        filled = {name: sample_range for name, sample_range in ranges.items() if counts[name].samples}
        counts = _delete(ctx.obj, org, filled, by or operator_name(), with_labels=labels)
    key = "labels" if labels else "labels_that_wait"
    rows = [{"version": name, "samples": count.samples, key: count.labels} for name, count in counts.items()]
    _show(ctx, rows, key, dry_run=dry_run)


def _delete(
    app: "App", org: "Organization", ranges: "dict[str, Any]", operator: str, *, with_labels: bool
) -> dict[str, Any]:
    """Delete the samples in the range of each version; return the counts of each version."""
    from dcmon.ingestion import corrections

    return {
        version: corrections.delete_samples(app.engine, org, sample_range, operator, with_labels=with_labels)
        for version, sample_range in ranges.items()
    }


def _show(ctx: typer.Context, rows: list[dict[str, Any]], key: str, *, dry_run: bool) -> None:
    rows = [outcome(row, dry_run=dry_run) for row in rows]
    ctx.obj.output.table(rows, ["version", "samples", key], empty="There is no sample in this time range.")

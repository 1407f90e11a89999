"""Samples: show, delete."""

from datetime import datetime
from typing import Annotated, Any

import typer

from dcmon.commands.shared.arguments import as_utc, operator_name
from dcmon.commands.shared.confirmation import confirm, outcome
from dcmon.commands.shared.groups import group

app = group(__doc__)


@app.command()
def show(
    ctx: typer.Context,
    sample_id: Annotated[str, typer.Argument(help="The id that it was logged with.")],
    model: Annotated[str, typer.Option(help="The model that it was logged to.")],
) -> None:
    """Show where a sample is: stored, waited for by a label, or quarantined.

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
    """A row as JSON and a label in full: neither is rounded, and a list or a comma can be told from another."""
    import json

    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | float) else value


@app.command()
def delete(
    ctx: typer.Context,
    model: Annotated[str, typer.Option(help="The model.")],
    from_: Annotated[datetime, typer.Option("--from", help="Samples with this time or a later one, UTC.")],
    to: Annotated[datetime, typer.Option("--to", help="… and before this, UTC.")],
    version: Annotated[str | None, typer.Option(help="Only of this version.")] = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="Delete their labels too; else these wait for them.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    by: Annotated[str | None, typer.Option(help="Who does it, for the ledger; the system's user by default.")] = None,
) -> None:
    """Take samples of a span of time out, so that they can be logged again; their windows are evaluated again.

    Example: dcmon sample delete --model credit --from 2026-11-02 --to 2026-11-03 --dry-run
    """
    from dcmon.ingestion import corrections
    from dcmon.storage import models

    app = ctx.obj
    org = app.organization()
    with app.org(org, snapshot=True) as session:
        spans = corrections.sample_ranges(session, models.find(session, model), version, as_utc(from_), as_utc(to))
        counted = {name: corrections.count_samples(session, span) for name, span in spans.items()}
    total = sum(each.samples for each in counted.values())
    if not dry_run:
        if total:
            confirm(f"Take {total:,} samples of model {model!r} out of {len(spans)} versions?", yes)
        done = {name: span for name, span in spans.items() if counted[name].samples}
        counted = {
            name: corrections.delete_samples(app.engine, org, span, by or operator_name(), with_labels=labels)
            for name, span in done.items()
        }
    said = "labels" if labels else "labels_that_wait"
    rows = [
        outcome({"version": name, "samples": each.samples, said: each.labels}, dry_run=dry_run)
        for name, each in counted.items()
    ]
    app.output.table(rows, ["version", "samples", said], empty="There is no sample in this span.")

"""Samples: show, delete."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

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

    org = ctx.obj.organization()
    with ctx.obj.org(org, snapshot=True) as session:
        spans = corrections.sample_ranges(session, models.find(session, model), version, as_utc(from_), as_utc(to))
        counts = {name: corrections.count_samples(session, span) for name, span in spans.items()}
    if not dry_run:
        if total := sum(count.samples for count in counts.values()):
            confirm(f"Delete {total:,} samples of model {model!r} from {len(spans)} versions?", yes)
        found = {name: span for name, span in spans.items() if counts[name].samples}
        counts = _delete(ctx.obj, org, found, by or operator_name(), with_labels=labels)
    key = "labels" if labels else "labels_that_wait"
    rows = [{"version": name, "samples": count.samples, key: count.labels} for name, count in counts.items()]
    _show(ctx, rows, key, dry_run=dry_run)


def _delete(app: "App", org: "Organization", spans: "dict[str, Any]", who: str, *, with_labels: bool) -> dict[str, Any]:
    """Delete the samples of each version's span; return what was deleted, by version."""
    from dcmon.ingestion import corrections

    return {
        version: corrections.delete_samples(app.engine, org, span, who, with_labels=with_labels)
        for version, span in spans.items()
    }


def _show(ctx: typer.Context, rows: list[dict[str, Any]], key: str, *, dry_run: bool) -> None:
    rows = [outcome(row, dry_run=dry_run) for row in rows]
    ctx.obj.output.table(rows, ["version", "samples", key], empty="There is no sample in this span.")

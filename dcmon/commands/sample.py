"""Samples by their id, and samples of a time range."""

from datetime import datetime
from functools import partial
from typing import Annotated

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.arguments import operator_name
from dcmon.commands.shared.changes import counting
from dcmon.commands.shared.confirmation import ask_and_run
from dcmon.commands.shared.groups import group

app = group(__doc__)


@app.command()
def show(
    ctx: typer.Context,
    sample_id: Annotated[str, typer.Argument(metavar="SAMPLE", help="Id that the sample was logged with.")],
    model: options.TargetModel = None,
) -> None:
    """Show where a sample is: stored, quarantined, or missing while a label waits for it.

    Example: dcmon sample show 17 --model credit
    """
    from dcmon.commands.views import sample as view

    ctx.obj.output.page(view.detail(ctx.obj, model, sample_id))


@app.command()
@counting
def delete(
    ctx: typer.Context,
    *,
    model: options.TargetModel = None,
    since: Annotated[datetime, options.time_option("--since", "Only samples with this time or later.")],
    until: Annotated[datetime, options.time_option("--until", "Only samples before this time.")],
    version: options.OnlyVersion = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="Delete the labels too; else they wait for the samples to be logged again.")
    ] = False,
    yes: options.Yes = False,
    by: options.By = None,
) -> None:
    """Delete the samples of a time range, so that they can be logged again.

    Their windows are evaluated again.

    Example: dcmon sample delete --model credit --since 2026-11-02 --until 2026-11-03
    """
    from dcmon.commands.operations import sample as operation

    deletion = operation.prepare_deletion(ctx.obj, model, version, since, until)
    delete_samples = partial(operation.delete, ctx.obj, deletion, by or operator_name(), with_labels=labels)
    deleted = ask_and_run(ctx.obj.output, deletion.question, delete_samples, phrases=deletion.phrases, yes=yes)
    counts, key = deletion.counts if deleted is None else deleted, "labels" if labels else "labels_that_wait"
    rows = [{"version": name, "samples": count.samples, key: count.labels} for name, count in counts.items()]
    ctx.obj.output.table(rows, ["version", "samples", key], empty="There is no sample in this time range.")

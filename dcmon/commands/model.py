"""Models, whose predictions are watched."""

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from dcmon.commands.shared import model_options, options, questions
from dcmon.commands.shared.arguments import frequency, names_and_defaults
from dcmon.commands.shared.changes import asking, changing, counting
from dcmon.commands.shared.choices import FREQUENCIES, choice_option
from dcmon.commands.shared.confirmation import ask_and_run, confirm
from dcmon.commands.shared.groups import group
from dcmon.commands.shared.lists import listing_of
from dcmon.commands.shared.several import delete_all, show_all
from dcmon.commands.shared.wording import NO_END

if TYPE_CHECKING:
    from dcmon.commands.shared.model_options import TypedModel

app = group(__doc__)


@app.command()
@changing
@model_options.new_model
def create(ctx: typer.Context, typed: "TypedModel", yes: options.Yes = False) -> None:
    """Create a model, with default monitors and rules; with --from, as a file suggests.

    --from shows what the file suggests, and asks before it creates the model. Options replace each guess. Without a
    terminal, --yes is needed: otherwise nothing is created, and the exit code is 2.

    Example: dcmon model create credit --from october.csv --label defaulted

    Example: dcmon model create credit --task binary --version v1 --feature age:numeric
    """
    from dcmon.commands.operations import model_creation as operation

    ctx.obj.output.page(operation.create(ctx.obj, typed, partial(confirm, yes=yes)))


@app.command("list")
@listing_of("models")
def list_(ctx: typer.Context) -> None:
    """List models. Example: dcmon model list"""
    from dcmon.commands.views import model as view

    columns = ["name", "id", "task", "versions", "samples", "newest_sample"]
    ctx.obj.output.table(view.rows(ctx.obj), columns, empty='No model yet: "dcmon model create NAME --task binary".')


@app.command()
def show(ctx: typer.Context, names: options.ModelNames) -> None:
    """Show models: versions, samples, monitors, alerts, quarantine. Example: dcmon model show credit"""
    from dcmon.commands.views import model as view

    show_all(ctx.obj.output, names, partial(view.detail, ctx.obj))


@app.command("set")
@asking(questions.ended_alerts)
def set_(
    ctx: typer.Context,
    name: options.ModelName,
    time_zone: Annotated[str | None, options.TIME_ZONE] = None,
    lateness: Annotated[
        timedelta | None, options.duration_option("--lateness", "How long a window waits for late rows: 10m, 2h, 0s.")
    ] = None,
    label_ratio: Annotated[float | None, typer.Option(help=options.LABEL_RATIO)] = None,
    label_delay: Annotated[timedelta | None, options.LABEL_DELAY] = None,
) -> None:
    """Set when a model's windows are evaluated.

    After a change of the time zone, its last windows are evaluated again.

    Example: dcmon model set credit --time-zone Europe/Berlin --lateness 10m
    """
    from dcmon.commands.operations import model as operation
    from dcmon.monitoring.lifecycle import ModelTiming

    timing = ModelTiming(time_zone, lateness=lateness, label_ratio=label_ratio, label_delay=label_delay)
    if timing == ModelTiming():
        raise typer.BadParameter("Nothing to set: give --time-zone, --lateness, --label-ratio or --label-delay.")
    ctx.obj.output.value(operation.change(ctx.obj, name, timing))


@app.command("set-retention")
@counting
def set_retention(
    ctx: typer.Context,
    name: options.ModelName,
    term: Annotated[str, typer.Argument(help="30d, 12w, 1y; none: for ever; inherit: the organization's term.")],
    yes: options.Yes = False,
) -> None:
    """Set how long a model's samples are kept, instead of its organization's term.

    Samples go by whole months, when the last row of a month is older. It asks if the next prune deletes rows for it.

    Example: dcmon model set-retention credit 30d --dry-run
    """
    from dcmon.commands.operations import retention as operation

    change = operation.of_model(ctx.obj, name, term)
    ask_and_run(ctx.obj.output, change.question, change.apply, phrases=change.phrases, yes=yes)
    ctx.obj.output.value(change.counted_row(), none=NO_END)


@app.command("set-defaults")
@asking(questions.ended_alerts)
def set_defaults(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="MODEL", help="Names of models.")] = None,
    *,
    defaults: options.DefaultMonitors,
    every_model: Annotated[bool, typer.Option("--every-model", help="All models of the organization.")] = False,
    frequency_: Annotated[
        str | None,
        choice_option(
            "--frequency",
            what="frequency",
            known=FREQUENCIES,
            help="Frequency of new monitors; by default that of the other default monitors.",
        ),
    ] = None,
) -> None:
    """Set the default monitors and rules of models.

    What is missing is created. The rules of the others are turned off: their open alerts end, and their monitors keep
    their results and go on. With the same choice again, nothing changes.

    Example: dcmon model set-defaults credit sdk
    """
    from dcmon.commands.operations import model as operation

    models, chosen = names_and_defaults(names, defaults)
    if bool(models) == every_model:
        raise typer.BadParameter("Name the models, or give --every-model.")
    every = None if frequency_ is None else frequency(frequency_)
    rows = operation.set_defaults(ctx.obj, models, chosen, every)
    columns = ["name", "default_monitors", "monitors_created", "rules_on", "rules_off", "rules_renewed"]
    ctx.obj.output.table(rows, columns, empty='No model yet: "dcmon model create NAME --task binary".')


@app.command("set-path")
@changing
def set_path(
    ctx: typer.Context,
    name: options.ModelName,
    path: Annotated[str, typer.Argument(help="s3://bucket/prefix, or none.")],
) -> None:
    """Set the path of S3 that is watched: <version>/ has samples, labels/ has labels.

    It is read with the organization's own keys. Each version gets a source, also a version that is created later.
    Sources of a former path are deleted.

    Example: dcmon model set-path credit s3://acme/credit
    """
    from dcmon.commands.operations import model as operation
    from dcmon.commands.views import source as view

    row = operation.set_path(ctx.obj, name, None if path == "none" else path)
    ctx.obj.output.page(view.path_set(row))


@app.command()
@changing
def rename(
    ctx: typer.Context,
    name: options.ModelName,
    new_name: options.NewName,
) -> None:
    """Rename a model; its id stays. Clients and silences that use the name need the new one.

    Example: dcmon model rename credit credit-retail
    """
    from dcmon.commands.operations import model_removal as operation
    from dcmon.commands.views import old_names as view

    ctx.obj.output.page(view.renamed(operation.rename_model(ctx.obj, name, new_name)))


@app.command()
@changing
def copy(
    ctx: typer.Context,
    name: options.ModelName,
    new_name: options.NewName,
    with_reference: options.WithReference = False,
) -> None:
    """Copy a model: settings, versions, monitors and rules, but no rows. Example: dcmon model copy credit credit-2"""
    from dcmon.commands.operations import copies as operation

    ctx.obj.output.value(operation.copy_model(ctx.obj, name, new_name, with_reference=with_reference))


@app.command()
@counting
def delete(ctx: typer.Context, names: options.ModelNames, yes: options.Yes = False) -> None:
    """Delete models with their versions, samples, monitors and alerts. Example: dcmon model delete credit --dry-run"""
    from dcmon.commands.operations import model_removal as operation

    delete_all(ctx.obj.output, names, partial(operation.model_deletion, ctx.obj), yes=yes)

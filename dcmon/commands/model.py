"""Models: create, list, show, set, set-retention, set-defaults."""

from typing import Annotated

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.arguments import column_mapping, default_set, duration, frequency
from dcmon.commands.shared.groups import group
from dcmon.commands.shared.wording import NO_END

app = group(__doc__)

# The same as dcmon.storage.columns.TYPES, written here so that --help does not import it.
COLUMN_TYPES = "numeric, integer, bigint, categorical, text, boolean, array_float, array_float_2d or datetime"


@app.command()
def create(
    ctx: typer.Context,
    name: str,
    task: Annotated[str, typer.Option(help="Task of the model: regression, binary or multiclass.")],
    description: Annotated[str | None, typer.Option(help="What the model predicts.")] = None,
    version: Annotated[str | None, typer.Option(help="Also create this version, with the given columns.")] = None,
    feature: Annotated[
        list[str] | None, typer.Option(help=f"Feature as NAME:TYPE; repeatable. TYPE: {COLUMN_TYPES}.")
    ] = None,
    additional: Annotated[
        list[str] | None, typer.Option(help="Column that is not a feature, as NAME:TYPE; repeatable.")
    ] = None,
    class_: Annotated[list[str] | None, typer.Option("--class", help="Class of the labels; repeatable.")] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", help="What files call a field: COLUMN=FIELD; COLUMN= is ignored; repeatable."),
    ] = None,
    label_ratio: Annotated[float, typer.Option(help=options.LABEL_RATIO)] = 1.0,
    label_delay: Annotated[str, typer.Option(help=options.LABEL_DELAY)] = "3d",
    time_zone: Annotated[str, typer.Option(help=options.TIME_ZONE)] = "UTC",
    frequency_: Annotated[
        str, typer.Option("--frequency", help="Frequency of the default monitors: HOUR, DAY, WEEK or MONTH.")
    ] = "DAY",
    defaults: Annotated[
        str | None,
        typer.Option(
            help="Default monitors and rules: all (the SDK's and dcmon's own), sdk or none. By default those that"
            ' "dcmon org set-defaults" chose.'
        ),
    ] = None,
    no_defaults: Annotated[bool, typer.Option("--no-defaults", help="The same as --defaults none.")] = False,
) -> None:
    """Create a model, with default monitors and rules.

    Example: dcmon model create credit --task binary --version v1 --feature age:numeric --class 0 --class 1
    """
    from dcmon import durations
    from dcmon.commands.operations import model as operation
    from dcmon.storage.models import NewModel
    from dcmon.storage.versions import NewVersion

    features, more = _parse_columns(feature), _parse_columns(additional)
    _require_complete(version, features, more, class_)
    new = NewModel(name, task, description, label_ratio, durations.parse(label_delay), time_zone)
    files = column_mapping(map_, False) or None
    columns = NewVersion(version or "", features, more, classes=class_ or None, file_columns=files)
    new_version = None if version is None else columns
    set_name = "none" if no_defaults else defaults
    chosen = None if set_name is None else default_set(set_name)
    ctx.obj.output.value(operation.create(ctx.obj, new, new_version, frequency(frequency_), chosen))


def _parse_columns(options: list[str] | None) -> dict[str, str]:
    columns = {}
    for option in options or ():
        name, colon, kind = option.rpartition(":")
        if not colon:
            raise typer.BadParameter(f"{option!r} is not NAME:TYPE, like age:numeric.")
        if name in columns:
            raise typer.BadParameter(f"The column {name!r} is given twice.")
        columns[name] = kind
    return columns


def _require_complete(
    version: str | None, features: dict[str, str], additional: dict[str, str], classes: list[str] | None
) -> None:
    """Check that columns have a version and a unique name. Raises BadParameter."""
    if version is None and (features or additional or classes):
        raise typer.BadParameter("Columns and classes belong to a version: name it, like --version v1.")
    if version is not None and not features:
        raise typer.BadParameter(f"Version {version!r} has no column: give its features, like --feature age:numeric.")
    if both := features.keys() & additional.keys():
        raise typer.BadParameter(f"The column {min(both)!r} is given twice: as --feature and as --additional.")
    if classes and (twice := [name for name in classes if classes.count(name) > 1]):
        raise typer.BadParameter(f"The class {twice[0]!r} is given twice.")


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """List models. Example: dcmon model list"""
    from dcmon.commands.views import model as view

    columns = ["name", "id", "task", "versions", "samples", "newest_sample"]
    ctx.obj.output.table(view.rows(ctx.obj), columns, empty='No model yet: "dcmon model create NAME --task binary".')


@app.command()
def show(ctx: typer.Context, name: str) -> None:
    """Show a model: versions, samples, monitors, alerts, quarantine. Example: dcmon model show credit"""
    from dcmon.commands.views import model as view

    ctx.obj.output.page(view.detail(ctx.obj, name))


@app.command("set")
def set_(
    ctx: typer.Context,
    name: str,
    time_zone: Annotated[str | None, typer.Option(help=options.TIME_ZONE)] = None,
    lateness: Annotated[str | None, typer.Option(help="How long a window waits for late rows: 10m, 2h, 0s.")] = None,
    label_ratio: Annotated[float | None, typer.Option(help=options.LABEL_RATIO)] = None,
    label_delay: Annotated[str | None, typer.Option(help=options.LABEL_DELAY)] = None,
) -> None:
    """Set when a model's windows are evaluated.

    After a change of the time zone, its last windows are evaluated again.

    Example: dcmon model set credit --time-zone Europe/Berlin --lateness 10m
    """
    from dcmon.commands.operations import model as operation
    from dcmon.monitoring.lifecycle import ModelTiming

    delays = {"lateness": duration(lateness), "label_delay": duration(label_delay)}
    timing = ModelTiming(time_zone, label_ratio=label_ratio, **delays)
    if timing == ModelTiming():
        raise typer.BadParameter("Nothing to set: give --time-zone, --lateness, --label-ratio or --label-delay.")
    ctx.obj.output.value(operation.change(ctx.obj, name, timing))


@app.command("set-retention")
def set_retention(
    ctx: typer.Context,
    name: str,
    term: Annotated[str, typer.Argument(help="30d, 12w, 1y; none: for ever; inherit: the organization's term.")],
) -> None:
    """Set how long a model's samples are kept, instead of its organization's term.

    Example: dcmon model set-retention credit 30d
    """
    from dcmon.commands.operations import model as operation

    ctx.obj.output.value(operation.set_retention(ctx.obj, name, term), none=NO_END)


@app.command("set-defaults")
def set_defaults(
    ctx: typer.Context,
    defaults: Annotated[str, typer.Argument(help="all (the SDK's and dcmon's own), sdk or none.")],
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]…", help="The models.")] = None,
    every_model: Annotated[bool, typer.Option("--every-model", help="All models of the organization.")] = False,
    frequency_: Annotated[
        str | None,
        typer.Option("--frequency", help="Frequency of new monitors; by default that of the other default monitors."),
    ] = None,
) -> None:
    """Choose the default monitors and rules of models.

    What is missing is created. The rules of the others are turned off: their open alerts end, and their monitors keep
    their results and go on. With the same choice again, nothing changes.

    Example: dcmon model set-defaults sdk credit
    """
    from dcmon.commands.operations import model as operation

    if bool(names) == every_model:
        raise typer.BadParameter("Name the models, or give --every-model.")
    every = None if frequency_ is None else frequency(frequency_)
    rows = operation.set_defaults(ctx.obj, names or (), default_set(defaults), every)
    columns = ["model", "default_monitors", "monitors_created", "rules_on", "rules_off", "rules_renewed"]
    ctx.obj.output.table(rows, columns, empty='No model yet: "dcmon model create NAME --task binary".')

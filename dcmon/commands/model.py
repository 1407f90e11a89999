"""Models: create, list, show, set, set-retention."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcmon.alerting import alert_views
from dcmon.commands import FOR_EVER, group
from dcmon.states import AlertState

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from dcmon.db.tables.org import Model, Version

app = group(__doc__)

# dcmon.storage.columns.TYPES, which a help need not load.
KINDS = "numeric, integer, bigint, categorical, text, boolean, array_float, array_float_2d or datetime"


@app.command()
def create(
    ctx: typer.Context,
    name: str,
    task: Annotated[str, typer.Option(help="regression, binary or multiclass.")],
    description: Annotated[str | None, typer.Option(help="What it predicts.")] = None,
    version: Annotated[str | None, typer.Option(help="Create this version too, with the columns given.")] = None,
    feature: Annotated[list[str] | None, typer.Option(help=f"NAME:TYPE, repeatable. TYPE: {KINDS}.")] = None,
    additional: Annotated[list[str] | None, typer.Option(help="NAME:TYPE of a column that is no feature.")] = None,
    class_: Annotated[list[str] | None, typer.Option("--class", help="A class, repeatable.")] = None,
    label_ratio: Annotated[float, typer.Option(help="Checks on labels wait for this share of labels.")] = 1.0,
    label_delay: Annotated[str, typer.Option(help="… or this long: 90s, 30m, 12h, 3d.")] = "3d",
    time_zone: Annotated[str, typer.Option(help="Windows are aligned in it: Europe/Berlin.")] = "UTC",
    frequency: Annotated[str, typer.Option(help="Of the default monitors: HOUR, DAY, WEEK or MONTH.")] = "DAY",
    defaults: Annotated[bool, typer.Option("--defaults/--no-defaults", help="Default monitors and rules.")] = True,
) -> None:
    """Create a model, with default monitors and rules.

    Example: dcmon model create credit --task binary --version v1 --feature age:numeric --class 0 --class 1
    """
    from dcmon import durations
    from dcmon.monitoring import default_monitors
    from dcmon.storage import models, versions
    from dcmon.windows import Frequency

    if frequency.upper() not in Frequency.__members__:
        raise typer.BadParameter(f"{frequency!r} is none of {', '.join(Frequency)}.", param_hint="--frequency")
    features, more = _columns(feature), _columns(additional)
    _require_whole(version, features, more, class_)
    new = models.NewModel(name, task, description, label_ratio, durations.parse(label_delay), time_zone)
    row: dict[str, object] = {"model": name}
    with ctx.obj.org() as session:
        model = models.create(session, new)
        row["id"] = model.id
        if defaults:
            row["monitors"] = default_monitors.create_defaults(session, model, Frequency[frequency.upper()])
        if version is not None:
            columns = versions.NewVersion(version, features, more, classes=class_ or None)
            row |= {"version": version, "version_id": versions.create(session, model, columns).id}
    ctx.obj.output.value(row)


def _columns(given: list[str] | None) -> dict[str, str]:
    columns = {}
    for each in given or ():
        name, colon, kind = each.rpartition(":")
        if not colon:
            raise typer.BadParameter(f"{each!r} is not NAME:TYPE, like age:numeric.")
        if name in columns:
            raise typer.BadParameter(f"The column {name!r} is there twice.")
        columns[name] = kind
    return columns


def _require_whole(
    version: str | None, features: dict[str, str], additional: dict[str, str], classes: list[str] | None
) -> None:
    """Raises BadParameter when columns would be lost: without a version, without features, or by a name given twice."""
    if version is None and (features or additional or classes):
        raise typer.BadParameter("Columns and classes are those of a version: name it with --version v1.")
    if version is not None and not features:
        raise typer.BadParameter(f"Version {version!r} has no column: give it some with --feature age:numeric.")
    if both := features.keys() & additional.keys():
        raise typer.BadParameter(f"The column {min(both)!r} is there twice: as --feature and as --additional.")
    if classes and (twice := [each for each in classes if classes.count(each) > 1]):
        raise typer.BadParameter(f"The class {twice[0]!r} is there twice.")


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """List models. Example: dcmon model list"""
    from dcmon.ingestion import samples
    from dcmon.storage import models, versions

    with ctx.obj.org() as session:
        rows = []
        for model in models.entries(session):
            found = versions.entries(session, model)
            newest = max((each.watermark for each in found if each.watermark), default=None)
            n = sum(samples.count(session, each) for each in found)
            rows.append(
                {"name": model.name, "id": model.id, "task": model.task_type, "versions": len(found),
                 "samples": n, "newest_sample": newest}
            )  # fmt: skip
    columns = ["name", "id", "task", "versions", "samples", "newest_sample"]
    ctx.obj.output.table(rows, columns, empty='No model yet: "dcmon model create NAME --task binary".')


@app.command()
def show(ctx: typer.Context, name: str) -> None:
    """Show a model: versions, samples, monitors, alerts, quarantine. Example: dcmon model show credit"""
    from dcmon import durations
    from dcmon.ingestion import quarantine
    from dcmon.monitoring import schedules
    from dcmon.storage import models, versions
    from dcmon.tenancy import retention

    org = ctx.obj.organization()
    with ctx.obj.org(org) as session:
        model = models.find(session, name)
        shown = [_version_row(session, model, version) for version in versions.entries(session, model)]
        firing = [view for view in alert_views.list_alerts(session, model.id) if view.alert.state == AlertState.FIRING]
        about = {
            "name": model.name,
            "id": model.id,
            "task": model.task_type,
            "description": model.description,
            "time_zone": model.time_zone,
            "lateness": durations.to_text(model.lateness),
            "label_ratio": model.label_ratio,
            "label_delay": durations.to_text(model.label_delay),
            "samples_kept": retention.written(retention.effective(model.retention, org.retention)),
            "monitors": len(schedules.monitors_of_model(session, model)),
            "firing_alerts": len(firing),
            "quarantined": quarantine.counts(session, model),
        }
    if ctx.obj.output.is_json:
        ctx.obj.output.value({**about, "versions": shown})
        return
    ctx.obj.output.value(about, none=FOR_EVER)
    columns = ["version", "id", "features", "samples", "reference", "newest_sample", "state"]
    ctx.obj.output.table(shown, columns, empty="It has no version yet.")


def _version_row(session: "Session", model: "Model", version: "Version") -> dict[str, Any]:
    from dcmon.ingestion import samples
    from dcmon.monitoring import liveness
    from dcmon.storage import references

    return {
        "version": version.name,
        "id": version.id,
        "features": len(version.features),
        "samples": samples.count(session, version),
        "reference": references.count(session, version),
        "newest_sample": version.watermark,
        "state": liveness.classify(model, version),
    }


@app.command("set")
def set_(
    ctx: typer.Context,
    name: str,
    time_zone: Annotated[str | None, typer.Option(help="Windows are aligned in it: Europe/Berlin.")] = None,
    lateness: Annotated[str | None, typer.Option(help="A window waits so long for late rows: 10m, 2h; 0s.")] = None,
    label_ratio: Annotated[float | None, typer.Option(help="Checks on labels wait for this share of labels.")] = None,
    label_delay: Annotated[str | None, typer.Option(help="… or this long: 90s, 30m, 12h, 3d.")] = None,
) -> None:
    """Set when a model's windows are evaluated; in another time zone, the last ones are evaluated again.

    Example: dcmon model set credit --time-zone Europe/Berlin --lateness 10m
    """
    from dcmon import durations
    from dcmon.db import work_queue
    from dcmon.monitoring import lifecycle
    from dcmon.storage import models

    terms = {key: None if text is None else durations.parse(text)
             for key, text in (("lateness", lateness), ("label_delay", label_delay))}  # fmt: skip
    timing = lifecycle.ModelTiming(time_zone, label_ratio=label_ratio, **terms)
    if timing == lifecycle.ModelTiming():
        raise typer.BadParameter("Say what to set: --time-zone, --lateness, --label-ratio or --label-delay.")
    org = ctx.obj.organization()
    with ctx.obj.org(org) as session:
        model = models.find(session, name)
        done = lifecycle.change_model(session, org, model, timing, ctx.obj.settings.url)
        row = {
            "model": name, "time_zone": model.time_zone, "lateness": durations.to_text(model.lateness),
            "label_ratio": model.label_ratio, "label_delay": durations.to_text(model.label_delay), **done,
        }  # fmt: skip
    ctx.obj.enqueue(org, work_queue.Work.evaluate, work_queue.Work.notify)
    ctx.obj.output.value(row)


@app.command("set-retention")
def set_retention(
    ctx: typer.Context,
    name: str,
    term: Annotated[str, typer.Argument(help="30d, 12w, 1y; none: for ever; inherit: as the organization.")],
) -> None:
    """Set how long a model's samples are kept, instead of its organization's term.

    Example: dcmon model set-retention credit 30d
    """
    from dcmon.storage import models
    from dcmon.tenancy import retention

    org = ctx.obj.organization()
    own = None if term.strip().lower() == "inherit" else retention.parse(term) or retention.FOR_EVER
    with ctx.obj.org(org) as session:
        models.set_retention(session, models.find(session, name), own)
    kept = retention.written(retention.effective(own, org.retention))
    ctx.obj.output.value({"model": name, "samples_kept": kept, "own": own is not None}, none=FOR_EVER)

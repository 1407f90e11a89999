"""Monitors: create, list, show, history, run."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcmon.commands import group

if TYPE_CHECKING:
    from dcmon.comparison import With
    from dcmon.tables.org import Result

app = group(__doc__)

COMPARE = "With what a drift check compares: reference, previous (window), week (the same window a week ago)."
Name = Annotated[str, typer.Argument(help="MODEL/MONITOR, or MONITOR where only one model has it.")]


@app.command()
def create(
    ctx: typer.Context,
    name: str,
    model: Annotated[str, typer.Option(help="The model it watches.")],
    check: Annotated[str, typer.Option(help="A check of the model by name, or of deepchecks by class: FeatureDrift.")],
    frequency: Annotated[str, typer.Option(help="HOUR, DAY, WEEK or MONTH.")] = "DAY",
    aggregation_window: Annotated[int, typer.Option(min=1, help="Units of the frequency that a window spans.")] = 1,
    feature: Annotated[list[str] | None, typer.Option(help="Only these features; repeatable.")] = None,
    scorer: Annotated[list[str] | None, typer.Option(help="Metrics of a performance check; repeatable.")] = None,
    class_: Annotated[list[str] | None, typer.Option("--class", help="Only metrics of these classes.")] = None,
    aggregation: Annotated[str | None, typer.Option(help="How features become one number: max, l3_weighted …")] = None,
    param: Annotated[list[str] | None, typer.Option(help="A parameter of the check: min_samples=50.")] = None,
    filter_: Annotated[
        list[str] | None, typer.Option("--filter", help="Only rows like \"age >= 30 and city in ('Oslo', 'Rome')\".")
    ] = None,
    compare: Annotated[str, typer.Option(help=COMPARE)] = "reference",
    rule: Annotated[str | None, typer.Option(help="Add a rule: '> 0.2'.")] = None,
    severity: Annotated[str, typer.Option(help="Of that rule.")] = "medium",
) -> None:
    """Create a monitor; its last windows with samples are evaluated at once.

    Example: dcmon monitor create "Age drift" --model credit --check FeatureDrift --feature age --rule "> 0.2"
    """
    from dcmon import filter_syntax, models, monitors, rules, wake
    from dcmon.windows import Frequency

    if frequency.upper() not in Frequency.__members__:
        raise typer.BadParameter(f"{frequency!r} is none of {', '.join(Frequency)}.", param_hint="--frequency")
    conf = {"feature": feature, "scorer": scorer, "class": class_}
    chosen = {key: value for key, value in conf.items() if value}
    if aggregation:
        chosen["aggregation method"] = [aggregation]
    kwargs = {"check_conf": chosen, "res_conf": None} if chosen else None
    chosen_rows, compared_with = filter_syntax.parse(filter_ or ()), compared(compare)
    org = ctx.obj.organization()
    with ctx.obj.org(org) as session:
        on = monitors.provide_check(session, models.find(session, model), check, parameters(param or []), name)
        new = monitors.NewMonitor(
            name, Frequency[frequency.upper()], aggregation_window, data_filters=chosen_rows,
            additional_kwargs=kwargs, compared_with=compared_with,
        )  # fmt: skip
        made = monitors.create(session, on, new)
        if rule is not None:
            rules.create(session, made.id, rules.parse(rule), severity)
    with ctx.obj.public() as session:
        wake.ring(session, org.id, wake.Work.evaluate)
    ctx.obj.output.value({"monitor": f"{model}/{name}", "id": made.id, "check": on.name})


def parameters(given: list[str]) -> dict[str, Any]:
    """NAME=VALUE options as parameters of a check: JSON where it is some, else text. Raises BadParameter."""
    import json

    found: dict[str, Any] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name.isidentifier():
            raise typer.BadParameter(f"{each!r} is not NAME=VALUE, like min_samples=50.", param_hint="--param")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def compared(word: str) -> "With":
    """What --compare says. Raises BadParameter."""
    from dcmon.comparison import With

    words = {"reference": With.reference, "previous": With.previous, "week": With.week_before}
    if word.lower() not in words:
        raise typer.BadParameter(f"{word!r} is none of {', '.join(words)}.", param_hint="--compare")
    return words[word.lower()]


@app.command("list")
def list_(ctx: typer.Context, model: Annotated[str | None, typer.Option(help="Only of this model.")] = None) -> None:
    """List monitors with their last value and the shape of those before. Example: dcmon monitor list"""
    from dcmon import models, overview

    with ctx.obj.org() as session:
        views = overview.monitors(session, models.find(session, model).id if model else None)
        rows = [overview.monitor_row(view) for view in views]
    ctx.obj.output.table(rows, ["monitor", "every", "last", "state", "history"], empty="No monitor yet.")


@app.command()
def show(ctx: typer.Context, name: Name) -> None:
    """Show a monitor: check, rules, and its last results. Example: dcmon monitor show "credit/Prediction Drift\""""
    from dcmon import filter_syntax, monitors, overview

    is_json = ctx.obj.output.is_json
    with ctx.obj.org() as session:
        wanted = monitors.find(session, name).id
        view = next(view for view in overview.monitors(session) if view.monitor.id == wanted)
        about = {
            **overview.monitor_row(view, 40),
            "check": f"{view.check.name} ({view.check.class_name})",
            "choices": view.monitor.additional_kwargs and view.monitor.additional_kwargs["check_conf"],
            "filters": view.monitor.data_filters if is_json else filter_syntax.write(view.monitor.data_filters),
            "compared_with": view.monitor.compared_with if view.check.needs_reference else None,
        }
        last = [_result(each) for each in view.results[-10:]]
    if is_json:
        ctx.obj.output.value({**about, "results": last})
        return
    ctx.obj.output.value(about)
    ctx.obj.output.table(last, ["window_end", "state", "value", "n", "revision", "driver"], title="Last results")


@app.command()
def history(
    ctx: typer.Context,
    name: Name,
    since: Annotated[datetime | None, typer.Option(help="Only windows that end after this, UTC.")] = None,
) -> None:
    """List the newest result of every window. Example: dcmon monitor history "credit/Prediction Drift\""""
    from datetime import UTC

    from dcmon import monitors, results

    with ctx.obj.org() as session:
        after = since.replace(tzinfo=UTC) if since else None
        rows = [_result(each) for each in results.series(session, monitors.find(session, name).id, after)]
    columns = ["window_end", "state", "value", "n", "revision", "driver", "reason"]
    ctx.obj.output.table(rows, columns, empty="No window was evaluated yet.")


@app.command()
def run(
    ctx: typer.Context,
    name: Name,
    at: Annotated[datetime | None, typer.Option(help="The window that ends then or before, UTC.")] = None,
    from_: Annotated[datetime | None, typer.Option("--from", help="Windows that end after this, UTC.")] = None,
    to: Annotated[datetime | None, typer.Option("--to", help="… and not after this, UTC.")] = None,
    notify: Annotated[bool, typer.Option("--notify", help="Notify of what changes.")] = False,
) -> None:
    """Evaluate now; exit 1 when a rule is violated, 8 when there is no verdict.

    Example: dcmon monitor run "credit/Prediction Drift"
    """
    from datetime import UTC

    from dcmon import evaluation, monitors, rules, wake

    app = ctx.obj
    org = app.organization()
    with app.org(org) as session:
        wanted = monitors.find(session, name).id
        on_it = [rule for rule in rules.of_monitor(session, wanted) if rule.is_active]
    until = at or to
    span = (from_.replace(tzinfo=UTC) if from_ else None, until.replace(tzinfo=UTC) if until else None)
    link = app.settings.url if notify else None
    found = evaluation.run_monitor(app.engine, org, wanted, span, app.settings.evaluate, link)
    if notify:
        with app.public() as session:
            wake.ring(session, org.id, wake.Work.notify)
    rows = [{**_result(each), "violates": rules.violated(on_it, each.metrics)} for each in found]
    columns = ["window_end", "state", "value", "n", "violates", "reason"]
    app.output.table(rows, columns, empty="There is no window with samples yet.")
    if any(row["violates"] for row in rows):
        raise typer.Exit(1)
    if not rows or any(row["state"] != "OK" for row in rows):
        raise typer.Exit(8)


def _result(result: "Result") -> dict[str, object]:
    from dcmon import results

    headline = results.headline(result.metrics)
    return {
        "window_start": result.window_start,
        "window_end": result.window_end,
        "state": result.state,
        "value": headline[1] if headline else None,
        "metrics": result.metrics,
        "n": result.n,
        "revision": result.revision,
        "reference_revision": result.reference_revision,
        "driver": next(iter(result.entries), None),
        "entries": result.entries,
        "reason": result.reason,
    }

"""Monitors, which run a check on each window of time."""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcmon.commands import _monitor_results, _monitor_run
from dcmon.commands.shared import option_groups, options, questions
from dcmon.commands.shared.arguments import check_parameters, frequency, parse_condition
from dcmon.commands.shared.changes import asking, changing, counting
from dcmon.commands.shared.choices import FREQUENCIES, RESETTABLE, choice_option
from dcmon.commands.shared.groups import group
from dcmon.commands.shared.lists import listing_of
from dcmon.commands.shared.several import Shown, delete_all, run_for_all, show_all
from dcmon.severity import Severity

if TYPE_CHECKING:
    from dcmon.commands.operations.monitor import CheckChoices

app = group(__doc__)
app.add_typer(_monitor_results.app)
app.add_typer(_monitor_run.app)


@app.command()
@changing
@option_groups.check_choices
def create(
    ctx: typer.Context,
    name: options.CreatedName,
    *,
    model: options.TargetModel = None,
    check: Annotated[str, typer.Option(help="Name of a check of the model, or class of deepchecks: FeatureDrift.")],
    frequency_: Annotated[
        str, choice_option("--frequency", what="frequency", known=FREQUENCIES, help="Frequency of the windows.")
    ] = "DAY",
    aggregation_window: Annotated[int, typer.Option(min=1, help="Length of a window, in units of the frequency.")] = 1,
    choices: "CheckChoices",
    param: options.Parameter = None,
    filter_: options.Filter = None,
    compare: Annotated[str, options.COMPARE] = "reference",
    rows: Annotated[str, typer.Option(help=options.ROWS)] = "default",
    description: Annotated[str, typer.Option(help="Purpose of the monitor.")] = "",
    lookback: options.Lookback = None,
    rule: Annotated[
        list[str] | None, typer.Option(help="Condition of a first alert rule: '> 0.2'; repeatable.")
    ] = None,
    severity: Annotated[
        str, choice_option(what="severity", known=Severity, help="Severity of these rules.")
    ] = Severity.MEDIUM,
) -> None:
    """Create a monitor; its last windows with samples are evaluated at once.

    Example: dcmon monitor create Age --model credit --check FeatureDrift --rule "> 0.2"
    """
    from dcmon.commands.operations import monitor as operation
    from dcmon.monitoring.monitor_spec import MonitorSpec

    every = frequency(frequency_)
    conditions = [condition for text in rule or () if (condition := parse_condition(text)) is not None]
    spec = MonitorSpec(
        name, every, aggregation_window, lookback, description, operation.parse_filters(filter_),
        choices.kwargs, compared_with=operation.parse_compare(compare), rows=operation.parse_rows(rows),
    )  # fmt: skip
    new = operation.NewMonitor(model, check, check_parameters(param), spec, conditions, severity)
    ctx.obj.output.value(operation.create(ctx.obj, new))


@app.command("list")
@listing_of("monitors")
def list_(ctx: typer.Context, model: options.OnlyModel = None) -> None:
    """List monitors, each with its last value and window.

    There is a line for each version. The column "liveness" shows which are overdue, the column "default" whose default
    monitor it is: of the SDK, or of dcmon.

    Example: dcmon monitor list
    """
    from dcmon.commands.views import monitor as view

    rows = view.rows(ctx.obj, model)
    version = ["version"] if view.has_several_versions(rows) else []
    narrow = ["monitor", *version, "every", "last", "state", "window_end", "liveness"]
    columns = [*narrow, "default", "history"]
    ctx.obj.output.table(
        rows, columns, narrow=narrow, empty='No monitor yet: "dcmon monitor create --help" shows how to create one.'
    )


@app.command()
def show(ctx: typer.Context, names: options.MonitorNames) -> None:
    """Show monitors: check, rules, each version, and the last results.

    Example: dcmon monitor show "credit/Prediction Drift"
    """
    from dcmon.commands.views import monitor as view

    show_all(ctx.obj.output, names, partial(view.detail, ctx.obj))


@app.command("set")
@asking(questions.ended_alerts)
@option_groups.check_choices
def set_(
    ctx: typer.Context,
    names: options.MonitorNames,
    *,
    new_name: Annotated[str | None, typer.Option("--name", help="New name of the monitor.")] = None,
    description: Annotated[str | None, typer.Option(help="Purpose of the monitor.")] = None,
    frequency_: Annotated[
        str | None, choice_option("--frequency", what="frequency", known=FREQUENCIES, help="Frequency of the windows.")
    ] = None,
    aggregation_window: Annotated[
        int | None, typer.Option(min=1, help="Length of a window, in units of the frequency.")
    ] = None,
    lookback: options.Lookback = None,
    choices: "CheckChoices",
    filter_: options.Filter = None,
    compare: Annotated[str | None, options.COMPARE] = None,
    rows: Annotated[str | None, typer.Option(help=options.ROWS)] = None,
    param: options.Parameter = None,
    reset: Annotated[
        list[str] | None,
        choice_option(
            what="choice to reset",
            known=RESETTABLE,
            metavar="CHOICE",
            help="Remove a choice: feature, scorer, class, aggregation, max-features, metric, filter or param.",
        ),
    ] = None,
) -> None:
    """Change monitors, all in the same way.

    If the change affects its values, its windows are evaluated again and its alerts are resolved.

    Example: dcmon monitor set "credit/Prediction Drift" --frequency HOUR
    """
    from dcmon.commands.operations import monitor as operation
    from dcmon.commands.views import old_names as view

    wanted: dict[str, Any] = {
        "name": new_name, "description": description, "aggregation_window": aggregation_window,
        "frequency": frequency_ and frequency(frequency_), "lookback": lookback,
        "data_filters": operation.parse_filters(filter_) if filter_ else None,
        "compared_with": operation.parse_compare(compare) if compare else None,
    }  # fmt: skip
    fields = {key: value for key, value in wanted.items() if value is not None}
    fields |= {} if rows is None else {"rows": operation.parse_rows(rows)}
    change = operation.MonitorChange(fields, choices, check_parameters(param), set(reset or ()))
    change.require_usable(names)
    find, act = partial(operation.find, ctx.obj), partial(operation.change, ctx.obj, wanted=change)
    run_for_all(ctx.obj.output, names, find, act, shown=Shown(view.remark))


@app.command()
@changing
def rename(ctx: typer.Context, name: options.MonitorName, new_name: options.NewName) -> None:
    """Rename a monitor; its id, results and alerts stay. Silences that use the name need the new one.

    Example: dcmon monitor rename "credit/Mixed Nulls" "Nulls"
    """
    from dcmon.commands.operations import monitor as operation
    from dcmon.commands.views import old_names as view

    ctx.obj.output.page(view.renamed(operation.rename(ctx.obj, name, new_name)))


@app.command()
@changing
def copy(
    ctx: typer.Context,
    name: options.MonitorName,
    new_name: options.NewName,
    model: Annotated[str | None, typer.Option(help="Model of the copy; default: that of the monitor.")] = None,
) -> None:
    """Copy a monitor with its rules; its last windows with samples are evaluated.

    Example: dcmon monitor copy "credit/Prediction Drift" "Weekly drift"
    """
    from dcmon.commands.operations import copies as operation

    ctx.obj.output.value(operation.copy_monitor(ctx.obj, name, new_name, model))


@app.command()
@counting
def delete(
    ctx: typer.Context,
    names: options.MonitorNames,
    yes: options.Yes = False,
) -> None:
    """Delete monitors with their results, rules and alerts. Example: dcmon monitor delete "credit/Mixed Nulls\""""
    from dcmon.commands.operations import monitor as operation

    delete_all(ctx.obj.output, names, partial(operation.deletion, ctx.obj), yes=yes)

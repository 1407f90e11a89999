"""Monitors: create, list, show, history, run, backfill, set, delete."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcmon.commands import _monitor_results
from dcmon.commands.shared import options
from dcmon.commands.shared.arguments import check_parameters
from dcmon.commands.shared.confirmation import confirm, outcome
from dcmon.commands.shared.groups import group

if TYPE_CHECKING:
    from dcmon.monitoring.monitor_views import MonitorView
    from dcmon.windows import ComparedWith

app = group(__doc__)
app.add_typer(_monitor_results.app)

COMPARE = "With what a drift check compares: reference, previous (window), week (the same window a week ago)."
ROWS = "Rows that it reads of a window: a number, all, or default (DCMON_EVALUATE__SAMPLE_SIZE)."
METRIC = "Only these metrics; repeatable. Of DataFlow: rows."
SHOWN, LAST, MANY = 48, 10, 3  # windows of a version in a row of blocks; results; metrics
WORDS = {"reference": "reference", "previous": "previous", "week": "week_before"}  # of --compare


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
    metric: Annotated[list[str] | None, typer.Option(help=METRIC)] = None,
    param: Annotated[list[str] | None, typer.Option(help="A parameter of the check: min_samples=50.")] = None,
    filter_: Annotated[
        list[str] | None, typer.Option("--filter", help="Only rows like \"age >= 30 and city in ('Oslo', 'Rome')\".")
    ] = None,
    compare: Annotated[str, typer.Option(help=COMPARE)] = "reference",
    rows: Annotated[str, typer.Option(help=ROWS)] = "default",
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    lookback: Annotated[str | None, typer.Option(help="How far its graph reaches: 30d.")] = None,
    rule: Annotated[str | None, typer.Option(help="Add a rule: '> 0.2'.")] = None,
    severity: Annotated[str, typer.Option(help="Of that rule.")] = "medium",
) -> None:
    """Create a monitor; its last windows with samples are evaluated at once.

    Example: dcmon monitor create "Age drift" --model credit --check FeatureDrift --feature age --rule "> 0.2"
    """
    from dcmon import durations
    from dcmon.alerting import rules
    from dcmon.db import work_queue
    from dcmon.monitoring import model_checks, monitors
    from dcmon.monitoring.monitor_spec import MonitorSpec
    from dcmon.storage import filter_parser, models
    from dcmon.windows import Frequency

    if frequency.upper() not in Frequency.__members__:
        raise typer.BadParameter(f"{frequency!r} is none of {', '.join(Frequency)}.", param_hint="--frequency")
    conf = {"feature": feature, "scorer": scorer, "class": class_}
    chosen = {key: value for key, value in conf.items() if value}
    if aggregation:
        chosen["aggregation method"] = [aggregation]
    condition = rules.parse(rule) if rule is not None else None
    kwargs = {"check_conf": chosen, "res_conf": metric or None} if chosen or metric else None
    chosen_rows, compared_with = filter_parser.parse(filter_ or ()), compared(compare)
    reach = None if lookback is None else durations.parse(lookback)
    org = ctx.obj.organization()
    with ctx.obj.org(org) as session:
        on = model_checks.get_or_create_check(
            session, models.find(session, model), check, check_parameters(param), name
        )
        new = MonitorSpec(
            name, Frequency[frequency.upper()], aggregation_window, reach, description, chosen_rows, kwargs,
            compared_with=compared_with, rows=rows_read(rows),
        )  # fmt: skip
        made = monitors.create(session, on, new, org.retention)
        if condition is not None:
            rules.create(session, made.id, condition, severity)
    ctx.obj.enqueue(org, work_queue.Work.evaluate)
    ctx.obj.output.value({"monitor": f"{model}/{name}", "id": made.id, "check": on.name})


def compared(word: str) -> "ComparedWith":
    """What --compare says. Raises BadParameter."""
    from dcmon.windows import ComparedWith

    if word.lower() not in WORDS:
        raise typer.BadParameter(f"{word!r} is none of {', '.join(WORDS)}.", param_hint="--compare")
    return ComparedWith(WORDS[word.lower()])


def rows_read(word: str) -> int | None:
    """What --rows says: 0 for all, None for the default. Raises BadParameter."""
    if word.lower() in ("all", "default"):
        return 0 if word.lower() == "all" else None
    if not word.isdecimal() or int(word) == 0:
        raise typer.BadParameter(f"{word!r} is neither a number of rows nor all or default.", param_hint="--rows")
    return int(word)


@app.command("list")
def list_(ctx: typer.Context, model: Annotated[str | None, typer.Option(help="Only of this model.")] = None) -> None:
    """List monitors with their last value and window, and whether one is overdue; a line for each version.

    Example: dcmon monitor list
    """
    from datetime import UTC

    from dcmon.monitoring import monitor_views, progress
    from dcmon.storage import models, versions

    org = ctx.obj.organization()
    with ctx.obj.org(org) as session:
        views = monitor_views.list_views(session, models.find(session, model).id if model else None, last=SHOWN)
        of = {view.model.id: versions.entries(session, view.model) for view in views}
        now = datetime.now(UTC)
        lines = [progress.list_lines(session, view, of[view.model.id], now, org.retention) for view in views]
        rows = [line.row for each in lines for line in each]
    several = any(len(each) > 1 for each in lines)
    columns = ["monitor", *(["version"] if several else []), "every", "last", "state", "window_end", "liveness"]
    columns += [] if ctx.obj.output.is_narrow else ["history"]
    ctx.obj.output.table(rows, columns, empty="No monitor yet.")


@app.command()
def show(ctx: typer.Context, name: options.MonitorName) -> None:
    """Show a monitor: check, rules, each version, and its last results.

    Example: dcmon monitor show "credit/Prediction Drift"
    """
    from datetime import UTC

    from dcmon.commands.views import monitor_result as results_view
    from dcmon.monitoring import monitor_views, monitors, progress
    from dcmon.storage import versions

    org = ctx.obj.organization()
    with ctx.obj.org(org) as session:
        view = monitor_views.get_view(session, monitors.find(session, name).id, last=SHOWN)
        names = monitor_views.version_names(session)
        of = versions.entries(session, view.model)
        lines = progress.list_lines(session, view, of, datetime.now(UTC), org.retention)
        about = _about(view, is_json=ctx.obj.output.is_json)
        last = [results_view.result_row(each, names, view.metric) for each in view.results[-LAST:]]
        rows = [line.row for line in lines]
    if ctx.obj.output.is_json:
        ctx.obj.output.value({**about, **_newest(rows[0]), "versions": rows, "results": last})
        return
    ctx.obj.output.value(about if len(rows) > 1 else {**about, **_newest(rows[0])})
    if len(rows) > 1:
        ctx.obj.output.table(rows, ["version", "last", "state", "window_end", "liveness", "history"], title="Versions")
    columns = [
        *results_view.version_columns(last),
        "window_end",
        "state",
        *results_view.metric_columns(last, view.metrics[:MANY]),
    ]
    ctx.obj.output.table(last, [*columns, "n", "revision", "driver"], title="Last results", empty="No result yet.")


def _newest(row: dict[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in ("last", "state", "window_end", "liveness", "awaited", "history")}


def _about(view: "MonitorView", *, is_json: bool) -> dict[str, Any]:
    """What a monitor was created with, in the words that one types."""
    from dcmon import durations
    from dcmon.monitoring import monitor_views
    from dcmon.storage import filter_parser

    monitor, kwargs = view.monitor, view.monitor.additional_kwargs or {}
    return {
        **{
            key: value
            for key, value in monitor_views.monitor_row(view).items()
            if key in ("id", "monitor", "every", "rules")
        },
        "check": f"{view.check.name} ({view.check.class_name})",
        "params": view.check.params,
        "choices": kwargs.get("check_conf"),
        "filters": monitor.data_filters if is_json else filter_parser.write(monitor.data_filters),
        "compared_with": next(word for word, with_ in WORDS.items() if with_ == monitor.compared_with)
        if view.check.needs_reference
        else None,
        "metric": kwargs.get("res_conf"),
        "rows": {None: "default", 0: "all"}.get(monitor.rows, monitor.rows),
        "lookback": durations.to_text(monitor.lookback),
        "description": monitor.description or None,
        "revision": monitor.revision,
    }


@app.command("set")
def set_(
    ctx: typer.Context,
    name: options.MonitorName,
    new_name: Annotated[str | None, typer.Option("--name", help="Another name.")] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    frequency: Annotated[str | None, typer.Option(help="HOUR, DAY, WEEK or MONTH.")] = None,
    aggregation_window: Annotated[int | None, typer.Option(min=1, help="Units that a window spans.")] = None,
    lookback: Annotated[str | None, typer.Option(help="How far its graph reaches: 30d.")] = None,
    feature: Annotated[list[str] | None, typer.Option(help="Only these features; repeatable.")] = None,
    scorer: Annotated[list[str] | None, typer.Option(help="Metrics of a performance check; repeatable.")] = None,
    class_: Annotated[list[str] | None, typer.Option("--class", help="Only metrics of these classes.")] = None,
    aggregation: Annotated[str | None, typer.Option(help="How features become one number: max …")] = None,
    metric: Annotated[list[str] | None, typer.Option(help=METRIC)] = None,
    filter_: Annotated[list[str] | None, typer.Option("--filter", help='Only rows like "age >= 30".')] = None,
    compare: Annotated[str | None, typer.Option(help=COMPARE)] = None,
    rows: Annotated[str | None, typer.Option(help=ROWS)] = None,
    param: Annotated[list[str] | None, typer.Option(help="A parameter of its check: min_samples=50.")] = None,
    reset: Annotated[
        list[str] | None,
        typer.Option(help="Choose none any more: feature, scorer, class, aggregation, metric, filter or param."),
    ] = None,
) -> None:
    """Change a monitor; where its values are others by it, its windows are evaluated again and its alerts are over.

    Example: dcmon monitor set "credit/Prediction Drift" --frequency HOUR --aggregation-window 6
    """
    from dataclasses import replace

    from dcmon import durations
    from dcmon.db import work_queue
    from dcmon.monitoring import lifecycle, model_checks, monitors
    from dcmon.storage import filter_parser
    from dcmon.windows import Frequency

    if frequency is not None and frequency.upper() not in Frequency.__members__:
        raise typer.BadParameter(f"{frequency!r} is none of {', '.join(Frequency)}.", param_hint="--frequency")
    if unknown := set(reset or ()) - {"feature", "scorer", "class", "aggregation", "metric", "filter", "param"}:
        raise typer.BadParameter(f"{min(unknown)!r} can't be reset.", param_hint="--reset")
    given: dict[str, Any] = {
        "name": new_name, "description": description, "aggregation_window": aggregation_window,
        "frequency": frequency and Frequency[frequency.upper()], "lookback": lookback and durations.parse(lookback),
        "data_filters": filter_ and filter_parser.parse(filter_), "compared_with": compare and compared(compare),
    }  # fmt: skip
    conf = {"feature": feature, "scorer": scorer, "class": class_, "aggregation method": aggregation and [aggregation]}
    fields = {key: value for key, value in given.items() if value is not None}
    fields |= {} if rows is None else {"rows": rows_read(rows)}
    changed = check_parameters(param)
    if not fields and not any(conf.values()) and not metric and not changed and not reset:
        raise typer.BadParameter("Say what to change: see dcmon monitor set --help.")
    gone = {"aggregation method" if each == "aggregation" else each for each in reset or ()}
    fields |= {"data_filters": None} if "filter" in gone else {}
    org = ctx.obj.organization()
    with ctx.obj.org(org) as session:
        monitor = monitors.find(session, name)
        before = monitors.lock(session, monitor)
        fields["additional_kwargs"] = _choices(before.additional_kwargs, conf, metric, gone)
        params = None
        if changed or "param" in gone:
            params = {
                **({} if "param" in gone else model_checks.get_check(session, monitor.check_id).params),
                **changed,
            }
        done = lifecycle.change_monitor(session, org, monitor, replace(before, **fields), ctx.obj.settings.url, params)
        row = {"monitor": name, "name": monitor.name, "revision": monitor.revision, "windows_due": done.windows}
    ctx.obj.enqueue(org, work_queue.Work.evaluate, work_queue.Work.notify)
    ctx.obj.output.value(row)


def _choices(
    held: Mapping[str, Any] | None, conf: Mapping[str, Any], metric: list[str] | None, gone: set[str]
) -> dict[str, Any] | None:
    """What is chosen of a check from now on: what was, what is given instead, without what is gone."""
    kwargs = held or {"check_conf": {}, "res_conf": None}
    together = {**kwargs["check_conf"], **{key: value for key, value in conf.items() if value}}
    chosen = {key: value for key, value in together.items() if key not in gone and value}
    metrics = None if "metric" in gone else metric or kwargs.get("res_conf")
    return {**kwargs, "check_conf": chosen, "res_conf": metrics} if chosen or metrics else None


@app.command()
def delete(
    ctx: typer.Context,
    name: options.MonitorName,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a monitor with its results, rules and alerts. Example: dcmon monitor delete "credit/Mixed Nulls\""""
    from dcmon.db import work_queue
    from dcmon.monitoring import lifecycle, monitors

    with ctx.obj.org() as session:
        monitor = monitors.find(session, name)
        wanted, goes = monitor.id, monitors.count_dependents(session, monitor)
    if not dry_run:
        said = ", ".join(f"{count:,} {what}" for what, count in goes.items())
        confirm(f"Delete monitor {name!r} with {said}?", yes)
        with ctx.obj.org() as session:
            lifecycle.delete_monitor(session, monitors.get(session, wanted))
        ctx.obj.enqueue(ctx.obj.organization(), work_queue.Work.notify)
    ctx.obj.output.value(outcome({"deleted": name, **goes}, dry_run=dry_run))

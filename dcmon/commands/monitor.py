"""Monitors: create, list, show, history, run, backfill, set, delete."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcmon.commands import confirm, group, outcome, utc

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from dcmon.comparison import With
    from dcmon.due import Due
    from dcmon.tables.org import Monitor, Result

app = group(__doc__)

COMPARE = "With what a drift check compares: reference, previous (window), week (the same window a week ago)."
ROWS = "Rows that it reads of a window: a number, all, or default (DCMON_EVALUATE__SAMPLE_SIZE)."
LONGEST_WAIT = "Longest wait for another run of the same monitor, and with --wait for the window: 90s, 10m."
LONGEST_WAIT_OF_A_BACKFILL = "Longest wait for another run or backfill of the same monitor: 90s, 10m."
METRIC = "Only these metrics; repeatable. Of DataFlow: rows."
WORDS = {"reference": "reference", "previous": "previous", "week": "week_before"}  # of --compare
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
    from dcmon import durations, filter_syntax, models, monitors, rules, wake
    from dcmon.windows import Frequency

    if frequency.upper() not in Frequency.__members__:
        raise typer.BadParameter(f"{frequency!r} is none of {', '.join(Frequency)}.", param_hint="--frequency")
    conf = {"feature": feature, "scorer": scorer, "class": class_}
    chosen = {key: value for key, value in conf.items() if value}
    if aggregation:
        chosen["aggregation method"] = [aggregation]
    condition = rules.parse(rule) if rule is not None else None
    kwargs = {"check_conf": chosen, "res_conf": metric or None} if chosen or metric else None
    chosen_rows, compared_with = filter_syntax.parse(filter_ or ()), compared(compare)
    reach = None if lookback is None else durations.parse(lookback)
    org = ctx.obj.organization()
    with ctx.obj.org(org) as session:
        on = monitors.provide_check(session, models.find(session, model), check, parameters(param or []), name)
        new = monitors.NewMonitor(
            name, Frequency[frequency.upper()], aggregation_window, reach, description, chosen_rows, kwargs,
            compared_with=compared_with, rows=rows_read(rows),
        )  # fmt: skip
        made = monitors.create(session, on, new, org.retention)
        if condition is not None:
            rules.create(session, made.id, condition, severity)
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

    if word.lower() not in WORDS:
        raise typer.BadParameter(f"{word!r} is none of {', '.join(WORDS)}.", param_hint="--compare")
    return With(WORDS[word.lower()])


def rows_read(word: str) -> int | None:
    """What --rows says: 0 for all, None for the default. Raises BadParameter."""
    if word.lower() in ("all", "default"):
        return 0 if word.lower() == "all" else None
    if not word.isdecimal() or int(word) == 0:
        raise typer.BadParameter(f"{word!r} is neither a number of rows nor all or default.", param_hint="--rows")
    return int(word)


def _about(monitor: "Monitor") -> dict[str, Any]:
    """What a monitor was created with, in the words that one types."""
    from dcmon import durations

    return {
        "metric": (monitor.additional_kwargs or {}).get("res_conf"),
        "rows": {None: "default", 0: "all"}.get(monitor.rows, monitor.rows),
        "lookback": durations.written(monitor.lookback),
        "description": monitor.description or None,
        "revision": monitor.revision,
    }


@app.command("list")
def list_(ctx: typer.Context, model: Annotated[str | None, typer.Option(help="Only of this model.")] = None) -> None:
    """List monitors with their last value and the shape of those before, a line for each version that has results.

    Example: dcmon monitor list
    """
    from dcmon import models, overview

    with ctx.obj.org() as session:
        views = overview.monitors(session, models.find(session, model).id if model else None)
        names = overview.version_names(session)
        rows = [
            {**overview.monitor_row(part), "version": version and names.get(version)}
            for view in views
            for version, part in overview.by_version(view)
        ]
    several = any(len(overview.by_version(view)) > 1 for view in views)
    columns = ["monitor", *(["version"] if several else []), "every", "last", "state", "history"]
    ctx.obj.output.table(rows, columns, empty="No monitor yet.")


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
            "compared_with": next(word for word, with_ in WORDS.items() if with_ == view.monitor.compared_with)
            if view.check.needs_reference
            else None,
            **_about(view.monitor),
        }
        names = overview.version_names(session)
        last = [_result(each, names) for each in view.results[-10:]]
    if is_json:
        ctx.obj.output.value({**about, "results": last})
        return
    ctx.obj.output.value(about)
    columns = [*_versions(last), "window_end", "state", "value", "n", "revision", "driver"]
    ctx.obj.output.table(last, columns, title="Last results")


@app.command()
def history(
    ctx: typer.Context,
    name: Name,
    since: Annotated[datetime | None, typer.Option(help="Only windows that end after this, UTC.")] = None,
    revisions: Annotated[
        bool, typer.Option("--revisions", help="All results of a window, with what each was computed from.")
    ] = False,
) -> None:
    """List the newest result of every window and version.

    Example: dcmon monitor history "credit/Prediction Drift"
    """
    from dcmon import monitors, overview, results

    with ctx.obj.org() as session:
        monitor, after = monitors.find(session, name).id, utc(since) if since else None
        found = (results.revisions if revisions else results.series)(session, monitor, after)
        names = overview.version_names(session)
        rows = [_result(each, names) for each in found]
    compared = ["compared_end"] if any(row["compared_end"] for row in rows) else []
    columns = ["window_end", *_versions(rows), "state", "value", "n", "revision", "driver", *compared, "reason"]
    if revisions:
        columns = ["window_end", "version", "revision", "state", "value", "n", "of", "labelled", "rows",
                   "reference_revision", "seconds", "computed_at"]  # fmt: skip
    ctx.obj.output.table(rows, columns, empty="No window was evaluated yet.")


@app.command()
def run(
    ctx: typer.Context,
    name: Name,
    at: Annotated[datetime | None, typer.Option(help="The window that ends then or before, UTC.")] = None,
    from_: Annotated[datetime | None, typer.Option("--from", help="Windows that end after this, UTC.")] = None,
    to: Annotated[datetime | None, typer.Option("--to", help="… and not after this, UTC.")] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the window is complete; exit 3 if it is not.")
    ] = False,
    timeout: Annotated[str, typer.Option(help=LONGEST_WAIT)] = "10m",
    notify: Annotated[bool, typer.Option("--notify", help="Notify of what changes.")] = False,
) -> None:
    """Evaluate now; exit 1 when a rule is violated, 8 when there is no verdict, or a rule has none.

    Example: dcmon monitor run "credit/Prediction Drift" --wait
    """
    from datetime import UTC

    from dcmon import durations, monitors, overview, runs, wake

    if at and (from_ or to):
        raise typer.BadParameter("Give --at for one window, or --from and --to for many.")
    if wait and (from_ or to):
        raise typer.BadParameter("--wait waits for one window: the one that --at says, or the last one.")
    app, longest = ctx.obj, durations.parse(timeout)
    org = app.organization()
    with app.org(org) as session:
        wanted = monitors.find(session, name).id
    until = at or to
    span = (utc(from_) if from_ else None, utc(until) if until else None)

    def look() -> "tuple[list[Due], str | None]":
        with app.org(org) as session:
            if not wait:
                return runs.complete(session, wanted, span), None
            return runs.readiness(session, wanted, span[1], datetime.now(UTC))

    due = runs.await_complete(look, longest, app.output.say)
    with runs.alone(app.engine, org, name, wanted, longest, app.output.say):
        link = app.settings.url if notify else None
        found = list(runs.run(app.engine, org, wanted, due, app.settings.evaluate, link))
    if notify:
        with app.public() as session:
            wake.ring(session, org.id, wake.Work.notify)
    with app.org(org) as session:
        names = overview.version_names(session)
        rows = [_judged(session, each, names) for each in found]
    columns = ["window_end", *_versions(rows), "state", "value", "n", "violates", "reason"]
    app.output.table(rows, columns, empty="There is no complete window with samples yet.")
    if any(row["violates"] for row in rows):
        raise typer.Exit(1)
    if not rows or any(row["state"] != "OK" or row["no_verdict"] for row in rows):
        raise typer.Exit(8)


@app.command()
def backfill(
    ctx: typer.Context,
    name: Name,
    from_: Annotated[datetime, typer.Option("--from", help="Windows that end after this, UTC.")],
    to: Annotated[datetime | None, typer.Option("--to", help="… and not after this, UTC.")] = None,
    timeout: Annotated[str, typer.Option(help=LONGEST_WAIT_OF_A_BACKFILL)] = "10m",
    notify: Annotated[bool, typer.Option("--notify", help="Notify of what changes.")] = False,
) -> None:
    """Evaluate the windows of the past that have no result yet; interrupted, the same command goes on.

    Example: dcmon monitor backfill "credit/Prediction Drift" --from 2026-01-01
    """
    from dcmon import durations, monitors, runs, wake

    app = ctx.obj
    org = app.organization()
    with app.org(org) as session:
        wanted = monitors.find(session, name).id
    states: dict[str, int] = {}
    with runs.alone(app.engine, org, name, wanted, durations.parse(timeout), app.output.say):
        with app.org(org) as session:
            asked = runs.complete(session, wanted, (utc(from_), utc(to) if to else None))
            due = runs.missing(session, wanted, asked, app.settings.evaluate)
        with app.output.progress(name, counts=True) as advance:
            link = app.settings.url if notify else None
            for number, each in enumerate(runs.run(app.engine, org, wanted, due, app.settings.evaluate, link), 1):
                states[each.state] = states.get(each.state, 0) + 1
                advance(number, len(due))
    if notify:
        with app.public() as session:
            wake.ring(session, org.id, wake.Work.notify)
    app.output.value({"monitor": name, "windows": len(asked), "there": len(asked) - len(due), "evaluated": len(due),
                      "states": states})  # fmt: skip


@app.command("set")
def set_(
    ctx: typer.Context,
    name: Name,
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

    from dcmon import changes, durations, filter_syntax, monitors, wake
    from dcmon.windows import Frequency

    if frequency is not None and frequency.upper() not in Frequency.__members__:
        raise typer.BadParameter(f"{frequency!r} is none of {', '.join(Frequency)}.", param_hint="--frequency")
    if unknown := set(reset or ()) - {"feature", "scorer", "class", "aggregation", "metric", "filter", "param"}:
        raise typer.BadParameter(f"{min(unknown)!r} can't be reset.", param_hint="--reset")
    given: dict[str, Any] = {
        "name": new_name, "description": description, "aggregation_window": aggregation_window,
        "frequency": frequency and Frequency[frequency.upper()], "lookback": lookback and durations.parse(lookback),
        "data_filters": filter_ and filter_syntax.parse(filter_), "compared_with": compare and compared(compare),
    }  # fmt: skip
    conf = {"feature": feature, "scorer": scorer, "class": class_, "aggregation method": aggregation and [aggregation]}
    fields = {key: value for key, value in given.items() if value is not None}
    fields |= {} if rows is None else {"rows": rows_read(rows)}
    changed = parameters(param or [])
    if not fields and not any(conf.values()) and not metric and not changed and not reset:
        raise typer.BadParameter("Say what to change: see dcmon monitor set --help.")
    gone = {"aggregation method" if each == "aggregation" else each for each in reset or ()}
    fields |= {"data_filters": None} if "filter" in gone else {}
    org = ctx.obj.organization()
    with ctx.obj.org(org) as session:
        monitor = monitors.find(session, name)
        before = monitors.hold(session, monitor)
        kwargs = before.additional_kwargs or {"check_conf": {}, "res_conf": None}
        chosen = {key: value for key, value in {**kwargs["check_conf"], **{k: v for k, v in conf.items() if v}}.items()
                  if key not in gone and value}  # fmt: skip
        metrics = None if "metric" in gone else metric or kwargs.get("res_conf")
        is_chosen = bool(chosen or metrics)
        fields["additional_kwargs"] = {**kwargs, "check_conf": chosen, "res_conf": metrics} if is_chosen else None
        params = None
        if changed or "param" in gone:
            params = {**({} if "param" in gone else monitors.check(session, monitor.check_id).params), **changed}
        done = changes.change_monitor(session, org, monitor, replace(before, **fields), ctx.obj.settings.url, params)
        row = {"monitor": name, "name": monitor.name, "revision": monitor.revision, "windows_due": done.windows}
    with ctx.obj.public() as session:
        wake.ring(session, org.id, wake.Work.evaluate)
        wake.ring(session, org.id, wake.Work.notify)
    ctx.obj.output.value(row)


@app.command()
def delete(
    ctx: typer.Context,
    name: Name,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a monitor with its results, rules and alerts. Example: dcmon monitor delete "credit/Mixed Nulls\""""
    from dcmon import monitors

    with ctx.obj.org() as session:
        monitor = monitors.find(session, name)
        wanted, goes = monitor.id, monitors.extent(session, monitor)
    if not dry_run:
        said = ", ".join(f"{count:,} {what}" for what, count in goes.items())
        confirm(f"Delete monitor {name!r} with {said}?", yes)
        with ctx.obj.org() as session:
            monitors.delete(session, monitors.get(session, wanted))
    ctx.obj.output.value(outcome({"deleted": name, **goes}, dry_run=dry_run))


def _versions(rows: list[dict[str, object]]) -> list[str]:
    """A column for the version, where there are several."""
    return ["version"] if len({row["version"] for row in rows}) > 1 else []


def _judged(session: "Session", result: "Result", names: dict[int, str]) -> dict[str, object]:
    """A result with what the active rules say of it; `no_verdict`: why one of them says nothing."""
    from dcmon import verdicts

    row, why = _result(result, names), verdicts.why_none(session, result)
    reason = row["reason"] or why
    return {**row, "violates": verdicts.violations(session, result), "no_verdict": why, "reason": reason}


def _result(result: "Result", versions: dict[int, str] | None = None) -> dict[str, object]:
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
        "version_id": result.version_id,
        "version": (versions or {}).get(result.version_id),
        "compared_start": result.compared_start,
        "compared_end": result.compared_end,
        "compared_n": result.compared_n if result.compared_end else None,
        "compared_revision": result.compared_rows_revision if result.compared_end else None,
        "of": result.n_rows,
        "labelled": result.n_labelled,
        "label_coverage": round(result.n_labelled / result.n_rows, 4) if result.n_rows else None,
        "rows": result.how.get("rows"),
        "how": result.how,
        "monitor_revision": result.monitor_revision,
        "seconds": round(result.duration.total_seconds(), 3),
        "computed_at": result.computed_at,
    }

"""Alert rules: add, list, show, set, delete, try out."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcmon.alerting import alert_views
from dcmon.commands import confirm, group, operator, outcome

if TYPE_CHECKING:
    from dcmon.alerting.backtest import Backtest
    from dcmon.alerting.rule_tests import RuleTestResult
    from dcmon.alerting.rules import Change

app = group(__doc__)

Monitor = Annotated[str, typer.Argument(help="MODEL/MONITOR, MONITOR where only one model has it, or its id.")]
Name = Annotated[str, typer.Argument(help="Id or name of a rule, or the monitor that has only one.")]
Severity = Annotated[str | None, typer.Option(help="low, medium (default), high or critical.")]
WarnSeverity = Annotated[str | None, typer.Option(help="Of the level after warn; default: the one below.")]
For = Annotated[int | None, typer.Option("--for", help="Bad windows in a row before it fires (1).")]
KeepFiring = Annotated[int | None, typer.Option(help="Good windows through which it keeps firing (0).")]
MinN = Annotated[int | None, typer.Option("--min-n", help="A window of fewer rows has no verdict (0).")]
NoData = Annotated[str | None, typer.Option(help="A window without data: keep the state (default), alert, or ok.")]
OnError = Annotated[str | None, typer.Option("--error", help="A window with an error: keep, alert or ok.")]
Inhibit = Annotated[
    bool | None,
    typer.Option("--inhibit/--no-inhibit", help="Hold back while a more severe alert of the monitor fires (yes)."),
]


@app.command()
def add(
    ctx: typer.Context,
    monitor: Monitor,
    condition: Annotated[str, typer.Argument(help="In quotes: '> 0.2', 'any feature > 0.3', 'drop > 20%' …")],
    severity: Severity = None,
    warn_severity: WarnSeverity = None,
    name: Annotated[str | None, typer.Option(help="To call it by, and for silences.")] = None,
    for_: For = None,
    keep_firing: KeepFiring = None,
    min_n: MinN = None,
    no_data: NoData = None,
    on_error: OnError = None,
    inhibit: Inhibit = None,
) -> None:
    """Add a rule to a monitor; what is stored is judged at once. docs/alerts.md has the conditions.

    Example: dcmon rule add "credit/Prediction Drift" "> 0.3 warn 0.2" --severity critical --for 2 --keep-firing 1
    """
    from dcmon.alerting import condition_parser, judging, rules
    from dcmon.alerting.change_context import ChangeContext
    from dcmon.alerting.rules import Change
    from dcmon.monitoring import monitors

    more = Change(
        warn_severity=warn_severity, name=name, for_windows=for_, keep_firing=keep_firing, min_n=min_n,
        no_data=no_data, on_error=on_error, is_inhibited=inhibit,
    )  # fmt: skip
    wanted = condition_parser.parse(condition)
    org = ctx.obj.organization()
    with ctx.obj.org(org) as session:
        found = monitors.find(session, monitor)
        rule = rules.create(session, found.id, wanted, severity or "medium", more=more)
        settings = ctx.obj.settings
        context = ChangeContext(org, settings.url, settings.alerts.recent, by=operator())
        told = judging.rejudge_rule(session, rule, context)
        row = _row(session, rule.id)
        remark = _remark(session, rule.id)
    _ring(ctx, told)
    ctx.obj.output.value(row)
    if remark:
        ctx.obj.output.say(remark)


@app.command(hidden=True)
def create(
    ctx: typer.Context,
    monitor: Monitor,
    condition: Annotated[str, typer.Argument(help="In quotes: '> 0.2'.")],
    severity: Severity = None,
) -> None:
    """The same as rule add. Example: dcmon rule create "credit/Prediction Drift" "> 0.3" --severity critical"""
    add(ctx, monitor, condition, severity)


@app.command("list")
def list_(ctx: typer.Context, model: Annotated[str | None, typer.Option(help="Only of this model.")] = None) -> None:
    """List rules, and how many of their alerts are open. Example: dcmon rule list"""
    from dcmon.alerting import rule_failures
    from dcmon.storage import models

    with ctx.obj.org() as session:
        views = alert_views.list_rules(session, models.find(session, model).id if model else None)
        why = rule_failures.failing(session)
        rows = [{**alert_views.rule_row(view), "failing": why.get(view.rule.id)} for view in views]
    columns = ["id", "monitor", "condition", "severity", "for", "open", "active"]
    if not ctx.obj.output.is_narrow:
        columns.insert(1, "name")
    ctx.obj.output.table(rows, columns, empty='No rule yet. "dcmon rule add MONITOR CONDITION" adds one.')
    for row in rows:
        if row["failing"]:
            ctx.obj.output.say(f"Rule {row['id']} can't judge what its monitor finds: {row['failing']}")


@app.command()
def show(ctx: typer.Context, name: Name) -> None:
    """Show a rule, and its last alerts. Example: dcmon rule show 1"""
    from dcmon.alerting import rules

    with ctx.obj.org() as session:
        rule = rules.find(session, name)
        row = _row(session, rule.id)
        found = [
            alert_views.alert_row(view)
            for view in alert_views.list_alerts(session, pending=True)
            if view.rule.id == rule.id
        ]
    if ctx.obj.output.is_json:
        ctx.obj.output.value({**row, "alerts": found})
        return
    ctx.obj.output.value(row)
    ctx.obj.output.table(
        found[-10:], ["id", "state", "since", "until", "windows", "worst"], title="Last alerts", empty="No alert yet."
    )


@app.command("set")
def set_(
    ctx: typer.Context,
    name: Name,
    condition: Annotated[str | None, typer.Option("--condition", "--rule", help="In quotes: '> 0.2'.")] = None,
    severity: Severity = None,
    warn_severity: WarnSeverity = None,
    no_warn: Annotated[
        bool, typer.Option("--no-warn", "--no-warn-severity", help="Take the level after warn out.")
    ] = False,
    rename: Annotated[str | None, typer.Option("--name", help="To call it by, and for silences; '': none.")] = None,
    for_: For = None,
    keep_firing: KeepFiring = None,
    min_n: MinN = None,
    no_data: NoData = None,
    on_error: OnError = None,
    inhibit: Inhibit = None,
    active: Annotated[bool | None, typer.Option("--active/--inactive", help="An inactive rule judges nothing.")] = None,
) -> None:
    """Change a rule; open alerts and the newest window are judged by it at once, what is over stays as it is.

    Example: dcmon rule set 1 --condition "> 0.4" --for 2
    """
    from dataclasses import replace

    from dcmon.alerting import condition_parser, judging, rules
    from dcmon.alerting.change_context import ChangeContext
    from dcmon.alerting.rules import Change

    wanted = Change(
        condition=condition_parser.parse(condition) if condition is not None else None, severity=severity,
        warn_severity=warn_severity, name=rename, for_windows=for_, keep_firing=keep_firing, min_n=min_n,
        no_data=no_data, on_error=on_error, is_inhibited=inhibit, is_active=active,
    )  # fmt: skip
    if wanted == Change() and not no_warn:
        raise typer.BadParameter("Nothing to change: give at least one option.")
    if no_warn and warn_severity is not None:
        raise typer.BadParameter("Give --warn-severity or --no-warn, not both.")
    org, told = ctx.obj.organization(), 0
    with ctx.obj.org(org) as session:
        rule = rules.find(session, name)
        if no_warn:
            main = rules.without_warning(wanted.condition or rules.condition_of(rule))
            wanted = replace(wanted, condition=main)
        if rules.change(session, rule, wanted):
            settings = ctx.obj.settings
            context = ChangeContext(
                org, settings.url, settings.alerts.recent, by=operator(), note="the rule was changed"
            )
            told = judging.rejudge_rule(session, rule, context)
        row = _row(session, rule.id)
    _ring(ctx, told)
    ctx.obj.output.value(row)


@app.command()
def delete(
    ctx: typer.Context,
    name: Name,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a rule with its alerts and their history. Example: dcmon rule delete 1 --dry-run"""
    from dcmon.alerting import rules

    with ctx.obj.org() as session:
        row = _row(session, rules.find(session, name).id)
    goes = {"deleted": row["id"], "monitor": row["monitor"], "alerts": row["alerts"], "open": row["open"]}
    if not dry_run:
        what = f"rule {row['id']} ({row['condition']} on {row['monitor']}) with {row['alerts']} alerts"
        confirm(f"Delete {what}, {row['open']} of them open?", yes)
        with ctx.obj.org() as session:
            rules.delete(session, rules.get(session, row["id"]))
        _ring(ctx, row["alerts"])
    ctx.obj.output.value(outcome(goes, dry_run=dry_run))


@app.command()
def test(
    ctx: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="YAML; docs/alerts.md shows one.")],
) -> None:
    """Try rules out on series of values; exit 1 when a state is not as expected. Needs no database.

    Example: dcmon rule test rules.yaml
    """
    from dcmon import errors
    from dcmon.alerting import rule_tests

    outcomes: list[tuple[Path, RuleTestResult]] = []
    for file in files:
        try:
            content = file.read_bytes()
        except OSError as error:
            raise errors.FileRefused(path=file, why=error.strerror or error) from None
        outcomes += [(file, each) for each in rule_tests.run_all(content, file.name)]
    if ctx.obj.output.is_json:
        ctx.obj.output.table([_tried_row(file, each) for file, each in outcomes], [])
    else:
        for file, each in outcomes:
            _show_outcome(ctx, file, each)
    failed = sum(not each.is_passed for _, each in outcomes)
    ctx.obj.output.say(f"{len(outcomes) - failed} passed, {failed} failed")
    if failed:
        raise typer.Exit(1)


@app.command()
def backtest(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Id or name of a rule; or, with --rule, a monitor.")],
    since: Annotated[str, typer.Option(help="How far back from the newest window: 90d, 12h, 1y.")] = "90d",
    condition: Annotated[str | None, typer.Option("--rule", help="Another condition to try.")] = None,
    severity: Severity = None,
    warn_severity: WarnSeverity = None,
    for_: For = None,
    keep_firing: KeepFiring = None,
    min_n: MinN = None,
    no_data: NoData = None,
    on_error: OnError = None,
) -> None:
    """Show what a rule would have done on the stored results: how often it would have fired, and how long.

    Example: dcmon rule backtest "credit/Prediction Drift" --since 90d --rule "> 0.3" --for 2
    """
    from dcmon import durations
    from dcmon.alerting import backtest, condition_parser
    from dcmon.alerting.rules import Change
    from dcmon.monitoring import results

    wanted = Change(
        condition=condition_parser.parse(condition) if condition is not None else None, severity=severity,
        warn_severity=warn_severity, for_windows=for_, keep_firing=keep_firing, min_n=min_n, no_data=no_data,
        on_error=on_error,
    )  # fmt: skip
    reach = durations.parse(since)
    with ctx.obj.org() as session:
        monitor_id, policy = _tried(session, name, wanted)
        found = backtest.run(session, monitor_id, policy, results.recent_series(session, monitor_id, reach))
        about = {"rule": condition_parser.to_text(policy.condition), **found.summary()}
        spans = _spans(found)
    if ctx.obj.output.is_json:
        ctx.obj.output.value({**about, "spans": spans})
        return
    ctx.obj.output.value(about)
    columns = ["version", "severity", "since", "until", "windows", "days", "metric", "worst"]
    ctx.obj.output.table(spans, columns, title="Alerts that there would have been", empty="It would not have fired.")


def _tried(session: Any, name: str, wanted: "Change") -> tuple[int, Any]:
    """The monitor and the policy that are tried. A monitor without a rule needs a condition."""
    from dcmon import errors
    from dcmon.alerting import rules
    from dcmon.monitoring import monitors

    try:
        rule = rules.find(session, name)
    except (errors.RuleNotFound, errors.InvalidInput):
        if wanted.condition is None:
            raise
        return monitors.find(session, name).id, rules.preview(None, wanted)
    return rule.monitor_id, rules.preview(rule, wanted)


def _spans(found: "Backtest") -> list[dict[str, Any]]:
    from datetime import timedelta

    return [
        {
            "version": alert.version,
            "severity": alert.span.severity,
            "since": alert.span.first.window_start,
            "until": None if alert.span.is_open else alert.span.last.window_end,
            "windows": alert.span.windows,
            "days": round(alert.duration / timedelta(days=1), 2),
            "metric": alert.span.metric,
            "worst": alert.span.worst_value,
        }
        for alert in found.alerts
    ]


def _row(session: Any, rule_id: int) -> dict[str, Any]:

    return alert_views.rule_row(next(view for view in alert_views.list_rules(session) if view.rule.id == rule_id))


def _remark(session: Any, rule_id: int) -> str | None:
    """What the rule names and no stored result of its monitor has."""

    view = next(view for view in alert_views.list_rules(session) if view.rule.id == rule_id)
    return alert_views.unknown_name_remark(session, view.rule)


def _ring(ctx: typer.Context, told: int) -> None:
    """Wake the notifier when there is something to send."""
    from dcmon.db import work_queue

    if told:
        ctx.obj.enqueue(ctx.obj.organization(), work_queue.Work.notify)


def _tried_row(file: Path, outcome: "RuleTestResult") -> dict[str, Any]:
    lines = [
        {"window": line.number, "value": line.window, "expected": line.expected, "found": line.actual, "why": line.why,
         "right": line.is_right}
        for line in outcome.lines
    ]  # fmt: skip
    return {
        "file": str(file),
        "name": outcome.name,
        "rule": outcome.rule,
        "passed": outcome.is_passed,
        "windows": lines,
    }


def _show_outcome(ctx: typer.Context, file: Path, outcome: "RuleTestResult") -> None:
    """A line for a test that passed; a table of its windows for one that did not."""
    sign = "ok  " if outcome.is_passed else "FAIL"
    ctx.obj.output.say(f"{sign}  {file.name}: {outcome.name}")
    if outcome.is_passed:
        return
    rows: Sequence[dict[str, Any]] = [
        {"": "" if line.is_right else ">", "window": line.number, "value": line.window, "expected": line.expected,
         "found": line.actual, "why": line.why}
        for line in outcome.lines
    ]  # fmt: skip
    title = f"{outcome.name}: {outcome.rule}"
    ctx.obj.output.table(rows, ["", "window", "value", "expected", "found", "why"], title=title)

"""Alert rules, which judge the values of monitors."""

from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dcmon.commands.shared import option_groups, options, questions
from dcmon.commands.shared.arguments import parse_condition, require_one
from dcmon.commands.shared.changes import asking, changing, counting
from dcmon.commands.shared.condition_help import CONDITIONS
from dcmon.commands.shared.groups import group
from dcmon.commands.shared.lists import listing_of
from dcmon.commands.shared.several import delete_all, run_for_all, show_all

if TYPE_CHECKING:
    from dcmon.alerting.rules import Change

app = group(__doc__)

Name = Annotated[str, typer.Argument(metavar="RULE", help="Id or name of a rule, or a monitor with only one rule.")]
Names = Annotated[
    list[str], typer.Argument(metavar="RULE...", help="Ids or names of rules, or monitors with only one rule.")
]
Noise = Annotated[
    bool, typer.Option("--noise/--no-noise", help="Show how often the rule alerts if nothing changes: takes seconds.")
]
NewName = Annotated[str | None, typer.Option("--name", help="Name of the rule in commands and silences.")]


@app.command(epilog=CONDITIONS)
@changing
@option_groups.rule_policy
def create(
    ctx: typer.Context,
    monitor: options.MonitorName,
    condition: Annotated[str, typer.Argument(help="Condition in quotes, like '> 0.2': see below.")],
    policy: "Change",
    name: NewName = None,
    inhibit: options.Inhibit = None,
    noise: Noise = True,
) -> None:
    """Create a rule of a monitor, and judge the stored results by it.

    Example: dcmon rule create "credit/Prediction Drift" "> 0.3" --severity critical
    """
    from dcmon.commands.operations import rule as operation

    more = replace(policy, name=name, is_inhibited=inhibit)
    ctx.obj.output.page(operation.add(ctx.obj, monitor, condition, more, shows_noise=noise))


@app.command("list")
@listing_of("alert_rules")
def list_(ctx: typer.Context, model: options.OnlyModel = None) -> None:
    """List rules, and how many of their alerts are open. Example: dcmon rule list"""
    from dcmon.commands.views import rule as view

    ctx.obj.output.page(view.listing(ctx.obj, model))


@app.command()
def show(ctx: typer.Context, names: Names) -> None:
    """Show rules and their last alerts. Example: dcmon rule show 1"""
    from dcmon.commands.views import rule as view

    show_all(ctx.obj.output, names, partial(view.detail, ctx.obj))


@app.command("set", epilog=CONDITIONS)
@asking(questions.ended_alerts)
@option_groups.rule_policy
def set_(
    ctx: typer.Context,
    names: Names,
    *,
    condition: Annotated[
        str | None, typer.Option("--condition", "--rule", help="Condition in quotes: '> 0.2'.")
    ] = None,
    policy: "Change",
    no_warn: Annotated[
        bool, typer.Option("--no-warn", "--no-warn-severity", help="Remove the warn level from the condition.")
    ] = False,
    rename: Annotated[str | None, typer.Option("--name", help="New name of the rule; '' removes the name.")] = None,
    inhibit: options.Inhibit = None,
    active: Annotated[
        bool | None, typer.Option("--active/--inactive", help="An inactive rule judges no results.")
    ] = None,
) -> None:
    """Change rules, all in the same way, and judge open alerts and the newest window by them.

    Resolved alerts do not change.

    Example: dcmon rule set 1 --condition "> 0.4" --for 2
    """
    from dcmon.alerting.rules import Change
    from dcmon.commands.operations import rule as operation

    parsed = parse_condition(condition)
    wanted = replace(policy, condition=parsed, name=rename, is_inhibited=inhibit, is_active=active)
    if wanted == Change() and not no_warn:
        raise typer.BadParameter('Nothing to change: give an option that "dcmon rule set --help" lists.')
    if no_warn and policy.warn_severity is not None:
        raise typer.BadParameter("Give either --warn-severity or --no-warn, not both.")
    require_one(names, rename, "--name")
    act = partial(operation.change, ctx.obj, wanted=wanted, drops_warning=no_warn)
    run_for_all(ctx.obj.output, names, partial(operation.find, ctx.obj), act)


@app.command()
@counting
def delete(
    ctx: typer.Context,
    names: Names,
    yes: options.Yes = False,
) -> None:
    """Delete rules with their alerts and the history of these. Example: dcmon rule delete 1 2 --dry-run"""
    from dcmon.commands.operations import rule as operation

    delete_all(ctx.obj.output, names, partial(operation.deletion, ctx.obj), yes=yes)


@app.command()
def test(
    ctx: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help='YAML files of rule tests: see "dcmon docs alerts#testing-rules".'),
    ],
) -> None:
    """Test rules on series of values, without a database.

    Exit 1 when a state is not as expected.

    Example: dcmon rule test rules.yaml
    """
    from dcmon.commands.operations import rule_test_files as operation
    from dcmon.commands.views import rule as view

    tests = operation.run(files)
    ctx.obj.output.page(view.test_report(tests))
    if not all(tested.outcome.is_passed for tested in tests):
        raise typer.Exit(1)


@app.command(epilog=CONDITIONS)
@option_groups.rule_policy
def backtest(
    ctx: typer.Context,
    *,
    name: Annotated[
        str, typer.Argument(metavar="RULE", help="Id or name of a rule, or a monitor together with --rule.")
    ],
    since: Annotated[
        datetime | None,
        options.time_option(
            "--since", "Only windows that end after this time. Default: 90 days before the newest one."
        ),
    ] = None,
    until: options.WindowsUntil = None,
    condition: Annotated[
        str | None, typer.Option("--rule", help="Condition to test instead of the rule's own.")
    ] = None,
    policy: "Change",
    noise: Noise = True,
) -> None:
    """Show when a rule would have fired on the stored results, and for how long.

    Example: dcmon rule backtest "credit/Prediction Drift" --rule "> 0.3" --for 2
    """
    from dcmon.commands.operations import backtest as operation
    from dcmon.commands.views import rule as view
    from dcmon.monitoring.results import Span

    wanted = replace(policy, condition=parse_condition(condition))
    tested = operation.run(ctx.obj, name, wanted, Span(since, until), shows_noise=noise)
    ctx.obj.output.page(view.backtest_report(tested.backtest, tested.noise))

"""Options that several commands have."""

from datetime import datetime
from typing import Annotated

import typer

Names = list[str] | None

# What to do with a change.
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
By = Annotated[str | None, typer.Option("--by", help="Who does it, for the ledger; default: the system's user.")]
Notify = Annotated[bool, typer.Option("--notify", help="Notify receivers of changes.")]

# What a command is about.
OnlyModel = Annotated[str | None, typer.Option("--model", help="Only of this model.")]
All = Annotated[bool, typer.Option("--all")]
MonitorName = Annotated[str, typer.Argument(help="MODEL/MONITOR, MONITOR where only one model has it, or its id.")]
Since = Annotated[datetime | None, typer.Option("--since", help="Only rows logged then or later, UTC.")]
Until = Annotated[datetime | None, typer.Option("--to", help="… and not after this, UTC.")]

# How the columns of a file become fields.
Mapping = Annotated[Names, typer.Option("--map", help="COLUMN=FIELD; COLUMN= leaves a column out; repeatable.")]
IgnoreExtra = Annotated[bool, typer.Option("--ignore-extra", help="Leave out columns that are no field.")]
TargetModel = Annotated[str, typer.Option("--model", help="Model that the rows belong to.")]
TargetVersion = Annotated[
    str | None, typer.Option("--version", help="Version that the rows belong to; not needed when there is one.")
]
OnlyLabels = Annotated[bool, typer.Option("--labels", help="The files hold labels only, no samples.")]

# What a monitor computes.
Feature = Annotated[Names, typer.Option("--feature", help="Only these features; repeatable.")]
Scorer = Annotated[Names, typer.Option("--scorer", help="Metrics of a performance check; repeatable.")]
Class = Annotated[Names, typer.Option("--class", help="Only metrics of these classes; repeatable.")]
Aggregation = Annotated[
    str | None, typer.Option("--aggregation", help="How features become one number: max, l3_weighted …")
]
Metric = Annotated[Names, typer.Option("--metric", help="Only these metrics; repeatable. Of DataFlow: rows.")]
Parameter = Annotated[Names, typer.Option("--param", help="A parameter of the check: min_samples=50; repeatable.")]
Filter = Annotated[
    Names, typer.Option("--filter", help="Only rows like \"age >= 30 and city in ('Oslo', 'Rome')\"; repeatable.")
]
Lookback = Annotated[str | None, typer.Option("--lookback", help="How far the monitor's graph reaches: 30d.")]
COMPARE = "What a drift check compares with: reference, previous (window), week (the same window a week ago)."
ROWS = "Rows of a window that the monitor reads: a number, all, or default (DCMON_EVALUATE__SAMPLE_SIZE)."

# When a model's windows are evaluated.
LABEL_RATIO = "Checks on labels wait for this share of labels."
LABEL_DELAY = "… or this long: 90s, 30m, 12h, 3d."
TIME_ZONE = "Windows are aligned in it: Europe/Berlin."

# What a rule does.
Severity = Annotated[str | None, typer.Option("--severity", help="low, medium (default), high or critical.")]
WarnSeverity = Annotated[str | None, typer.Option(help="Severity of the level after warn; default: one level lower.")]
For = Annotated[int | None, typer.Option("--for", help="Violated windows in a row before it fires (1).")]
KeepFiring = Annotated[int | None, typer.Option(help="Windows without a violation through which it still fires (0).")]
MinN = Annotated[int | None, typer.Option("--min-n", help="A window with fewer rows has no verdict (0).")]
NoData = Annotated[str | None, typer.Option(help="A window without data: keep the state (default), alert, or ok.")]
OnError = Annotated[str | None, typer.Option("--error", help="A window with an error: keep, alert or ok.")]
Inhibit = Annotated[
    bool | None,
    typer.Option("--inhibit/--no-inhibit", help="Hold back while a more severe alert of the monitor fires (yes)."),
]

# What a receiver gets.
ReceiverTarget = Annotated[
    Names,
    typer.Argument(
        metavar="TARGET",
        help="https://… (http for hosts on DCMON_WEBHOOKS__ALLOW); addresses; for a command: -- PROGRAM ARGUMENTS.",
    ),
]
Severities = Annotated[Names, typer.Option("--severity", help="Only these severities; repeatable.")]
Cap = Annotated[
    str | None, typer.Option(help="Messages a minute (20), or none; notifications above it go in a digest.")
]
Repeat = Annotated[str | None, typer.Option(help="Notify again after 24h, 4h … while an alert fires; or none.")]
Header = Annotated[Names, typer.Option(help='A header of your own, "X-Token: abc"; repeatable.')]
Key = Annotated[str | None, typer.Option(help='PagerDuty: the integration key; "-" asks for it, or reads stdin.')]
EventGroup = Annotated[str | None, typer.Option("--group", help="PagerDuty: the group of its events.")]
EventClass = Annotated[str | None, typer.Option("--class", help="PagerDuty: the class of its events.")]
OnlyNew = Annotated[bool, typer.Option("--only-new", help="Do not notify it of alerts that fire already.")]

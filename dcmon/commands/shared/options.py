"""Options that several commands have."""

from datetime import datetime, timedelta
from typing import Annotated

import typer

from dcmon import severity
from dcmon.commands.shared.arguments import duration, lifetime, time, time_zone
from dcmon.commands.shared.choices import Parsed, choice_option
from dcmon.states import DefaultSet

Names = list[str] | None
VERDICTS = ("keep", "alert", "ok")  # as in dcmon.alerting, which --help does not import


def time_option(name: str, help_text: str) -> typer.models.OptionInfo:
    """Return an option whose value is a time: 2026-03-10, 7d (ago), yesterday, now."""
    option: typer.models.OptionInfo = typer.Option(name, parser=Parsed(time), metavar="TIME", help=help_text)
    return option


def duration_option(name: str, help_text: str, more: str = "") -> typer.models.OptionInfo:
    """Return an option whose value is a duration: 500ms, 90s, 1h30m, 3d. `more`: a sentence for a wrong one."""
    option: typer.models.OptionInfo = typer.Option(
        name, parser=Parsed(duration, more), metavar="DURATION", help=help_text
    )
    return option


def lifetime_option(name: str, help_text: str) -> typer.models.OptionInfo:
    """Return an option that says when something ends: after a duration, or at a time; its value is a duration."""
    option: typer.models.OptionInfo = typer.Option(
        name, parser=Parsed(lifetime), metavar="DURATION|TIME", help=help_text
    )
    return option


def zone_option(help_text: str) -> typer.models.OptionInfo:
    """Return an option whose value is the name of a time zone."""
    option: typer.models.OptionInfo = typer.Option(
        "--time-zone", parser=Parsed(time_zone), metavar="ZONE", help=help_text
    )
    return option


def _inform_output(ctx: typer.Context, dry_run: bool) -> bool:
    """Let the output know whether what it will show was done (Output.is_change)."""
    if ctx.obj is not None:  # it is None while a shell completes a command
        ctx.obj.output.is_change = not dry_run
    return dry_run


# What to do with a change.
DryRun = Annotated[
    bool, typer.Option("--dry-run", callback=_inform_output, help="Show what would change, and change nothing.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
HiddenYes = Annotated[bool, typer.Option("--yes", "-y", hidden=True, help="For scripts: the command asks nothing.")]
By = Annotated[str | None, typer.Option("--by", help="Name for the ledger; default: the user of the system.")]
Notify = Annotated[bool, typer.Option("--notify", help="Notify receivers of changed alerts.")]

# Files of organizations and backups.
WrittenFile = Annotated[str, typer.Argument(metavar="FILE", help='File to write; "-": stdout.')]
ReadFile = Annotated[str, typer.Argument(metavar="FILE", help='File to read; "-": stdin.')]
WithoutSecrets = Annotated[
    bool, typer.Option("--without-secrets", help="Leave the addresses and secrets of receivers out.")
]
NoSecrets = Annotated[
    bool,
    typer.Option("--without-secrets", help="Read no secrets, if their key is lost: receivers come back inactive."),
]
PassphraseFile = Annotated[
    str | None,
    typer.Option("--passphrase-file", help="File whose first line is the passphrase of the secrets of receivers."),
]
Replace = Annotated[bool, typer.Option("--replace", help="Replace the file if it exists.")]

# Files of monitoring as code.
DeclarationFiles = Annotated[
    Names,
    typer.Option("-f", "--file", metavar="FILE", help="File, directory with YAML files, or - for stdin; repeatable."),
]
PruneUndeclared = Annotated[
    bool, typer.Option("--prune", help="Delete what the files cover but do not declare; never models or versions.")
]

# What a command is about.
OnlyModel = Annotated[str | None, typer.Option("--model", help="Only of this model.")]
OnlyVersion = Annotated[str | None, typer.Option("--version", help="Only of this version.")]
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model.")]
ModelNames = Annotated[list[str], typer.Argument(metavar="MODEL...", help="Names of models.")]
OrgNames = Annotated[list[str], typer.Argument(metavar="ORG...", help="Names of organizations.")]
ReceiverName = Annotated[str, typer.Argument(metavar="RECEIVER", help="Name of the receiver.")]
SourceName = Annotated[str, typer.Argument(metavar="SOURCE", help="Name of the source.")]
OrgName = Annotated[str, typer.Argument(metavar="ORG", help="Name of the organization.")]
OrgNameOrOnly = Annotated[
    str | None, typer.Argument(metavar="ORG", help="Name of the organization; not needed if there is only one.")
]
NewName = Annotated[str, typer.Argument(metavar="NEW_NAME", help="The new name.")]
CreatedName = Annotated[str, typer.Argument(metavar="NAME", help="Name to give.")]
WithReference = Annotated[bool, typer.Option("--with-reference", help="Also copy the rows of the reference.")]
MonitorName = Annotated[
    str, typer.Argument(metavar="MONITOR", help="MODEL/MONITOR, MONITOR where only one model has it, or its id.")
]
MonitorNames = Annotated[
    list[str],
    typer.Argument(metavar="MONITOR...", help="MODEL/MONITOR, MONITOR where only one model has it, or its id."),
]
ReceiverNames = Annotated[list[str], typer.Argument(metavar="RECEIVER...", help="Names of receivers.")]
SourceNames = Annotated[list[str], typer.Argument(metavar="SOURCE...", help="Names of sources.")]
MuteName = Annotated[str, typer.Argument(metavar="MUTE", help="Name of the mute time.")]
MuteNames = Annotated[list[str], typer.Argument(metavar="MUTE...", help="Names of mute times.")]
LoggedSince = Annotated[datetime | None, time_option("--since", "Only rows logged at this time or later.")]
LoggedUntil = Annotated[datetime | None, time_option("--until", "Only rows logged before this time.")]
WindowsSince = Annotated[datetime | None, time_option("--since", "Only windows that end after this time.")]
RequiredWindowsSince = Annotated[datetime, time_option("--since", "Only windows that end after this time.")]
WindowsUntil = Annotated[datetime | None, time_option("--until", "Only windows that end at this time or before.")]

# How the columns of a file become fields.
Mapping = Annotated[
    Names, typer.Option("--map", help="Map a column to a field: COLUMN=FIELD; COLUMN= ignores it; repeatable.")
]
IgnoreExtra = Annotated[
    bool, typer.Option("--ignore-extra", help="Ignore columns that are not a field of the version.")
]
Constants = Annotated[
    Names, typer.Option("--set", help="Give all rows a value that the files do not have: country=DE; repeatable.")
]

LOCATION = "Directory, bucket or pattern: /path, s3://bucket/prefix, '/path/**/labels-*.csv'."
NewLocation = Annotated[str | None, typer.Argument(metavar="URL", help=LOCATION)]
ChangedVersion = Annotated[str | None, typer.Option("--version", help="Version of the rows of later files.")]
RESETTABLE_OF_FILES = ("map", "set", "delimiter", "encoding", "decimal", "thousands", "null", "time-zone", "date-order")
ResetOfFiles = Annotated[
    Names,
    choice_option(
        "--reset", what="choice to reset", known=RESETTABLE_OF_FILES, metavar="CHOICE",
        help="Remove a choice: map (all columns), set (all values), delimiter, encoding, decimal …; repeatable.",
    ),
]  # fmt: skip

# How a file is written.
Delimiter = Annotated[
    str | None,
    typer.Option("--delimiter", help="Between the cells of a CSV: ';', tab, pipe, … Default: as the file shows."),
]
Encoding = Annotated[
    str | None, typer.Option("--encoding", help="utf-8, utf-16, windows-1252, latin-1, … Default: as the file shows.")
]
Decimal = Annotated[
    str | None,
    choice_option("--decimal", what="decimal mark", known=(",", "."), help="Decimal mark of numbers in text."),
]
Thousands = Annotated[
    str | None, typer.Option("--thousands", help="Mark between thousands of numbers in text: ',', '.', ' ' …")
]
Null = Annotated[
    Names, typer.Option("--null", help="Text that means a missing value in each column, such as NA; repeatable.")
]
FileTimeZone = Annotated[str | None, zone_option("Time zone of times without an offset: Europe/Berlin. Default: UTC.")]
MaxRejected = Annotated[
    str | None, typer.Option(help="Most rows that a file may lose: 1%, or 20. Default: 5%; 50% of fewer than 100 rows.")
]
FileDateOrder = Annotated[
    str | None,
    choice_option(
        "--date-order", what="order of dates", known=("day", "month"), help="What comes first in dates like 01/02/2026."
    ),
]

# What rows and monitors belong to.
TargetModel = Annotated[str | None, typer.Option("--model", help="Name of the model; not needed if there is only one.")]
TargetVersion = Annotated[
    str | None, typer.Option("--version", help="Name of the version; not needed if there is only one.")
]
OnlyLabels = Annotated[bool, typer.Option("--labels", help="The files hold labels only, no samples.")]


def _reasons() -> list[str]:
    from dcmon.ingestion.rejected_row import RejectionReason

    return sorted(RejectionReason)


# Which quarantined rows.
RowIds = Annotated[
    list[int] | None, typer.Argument(metavar="ROW", help="Ids of rows; without ids the options choose the rows.")
]
Reason = Annotated[
    str | None,
    choice_option(
        "--reason",
        what="reason",
        known=_reasons,
        metavar="REASON",
        help="Only rows with this reason: conflict, wrong_type …",
    ),
]
RowSource = Annotated[
    str | None, typer.Option("--source", help="Only rows of this source: a prefix of its name, or the path of a file.")
]
AllRows = Annotated[bool, typer.Option("--all", help="All quarantined rows.")]

# Which dead letters.
DeadLetterIds = Annotated[
    list[int] | None,
    typer.Argument(metavar="DEAD_LETTER", help="Ids of dead letters; without ids the options choose."),
]
DeadLetterTopic = Annotated[str | None, typer.Option("--topic", help="Only of this topic, like dcmon.samples.")]
DeadLetterReason = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Only with this text in the reason.")
]
DeadLetterSince = Annotated[datetime | None, time_option("--since", "Only those that were read at this time or later.")]
DeadLetterUntil = Annotated[datetime | None, time_option("--until", "Only those that were read before this time.")]
AllDeadLetters = Annotated[bool, typer.Option("--all", help="All dead letters that are neither stored nor deleted.")]

# What a monitor computes.
Feature = Annotated[Names, typer.Option("--feature", help="Only these features; repeatable.")]
Scorer = Annotated[Names, typer.Option("--scorer", help="Metrics of a performance check; repeatable.")]
Class = Annotated[Names, typer.Option("--class", help="Only metrics of these classes; repeatable.")]
Aggregation = Annotated[
    str | None, typer.Option("--aggregation", help="How the features' values become one number: max, l3_weighted …")
]
MaxFeatures = Annotated[
    int | None, typer.Option("--max-features", min=1, help="Read only so many features, the most important ones.")
]
Metric = Annotated[Names, typer.Option("--metric", help="Only these metrics; repeatable. Example for DataFlow: rows.")]
Parameter = Annotated[Names, typer.Option("--param", help="Parameter of the check: min_samples=50; repeatable.")]
Filter = Annotated[
    Names, typer.Option("--filter", help="Only rows like \"age >= 30 and city in ('Oslo', 'Rome')\"; repeatable.")
]
Lookback = Annotated[
    timedelta | None,
    duration_option(
        "--lookback", "Time span of the monitor's graph, and of the windows that a new reference fills: 30d."
    ),
]
COMPARE = choice_option(
    what="comparison", known=("reference", "previous", "week"),
    help="What a drift check compares with: reference, previous (window), week (the same window a week ago).",
)  # fmt: skip
ROWS = "Rows of a window that the monitor reads: a number, all, or default (DCMON_EVALUATE__SAMPLE_SIZE)."

# When a model's windows are evaluated.
LABEL_RATIO = "Share of labels that checks on labels wait for: 0.8."
LABEL_DELAY = duration_option("--label-delay", "Longest wait of checks on labels: 90s, 30m, 12h, 3d.")
TIME_ZONE = zone_option("Time zone of the windows: Europe/Berlin.")

# Which default monitors and rules models get.
DEFAULT_SETS = "all: the SDK's and dcmon's own; sdk: the SDK's; or none."
DEFAULTS_OF_NEW_MODELS = f"Default monitors and rules of new models. {DEFAULT_SETS}"
DefaultMonitors = Annotated[str, typer.Argument(metavar="|".join(DefaultSet), help=DEFAULT_SETS)]

# What a rule does.
Severity = Annotated[
    str | None,
    choice_option(
        "--severity", what="severity", known=severity.Severity, help="Severity of its alerts; default: medium."
    ),
]
WarnSeverity = Annotated[
    str | None,
    choice_option(
        what="severity", known=severity.Severity, help="Severity of the warn level; default: one level lower."
    ),
]
For = Annotated[int | None, typer.Option("--for", help="Violated windows in a row before the alert fires; default: 1.")]
KeepFiring = Annotated[
    int | None, typer.Option(help="Windows without a violation during which the alert still fires; default: 0.")
]
MinN = Annotated[int | None, typer.Option("--min-n", help="A window with fewer rows has no verdict; default: 0.")]
NoData = Annotated[
    str | None,
    choice_option(
        what="verdict", known=VERDICTS, help="Verdict on a window without data: keep (the state; default), alert or ok."
    ),
]
OnError = Annotated[
    str | None,
    choice_option(
        "--error",
        what="verdict",
        known=VERDICTS,
        help="Verdict on a window with an error: keep (default), alert or ok.",
    ),
]
Inhibit = Annotated[
    bool | None,
    typer.Option(
        "--inhibit/--no-inhibit", help="Send nothing while a more severe alert of the monitor fires (default)."
    ),
]

# What a receiver gets.
ReceiverTarget = Annotated[
    Names,
    typer.Argument(
        metavar="TARGET",
        help="URL (http only for hosts in DCMON_WEBHOOKS__ALLOW), e-mail addresses, or -- PROGRAM ARGUMENTS.",
    ),
]
Severities = Annotated[
    Names,
    choice_option("--severity", what="severity", known=severity.Severity, help="Only these severities; repeatable."),
]
Cap = Annotated[
    str | None,
    typer.Option(help="Maximum number of messages a minute (20), or none; more notifications go into one digest."),
]
Repeat = Annotated[str | None, typer.Option(help="Notify again after 24h, 4h … while an alert fires; or none.")]
Header = Annotated[Names, typer.Option(help='Extra HTTP header: "X-Token: abc"; repeatable.')]
Key = Annotated[str | None, typer.Option(help='PagerDuty: integration key; "-" asks for it, or reads stdin.')]
EventGroup = Annotated[str | None, typer.Option("--group", help="PagerDuty: group of the events.")]
EventClass = Annotated[str | None, typer.Option("--class", help="PagerDuty: class of the events.")]
OnlyNew = Annotated[bool, typer.Option("--only-new", help="Do not notify the receiver of alerts that fire already.")]

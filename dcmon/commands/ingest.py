"""Ingestion: files to load, lag and offsets of Kafka."""

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from dcmon.commands.shared import option_groups, options
from dcmon.commands.shared.changes import counting
from dcmon.commands.shared.choices import FORMATS, choice_option
from dcmon.commands.shared.confirmation import ask_and_run, question_of
from dcmon.commands.shared.groups import group
from dcmon.formatting import count_of
from dcmon.states import RowKind

if TYPE_CHECKING:
    from dcmon.commands.operations.source import TypedTarget
    from dcmon.ingestion.files.rejection_limit import RejectionLimit
    from dcmon.settings import Kafka

app = group(__doc__)

SEEK_COLUMNS = {  # headings by key
    "topic": "", "partition": "", "begin": "first offset", "end": "end offset", "stands": "committed offset",
    "goes_to": "new offset", "read_again": "messages read again", "left_out": "messages skipped",
}  # fmt: skip
LAG_COLUMNS = {
    "partitions": ["topic", "partition", "read", "end", "lag", "oldest_unread"],
    "organizations": ["organization", "unread", "oldest_unread", "parked", "rows_per_second", "last_rows"],
}


@app.command()
@counting
@option_groups.rejection_limit
@option_groups.row_target
def file(
    ctx: typer.Context,
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="File, directory or pattern ('in/2026-*.csv', **); \"-\" reads stdin."),
    ],
    target: "TypedTarget",
    format_: Annotated[
        str | None,
        choice_option("--format", what="format of files", known=FORMATS, help="Default: by the file's name."),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Load a file again that was loaded before.")] = False,
    *,
    limit: "RejectionLimit",
    dry_run: options.DryRun = False,
) -> None:
    """Load files (CSV, Parquet, JSON lines), directories and patterns; after an interruption repeat the command.

    Folders like country=DE below a directory are columns.

    Example: dcmon ingest file may.csv.gz lake/scores 'in/2026-*.csv' --model credit

    Exit 3 when more rows of a file are rejected than --max-rejected allows: judged by its first 10,000 rows before
    anything is stored, and at its end. Exit 8 when some of several files could not be read.
    """
    from dcmon.commands.operations import ingest as operation
    from dcmon.commands.views import ingest as view
    from dcmon.ingestion.files.manual_load import LoadRequest

    options_ = LoadRequest("", format_, is_repeated=again, is_dry_run=dry_run, limit=limit)
    loaded = operation.load_all(ctx.obj, target, paths, options_)
    ctx.obj.output.page(view.loaded_files(loaded.rows))
    loaded.require_stored()
    if loaded.errors:
        raise typer.Exit(8 if loaded.rows else loaded.errors[0].exit_code)


@app.command()
def lag(
    ctx: typer.Context,
    look_at: Annotated[
        int, typer.Option(help="Maximum number of unread messages to read from each partition.", min=1)
    ] = 1_000,
    longest: Annotated[
        timedelta | None,
        options.duration_option("--longest", "Exit 1 when a message has waited longer than this: 90s, 30m."),
    ] = None,
) -> None:
    """Show the lag of ingestion by partition and organization. Example: dcmon ingest lag --longest 5m

    Unread messages of an organization are counted only among the messages that --look-at allows.
    """
    from dcmon.ingestion import lag as lags

    partitions, organizations = lags.measure(ctx.obj.engine, require_broker(ctx), look_at)
    ctx.obj.output.tables(
        {
            "partitions": [{**vars(partition), "lag": partition.lag} for partition in partitions],
            "organizations": [vars(org) for org in organizations],
        },
        LAG_COLUMNS,
    )
    if longest is not None and lags.is_behind(partitions, longest):
        raise typer.Exit(1)


@app.command()
@counting
def seek(
    ctx: typer.Context,
    to: Annotated[
        str, typer.Option(metavar="TIME|beginning|end", help="To a time, like 2026-11-24T10:00 or 2h (ago), or an end.")
    ],
    topic: Annotated[
        list[str] | None,
        choice_option(what="topic", known=RowKind, help="Default: both."),
    ] = None,
    yes: options.Yes = False,
) -> None:
    """Move the committed offsets; rows that are stored already count as duplicates.

    Workers also continue with a topic that was deleted and created again.

    Example: dcmon ingest seek --to end --dry-run
    """
    from dcmon.commands.operations import seek as operation
    from dcmon.ingestion import seek as seeking

    moves = seeking.plan(ctx.obj.engine, require_broker(ctx), topic or RowKind, seeking.parse_target(to))
    ctx.obj.output.table([move.output_row for move in moves], SEEK_COLUMNS)
    repeated, skipped = sum(move.read_again for move in moves), sum(move.left_out for move in moves)
    phrase = f"read {count_of(repeated, 'message')} again and skip {count_of(skipped, 'message')} for ever"
    apply = partial(operation.apply, ctx.obj, moves)
    ask_and_run(ctx.obj.output, question_of(phrase), apply, phrases=[phrase], yes=yes)


def require_broker(ctx: typer.Context) -> "Kafka":
    """Return the settings of Kafka. Raises InvalidInput when no broker is set."""
    from dcmon import errors

    settings: Kafka = ctx.obj.settings.kafka
    if not settings.bootstrap_servers:
        raise errors.InvalidInput(
            "DCMON_KAFKA__BOOTSTRAP_SERVERS is not set: the endpoint stores samples directly, without topics."
        )
    return settings

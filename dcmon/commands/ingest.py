"""Ingestion: load files, see how far it is behind, set it to another offset."""

from datetime import UTC
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcmon.commands.shared.arguments import column_mapping, operator_name
from dcmon.commands.shared.confirmation import confirm, outcome
from dcmon.commands.shared.groups import group

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.db import Organization
    from dcmon.errors import DcmonError
    from dcmon.ingestion.files.file_target import FileTarget
    from dcmon.ingestion.files.loader import LoadResult
    from dcmon.ingestion.files.manual_load import LoadRequest
    from dcmon.settings import Kafka

app = group(__doc__)

FILE_COLUMNS = ["file", "rows", "stored", "duplicates", "quarantined", "labels", "seconds", "was"]
LAG_COLUMNS = {
    "partitions": ["topic", "partition", "read", "end", "lag", "oldest_unread"],
    "organizations": ["organization", "unread", "oldest_unread", "parked", "rows_per_second", "last_rows"],
}


@app.command()
def file(
    ctx: typer.Context,
    paths: Annotated[list[str], typer.Argument(metavar="PATH…", help='CSV, Parquet or JSON lines; "-": stdin.')],
    model: Annotated[str, typer.Option(help="Model that the rows are of.")],
    version: Annotated[str | None, typer.Option(help="Version that they are of; not needed when there is one.")] = None,
    labels: Annotated[bool, typer.Option("--labels", help="The files hold labels only, no samples.")] = False,
    map_: Annotated[list[str] | None, typer.Option("--map", help="COLUMN=FIELD; COLUMN= leaves one out.")] = None,
    ignore_extra: Annotated[bool, typer.Option("--ignore-extra", help="Leave out columns with no field.")] = False,
    format_: Annotated[str | None, typer.Option("--format", help="csv, parquet or jsonl; else by the name.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Load a file that is in already once more.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be stored and rejected.")] = False,
) -> None:
    """Load files; type the same again after an interruption. Example: dcmon ingest file may.csv.gz --model credit

    Exit code 3 when every row of a file was rejected, 8 when some of several files could not be read.
    """
    from dcmon import errors
    from dcmon.ingestion.files import file_target, manual_load

    org, kind = ctx.obj.organization(), "labels" if labels else "samples"
    with ctx.obj.org(org) as session:
        target = file_target.find(session, model, version, kind, column_mapping(map_, ignore_extra))
    requests = [manual_load.LoadRequest(path, format_, is_repeated=again, is_dry_run=dry_run) for path in paths]
    rows, failed = _load_all(ctx.obj, org, target, requests)
    ctx.obj.output.table([outcome(row, dry_run=dry_run) for row in rows], FILE_COLUMNS)
    if failed:
        raise typer.Exit(8 if rows else failed[0].exit_code)
    for row in rows:
        if row["rows"] and row["rows"] == row["rejected"] and not row["in_before"]:
            raise errors.FileRejected(rows=row["rows"], path=row["file"])


@app.command()
def lag(
    ctx: typer.Context,
    look_at: Annotated[int, typer.Option(help="Unread messages of a partition to look at.", min=1)] = 1_000,
    longest: Annotated[str | None, typer.Option(help="Exit 1 when a message has waited longer: 90s, 30m.")] = None,
) -> None:
    """How far ingestion is behind, by partition and organization. Example: dcmon ingest lag --longest 5m

    The unread messages of an organization are counted among those looked at.
    """
    from dcmon import durations
    from dcmon.ingestion import lag as lags

    bound = durations.parse(longest) if longest else None
    partitions, organizations = lags.measure(ctx.obj.engine, require_broker(ctx), look_at)
    ctx.obj.output.tables(
        {
            "partitions": [{**vars(each), "lag": each.lag} for each in partitions],
            "organizations": [vars(each) for each in organizations],
        },
        LAG_COLUMNS,
    )
    if bound is not None and lags.is_behind(partitions, bound):
        raise typer.Exit(1)


@app.command()
def seek(
    ctx: typer.Context,
    to: Annotated[str, typer.Option(help='"beginning", "end", or a time: 2026-11-24T10:00, UTC unless it says.')],
    topic: Annotated[list[str] | None, typer.Option(help="samples or labels; both when not given.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be read again or left out.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Go on from another offset; what is stored already is recognised. Example: dcmon ingest seek --to end --dry-run

    A topic that was made again is taken for the one to read from then on.
    """
    from dcmon.ingestion import kafka
    from dcmon.ingestion import seek as seeking

    if bad := set(topic or ()) - set(kafka.KINDS):
        raise typer.BadParameter(f"{bad.pop()!r} is none of {', '.join(kafka.KINDS)}.", param_hint="--topic")
    moves = seeking.plan(ctx.obj.engine, require_broker(ctx), topic or kafka.KINDS, seeking.parse_target(to))
    columns = ["topic", "partition", "begin", "end", "stands", "goes_to", "read_again", "left_out"]
    ctx.obj.output.table([outcome(each.output_row, dry_run=dry_run) for each in moves], columns)
    if dry_run:
        return
    confirm(
        f"Read {sum(m.read_again for m in moves)} messages again, never read {sum(m.left_out for m in moves)}?", yes
    )
    seeking.apply(ctx.obj.engine, moves, operator_name())
    ctx.obj.output.say('Done. Workers that run notice by themselves; "dcmon worker start ingest" starts one.')


def _load_all(
    app: "App", org: "Organization", target: "FileTarget", requests: "list[LoadRequest]"
) -> "tuple[list[dict[str, Any]], list[DcmonError]]":
    """Load files one after the other; return a row for each file, and the errors of files that can't be read.

    Raises the error where there is only one file.
    """
    from dcmon import errors
    from dcmon.ingestion.files import manual_load

    rows, failed = list[dict[str, Any]](), list[errors.DcmonError]()
    try:
        for request in requests:
            try:
                with app.output.progress(request.path) as advance:
                    loaded = manual_load.load(app.engine, org, target, request, advance)
                rows.append(_row(loaded.action, loaded.result))
                if remark := _remark(loaded.result):
                    app.output.say(remark)
            except (errors.InvalidInput, errors.NotFound, errors.FileRefused, errors.FileChanged) as error:
                if len(requests) == 1:
                    raise _named(request.path, error) from error
                failed.append(error)
                app.output.say(str(_named(request.path, error)))
    except KeyboardInterrupt:
        app.output.say("Loaded rows stay; type the same again to continue from there.")
        raise
    return rows, failed


def require_broker(ctx: typer.Context) -> "Kafka":
    """The settings of the broker. Raises InvalidInput when there is none."""
    from dcmon import errors

    settings: Kafka = ctx.obj.settings.kafka
    if not settings.bootstrap_servers:
        raise errors.InvalidInput(
            "DCMON_KAFKA__BOOTSTRAP_SERVERS is not set: the endpoint stores samples itself, and nothing waits."
        )
    return settings


def _named(path: str, error: "DcmonError") -> "DcmonError":
    """The error, with the file's name when it does not say it."""
    return error if path in str(error) else type(error)(f"{path}: {error}")


def _remark(loaded: "LoadResult") -> str | None:
    if loaded.loaded_at is not None:
        since = loaded.loaded_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
        return f"{loaded.path} is in already since {since} UTC; --again loads it once more."
    return f"{loaded.first_row:,} rows of {loaded.path} were in before." if loaded.first_row else None


def _row(was: str, loaded: "LoadResult") -> dict[str, Any]:
    counts = loaded.outcome
    return {
        "file": loaded.path,
        "rows": counts.taken,
        "stored": counts.stored,
        "duplicates": counts.duplicates,
        "rejected": counts.quarantined,
        "quarantined": dict(loaded.reasons),
        "labels": loaded.labels.stored,
        "in_before": loaded.first_row,
        "in_since": loaded.loaded_at,
        "seconds": round(loaded.seconds, 3),
        "was": was,
    }

"""Watch directories and S3 buckets for files of samples and labels."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.arguments import column_mapping
from dcmon.commands.shared.confirmation import ask_and_run, outcome
from dcmon.commands.shared.groups import group

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.ingestion.files.scanner import ScanResult

app = group(__doc__)


@app.command()
def add(
    ctx: typer.Context,
    name: str,
    url: Annotated[str, typer.Argument(help="Directory or bucket: /path, file:///path or s3://bucket/prefix.")],
    model: options.TargetModel,
    version: options.TargetVersion = None,
    labels: options.OnlyLabels = False,
    map_: options.Mapping = None,
    ignore_extra: options.IgnoreExtra = False,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Check that the location can be listed.")] = True,
) -> None:
    """Watch a directory or bucket, which the scheduler scans.

    Example: dcmon source add lake s3://acme/credit --model credit
    """
    from dcmon.ingestion.files import file_target, sources
    from dcmon.states import RowKind

    location = sources.location(url, ctx.obj.settings.s3)
    if check:
        next(location.pages(), None)
    columns, kind = column_mapping(map_, ignore_extra), RowKind.LABELS if labels else RowKind.SAMPLES
    with ctx.obj.org() as session:
        target = file_target.find(session, model, version, kind, columns)
        new = sources.NewSource(name, url, kind, target.model_id, target.version_id, columns)
        row = sources.describe(session, sources.add(session, new))
    ctx.obj.output.value({key: row[key] for key in ("name", "url", "kind", "model", "version", "mapping")})


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """List the sources, with their counts and last errors. Example: dcmon source list"""
    from dcmon.ingestion.files import sources

    with ctx.obj.org() as session:
        rows = [sources.describe(session, source) for source in sources.entries(session)]
    columns = ["name", "url", "kind", "model", "version", "loaded", "failed", "stored", "scanned_at", "last_error"]
    ctx.obj.output.table(rows, columns, empty='No source yet: "dcmon source add NAME URL --model MODEL".')


@app.command()
def show(ctx: typer.Context, name: str) -> None:
    """Show a source, and its files that can't be read. Example: dcmon source show lake"""
    from dcmon.ingestion.files import sources

    with ctx.obj.org() as session:
        source = sources.find(session, name)
        row = sources.describe(session, source)
        failed = [
            {"file": file.path, "rows_in": file.next_row, "error": file.error}
            for file in sources.failed_files(session, source)
        ]
    if ctx.obj.output.is_json:
        ctx.obj.output.value({**row, "failed_files": failed})
        return
    ctx.obj.output.value(row)
    if failed:
        ctx.obj.output.table(failed, ["file", "rows_in", "error"], title="Files that can't be read")


@app.command()
def remove(
    ctx: typer.Context,
    name: str,
    yes: options.LongYes = False,
    dry_run: options.DryRun = False,
) -> None:
    """Remove a source; the rows that were loaded from it stay. Example: dcmon source remove lake --dry-run"""
    from dcmon.ingestion.files import sources

    with ctx.obj.org() as session:
        row = sources.describe(session, sources.find(session, name))
    question = f"Stop watching {row['url']}? Its {row['stored']:,} rows stay."
    ask_and_run(question, lambda: _remove(ctx.obj, name), dry_run=dry_run, yes=yes)
    removed = {"removed": name, "files": row["files"], "rows_kept": row["stored"]}
    ctx.obj.output.value(outcome(removed, dry_run=dry_run))


def _remove(app: "App", name: str) -> None:
    """Remove a source. Raises SourceNotFound."""
    from dcmon.ingestion.files import sources

    with app.org() as session:
        sources.remove(session, sources.find(session, name))


@app.command()
def scan(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Source to scan; default: all.")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Also try files that could not be read before.")] = False,
) -> None:
    """Load new files now; exit 8 when a file can't be read. Example: dcmon source scan lake"""
    from dcmon.ingestion.files import sources
    from dcmon.ingestion.files.scanner import Scanner

    with ctx.obj.org() as session:
        names = [name] if name is not None else [source.name for source in sources.entries(session)]
    scanner = Scanner(ctx.obj.engine, ctx.obj.organization(), ctx.obj.settings.s3)
    scans = [scanner.scan(source, retry=retry) for source in names]
    columns = ["source", "seen", "loaded", "rows", "stored", "duplicates", "quarantined", "being_written", "failed"]
    ctx.obj.output.table([_row(scan_result) for scan_result in scans], columns, empty="No source yet.")
    for scan_result in scans:
        _say_failures(ctx, scan_result)
    if any(scan_result.failed for scan_result in scans):
        raise typer.Exit(8)


def _say_failures(ctx: typer.Context, scan: "ScanResult") -> None:
    for path, reason in scan.failed.items():
        ctx.obj.output.say(f"{scan.source}: {path}: {reason}")
    if scan.failed_before:
        files, pronoun = ("1 file", "it") if scan.failed_before == 1 else (f"{scan.failed_before} files", "them")
        ctx.obj.output.say(f'{files} still can\'t be read: "dcmon source show {scan.source}" lists {pronoun}.')


def _row(scan: "ScanResult") -> dict[str, Any]:
    outcomes = [loaded.outcome for loaded in scan.loaded]
    return {
        "source": scan.source,
        "seen": scan.seen,
        "loaded": len(scan.loaded),
        "rows": sum(counts.taken for counts in outcomes),
        "stored": sum(counts.stored for counts in outcomes),
        "duplicates": sum(counts.duplicates for counts in outcomes),
        "quarantined": sum(counts.quarantined for counts in outcomes),
        "being_written": scan.being_written,
        "failed": len(scan.failed),
        "failed_before": scan.failed_before,
        "failed_files": dict(scan.failed),
    }

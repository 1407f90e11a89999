"""Watch directories and S3 buckets for files of samples and labels."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcmon.commands.shared.arguments import column_mapping
from dcmon.commands.shared.confirmation import confirm, outcome
from dcmon.commands.shared.groups import group

if TYPE_CHECKING:
    from dcmon.ingestion.files.scanner import ScanResult

app = group(__doc__)


@app.command()
def add(
    ctx: typer.Context,
    name: str,
    url: Annotated[str, typer.Argument(help="/path, file:///path or s3://bucket/prefix.")],
    model: Annotated[str, typer.Option(help="Model that the rows are of.")],
    version: Annotated[str | None, typer.Option(help="Version that they are of; not needed when there is one.")] = None,
    labels: Annotated[bool, typer.Option("--labels", help="The files hold labels only, no samples.")] = False,
    map_: Annotated[list[str] | None, typer.Option("--map", help="COLUMN=FIELD; COLUMN= leaves one out.")] = None,
    ignore_extra: Annotated[bool, typer.Option("--ignore-extra", help="Leave out columns with no field.")] = False,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Look whether it can be listed.")] = True,
) -> None:
    """Watch a place; the scheduler scans it. Example: dcmon source add lake s3://acme/credit --model credit"""
    from dcmon.ingestion.files import file_target, sources

    location = sources.location(url, ctx.obj.settings.s3)
    if check:
        next(location.pages(), None)
    columns, kind = column_mapping(map_, ignore_extra), "labels" if labels else "samples"
    with ctx.obj.org() as session:
        target = file_target.find(session, model, version, kind, columns)
        new = sources.NewSource(name, url, kind, target.model_id, target.version_id, columns)
        row = sources.describe(session, sources.add(session, new))
    ctx.obj.output.value({key: row[key] for key in ("name", "url", "kind", "model", "version", "mapping")})


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """List what is watched. Example: dcmon source list"""
    from dcmon.ingestion.files import sources

    with ctx.obj.org() as session:
        rows = [sources.describe(session, source) for source in sources.entries(session)]
    columns = ["name", "url", "kind", "model", "version", "loaded", "failed", "stored", "scanned_at", "last_error"]
    ctx.obj.output.table(rows, columns, empty='Nothing is watched: "dcmon source add NAME URL --model MODEL".')


@app.command()
def show(ctx: typer.Context, name: str) -> None:
    """Show what is watched, and the files that can't be read. Example: dcmon source show lake"""
    from dcmon.ingestion.files import sources

    with ctx.obj.org() as session:
        source = sources.find(session, name)
        about = sources.describe(session, source)
        failed = [
            {"file": each.path, "rows_in": each.next_row, "error": each.error}
            for each in sources.failed_files(session, source)
        ]
    if ctx.obj.output.is_json:
        ctx.obj.output.value({**about, "failed_files": failed})
        return
    ctx.obj.output.value(about)
    if failed:
        ctx.obj.output.table(failed, ["file", "rows_in", "error"], title="Files that can't be read")


@app.command()
def remove(
    ctx: typer.Context,
    name: str,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be watched no more.")] = False,
) -> None:
    """Watch a place no more; what came from it stays. Example: dcmon source remove lake --dry-run"""
    from dcmon.ingestion.files import sources

    with ctx.obj.org() as session:
        about = sources.describe(session, sources.find(session, name))
    done = {"removed": name, "files": about["files"], "rows_kept": about["stored"]}
    if not dry_run:
        confirm(f"Watch {about['url']} no more? Its {about['stored']:,} rows stay.", yes)
        with ctx.obj.org() as session:
            sources.remove(session, sources.find(session, name))
    ctx.obj.output.value(outcome(done, dry_run=dry_run))


@app.command()
def scan(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Not given: all.")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try files that could not be read once more.")] = False,
) -> None:
    """Load what is new, now. Exit code 8 when a file was tried and can't be read. Example: dcmon source scan lake"""
    from dcmon.ingestion.files import sources
    from dcmon.ingestion.files.scanner import Scanner

    with ctx.obj.org() as session:
        names = [name] if name is not None else [source.name for source in sources.entries(session)]
    scanner = Scanner(ctx.obj.engine, ctx.obj.organization(), ctx.obj.settings.s3)
    found = [scanner.scan(each, retry=retry) for each in names]
    columns = ["source", "seen", "loaded", "rows", "stored", "duplicates", "quarantined", "being_written", "failed"]
    ctx.obj.output.table([_row(each) for each in found], columns, empty="Nothing is watched.")
    for each in found:
        _say_failures(ctx, each)
    if any(each.failed for each in found):
        raise typer.Exit(8)


def _say_failures(ctx: typer.Context, scan: "ScanResult") -> None:
    for path, why in scan.failed.items():
        ctx.obj.output.say(f"{scan.source}: {path}: {why}")
    if scan.failed_before:
        files = "1 file" if scan.failed_before == 1 else f"{scan.failed_before} files"
        ctx.obj.output.say(f"{files} still can't be read: dcmon source show {scan.source}")


def _row(scan: "ScanResult") -> dict[str, Any]:
    outcomes = [loaded.outcome for loaded in scan.loaded]
    return {
        "source": scan.source,
        "seen": scan.seen,
        "loaded": len(scan.loaded),
        "rows": sum(each.taken for each in outcomes),
        "stored": sum(each.stored for each in outcomes),
        "duplicates": sum(each.duplicates for each in outcomes),
        "quarantined": sum(each.quarantined for each in outcomes),
        "being_written": scan.being_written,
        "failed": len(scan.failed),
        "failed_before": scan.failed_before,
        "failed_files": dict(scan.failed),
    }

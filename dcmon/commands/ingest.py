"""Load files of samples and labels."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcmon.commands import group, mapping

if TYPE_CHECKING:
    from dcmon.loading import Loaded, Loader, Target

app = group(__doc__)


@app.callback()
def ingest() -> None:
    """Load files of samples and labels."""


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
    from dcmon import errors, loading

    org, kind = ctx.obj.organization(), "labels" if labels else "samples"
    with ctx.obj.org(org) as session:
        target = loading.target(session, model, version, kind, mapping(map_, ignore_extra))
    done, failed = list[dict[str, Any]](), list[errors.DcmonError]()
    try:
        for path in paths:
            try:
                with ctx.obj.output.progress(path) as advance:
                    loader = loading.Loader(ctx.obj.engine, org, advance)
                    done.append(_row(_one(loader, target, path, format_, again, dry_run)))
            except (errors.InvalidInput, errors.NotFound, errors.FileRefused, errors.FileChanged) as error:
                if len(paths) == 1:
                    raise
                failed.append(error)
                ctx.obj.output.say(f"{path}: {error}")
    except KeyboardInterrupt:
        ctx.obj.output.say("What is in stays in; type the same again and it goes on from there.")
        raise
    columns = ["file", "rows", "stored", "duplicates", "quarantined", "labels", "seconds", "was"]
    ctx.obj.output.table(done, columns)
    if failed:
        raise typer.Exit(8 if done else failed[0].exit_code)
    for row in done:
        if row["rows"] and row["rows"] == row["rejected"]:
            raise errors.FileRejected(rows=row["rows"], path=row["file"])


def _one(
    loader: "Loader", target: "Target", path: str, format: str | None, again: bool, dry_run: bool
) -> "tuple[str, Loaded]":
    """Load one file, or count; in which way it was taken."""
    from dcmon import files, loading, rehearsal

    with files.opened(path, format) as opened:
        mark = loading.digest(opened, target)
        if again:
            mark = loader.anew(mark)
        next_row, is_in = loader.progress(mark)
        if is_in:
            return "in already", loader.known(mark, path)
        if dry_run:
            return "not stored", rehearsal.rehearse(loader.engine, loader.org, opened, target, next_row)
        next_row, _ = loader.begin(mark, path, target)
        return "resumed" if next_row else "loaded", loader.load(opened, target, mark, next_row)


def _row(found: "tuple[str, Loaded]") -> dict[str, Any]:
    was, loaded = found
    outcome = loaded.outcome
    return {
        "file": loaded.path,
        "rows": outcome.taken,
        "stored": outcome.stored,
        "duplicates": outcome.duplicates,
        "rejected": outcome.quarantined,
        "quarantined": dict(loaded.reasons),
        "labels": loaded.labels.stored,
        "seconds": round(loaded.seconds, 3),
        "was": was,
    }

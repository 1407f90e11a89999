"""References that production is compared with: load, show, clear."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dcmon.commands import confirm, group

if TYPE_CHECKING:
    from dcmon.references import Loaded, Table

app = group(__doc__)

ModelName = Annotated[str, typer.Option("--model", help="The model.")]
VersionName = Annotated[str, typer.Option("--version", help="Its version.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


@app.command()
def load(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help='"split" JSON of pandas, or JSON lines.')],
    model: ModelName,
    version: VersionName,
    replace: Annotated[bool, typer.Option("--replace", help="Put it in the place of what is there.")] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Append a file's rows to a reference, or replace it: all of them, or none.

    Example: dcmon reference load training.jsonl --model credit --version v1 --replace --dry-run
    """
    from dcmon import models, references, versions

    largest = ctx.obj.settings.reference.largest
    if replace and not dry_run:
        with ctx.obj.org() as session:
            found = versions.find(session, models.find(session, model), version)
            confirm(f"Replace {references.count(session, found)} reference rows of {model}/{version}?", yes)
    with _table(file) as table, ctx.obj.org() as session:
        owner = models.find(session, model)
        found = versions.find(session, owner, version)
        done = references.load(session, owner, found, table, replace=replace, largest=largest, dry_run=dry_run)
    _finish(ctx, done, dry_run=dry_run)


@app.command()
def show(ctx: typer.Context, model: ModelName, version: VersionName) -> None:
    """Show how large a reference is, and its revision. Example: dcmon reference show --model credit --version v1"""
    from dcmon import models, references, versions

    with ctx.obj.org() as session:
        found = versions.find(session, models.find(session, model), version)
        rows = references.count(session, found)
    largest = ctx.obj.settings.reference.largest
    ctx.obj.output.value(
        {"model": model, "version": version, "rows": rows, "revision": found.reference_revision, "at_most": largest}
    )


@app.command()
def clear(
    ctx: typer.Context, model: ModelName, version: VersionName, yes: Yes = False, dry_run: DryRun = False
) -> None:
    """Remove all rows of a reference. Example: dcmon reference clear --model credit --version v1 --dry-run"""
    from dcmon import models, references, versions

    with ctx.obj.org() as session:
        found = versions.find(session, models.find(session, model), version)
        rows = references.count(session, found)
    if dry_run:
        _finish(ctx, references.Loaded(0, rows, 0, found.reference_revision), dry_run=True)
        return
    confirm(f"Remove {rows} reference rows of {model}/{version}?", yes)
    with ctx.obj.org() as session:
        done = references.clear(session, found)
    _finish(ctx, done, dry_run=False)


@contextmanager
def _table(file: Path) -> "Iterator[Table]":
    """The rows of a file, read as they are stored."""
    from mmap import ACCESS_READ, mmap

    from msgspec import Raw

    from dcmon import errors, references

    try:
        opened = file.open("rb")
    except OSError as error:
        raise errors.InvalidInput(f"{file} can't be read: {error.strerror}.") from error
    with opened:
        if file.suffix == ".jsonl":
            yield references.Table(Raw(line) for line in opened if line.strip())
        elif file.suffix == ".json":
            is_empty = file.stat().st_size == 0
            yield references.split(b"" if is_empty else mmap(opened.fileno(), 0, access=ACCESS_READ))
        else:
            raise errors.InvalidInput(f'{file} is neither .json (pandas\' orient="split") nor .jsonl (JSON lines).')


def _finish(ctx: typer.Context, done: "Loaded", *, dry_run: bool) -> None:
    """Say what was done; windows that are due by it are looked for at once."""
    from dcmon import wake

    org = ctx.obj.organization()
    if not dry_run:
        with ctx.obj.public() as session:
            wake.ring(session, org.id, wake.Work.evaluate)
    stored, removed = ("would store", "would remove") if dry_run else ("stored", "removed")
    ctx.obj.output.value({stored: done.stored, removed: done.removed, "rows": done.total, "revision": done.revision})

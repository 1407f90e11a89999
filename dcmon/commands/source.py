"""Directories and S3 buckets that are watched for files."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from dcmon.commands.shared import option_groups, options
from dcmon.commands.shared.changes import changing, counting
from dcmon.commands.shared.confirmation import ask_and_run
from dcmon.commands.shared.groups import group
from dcmon.commands.shared.lists import global_listing, listing_of
from dcmon.commands.shared.several import delete_all, run_for_all, show_all

if TYPE_CHECKING:
    from dcmon.commands.operations.source import SourceChange, TypedTarget

app = group(__doc__)


@app.command()
@changing
@option_groups.row_target
def create(
    ctx: typer.Context,
    name: options.CreatedName,
    url: Annotated[str, typer.Argument(help=options.LOCATION)],
    target: "TypedTarget",
    check: Annotated[bool, typer.Option("--check/--no-check", help="Check that the location can be listed.")] = True,
) -> None:
    """Create a source: a directory or bucket, which the scheduler scans.

    Example: dcmon source create lake s3://acme/credit --model credit
    """
    from dcmon.commands.operations import source as operation

    ctx.obj.output.value(operation.add(ctx.obj, name, url, target, is_checked=check))


@app.command("list")
@listing_of("sources")
def list_(ctx: typer.Context) -> None:
    """List the sources, with their counts, losses and last errors. Example: dcmon source list"""
    from dcmon.commands.views import source as view

    ctx.obj.output.page(view.listed(ctx.obj))


@app.command()
def show(ctx: typer.Context, names: options.SourceNames) -> None:
    """Show sources, what they lose, and their files that can't be read. Example: dcmon source show lake"""
    from dcmon.commands.views import source as view

    show_all(ctx.obj.output, names, partial(view.detail, ctx.obj))


@app.command("set")
@changing
@option_groups.source_change
def set_(
    ctx: typer.Context,
    name: options.SourceName,
    *,
    change: "SourceChange",
    check: Annotated[bool, typer.Option("--check/--no-check", help="Check that a new location can be listed.")] = True,
) -> None:
    """Change a source. Options not given keep their value; files that were loaded stay as they are.

    --map and --set add to those that it has. Its model, and whether its files hold labels, can't change: its rows
    belong to them. Delete the source, which keeps its rows, and create another.

    Example: dcmon source set lake --map customer=_dc_sample_id --delimiter ";"
    """
    from dcmon.commands.operations import source as operation
    from dcmon.commands.views import source as view

    change.require_some()
    ctx.obj.output.page(view.changed(operation.change(ctx.obj, name, change, is_checked=check)))


@app.command()
@changing
def rename(ctx: typer.Context, name: options.SourceName, new_name: options.NewName) -> None:
    """Rename a source; its files and rows stay. Example: dcmon source rename lake score-lake"""
    from dcmon.commands.operations import source as operation

    ctx.obj.output.value(operation.rename(ctx.obj, name, new_name))


@app.command()
@counting
def delete(
    ctx: typer.Context,
    names: options.SourceNames,
    yes: options.Yes = False,
) -> None:
    """Delete sources; the rows that were loaded from them stay. Example: dcmon source delete lake --dry-run"""
    from dcmon.commands.operations import source as operation

    delete_all(ctx.obj.output, names, partial(operation.deletion, ctx.obj), yes=yes)


@app.command()
@changing
def resume(ctx: typer.Context, names: options.SourceNames) -> None:
    """Scan sources again that an import left inactive. Example: dcmon source resume lake"""
    from dcmon.commands.operations import source as operation

    run_for_all(ctx.obj.output, names, partial(operation.find, ctx.obj), partial(operation.resume, ctx.obj))


@app.command()
@changing
def scan(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="SOURCE", help="Name of the source; default: all active sources.")
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Also try files that could not be read before.")] = False,
) -> None:
    """Load new files now; exit 8 when a file can't be read. Example: dcmon source scan lake"""
    from dcmon.commands.operations import source as operation
    from dcmon.commands.views import source as view

    scans = operation.scan(ctx.obj, name, retries_failed=retry)
    ctx.obj.output.page(view.scans(scans))
    if any(scan_result.failed for scan_result in scans):
        raise typer.Exit(8)


@app.command("set-keys")
@changing
def set_keys(
    ctx: typer.Context,
    from_: Annotated[
        str | None, typer.Option("--from", help='File with the keys, as ~/.aws/credentials has them; "-": stdin.')
    ] = None,
    region: Annotated[str | None, typer.Option(help="Region of the buckets, such as eu-central-1.")] = None,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Ask the object store for the keys.")] = True,
) -> None:
    """Set the organization's own keys of S3, with which its buckets are read. Without --from, it asks for them.

    The keys are never arguments, which ps shows, and never shown again.

    Example: dcmon source set-keys --from keys.ini --region eu-central-1
    """
    from dcmon.commands.operations import store_keys as operation

    ctx.obj.output.value(operation.put(ctx.obj, from_, region, is_checked=check))


@app.command("show-keys")
@global_listing
def show_keys(ctx: typer.Context) -> None:
    """Show the organization's own keys of S3, masked. Example: dcmon source show-keys"""
    from dcmon.commands.views import source as view

    empty = 'No keys: buckets are read with those of the worker. "dcmon source set-keys" sets the organization\'s own.'
    columns = ["type", "aws_access_key_id", "aws_secret_access_key", "region"]
    ctx.obj.output.table(view.keys(ctx.obj), columns, empty=empty)


@app.command("delete-keys")
@counting
def delete_keys(ctx: typer.Context, yes: options.Yes = False) -> None:
    """Delete the organization's own keys of S3; the files in it stay. Example: dcmon source delete-keys --dry-run"""
    from dcmon.commands.operations import store_keys as operation

    removal = operation.prepare_deletion(ctx.obj)
    ask_and_run(ctx.obj.output, removal.question, removal.delete, phrases=["delete the keys of S3"], yes=yes)
    ctx.obj.output.value(removal.row)

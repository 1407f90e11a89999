"""Bring the database up to date: both lineages, every organization."""

from typing import Annotated

import typer

app = typer.Typer(help=__doc__, invoke_without_command=True, rich_markup_mode=None, add_completion=False)


@app.callback()
def migrate(
    ctx: typer.Context, dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False
) -> None:
    """Bring the database up to date: both lineages, every organization. Example: dcmon migrate --dry-run"""
    if ctx.invoked_subcommand is not None:
        return
    from dcmon.tenancy.provisioning import migrate_all

    done = migrate_all(ctx.obj.engine, dry_run=dry_run)
    ctx.obj.output.table(done, ["lineage", "schema", "from", "to", "state"])


@app.command()
def status(ctx: typer.Context) -> None:
    """Show where each schema stands; exit 1 when one is not current. Example: dcmon migrate status"""
    from dcmon.tenancy.provisioning import migration_states

    states = migration_states(ctx.obj.engine)
    rows = [
        {"lineage": s.lineage, "schema": s.schema, "at": s.found, "head": s.wanted, "state": s.state} for s in states
    ]
    ctx.obj.output.table(rows, ["lineage", "schema", "at", "head", "state"])
    if any(s.state != "current" for s in states):
        raise typer.Exit(1)


@app.command()
def check(ctx: typer.Context) -> None:
    """Compare the revisions with the tables in the code; exit 1 when they differ. Example: dcmon migrate check"""
    from dcmon.db import migrations as migrate

    rows = [
        {"lineage": lineage, "state": "differs" if said else "clean", "difference": said}
        for lineage in migrate.LINEAGES
        for said in [migrate.check(ctx.obj.engine, lineage)]
    ]
    ctx.obj.output.table(rows, ["lineage", "state", "difference"])
    if any(row["difference"] for row in rows):
        raise typer.Exit(1)


@app.command()
def revision(
    ctx: typer.Context,
    message: Annotated[str, typer.Argument(help="What it does, in a few words.")],
    lineage: Annotated[str, typer.Option(help="public or org.")] = "org",
) -> None:
    """Write the next revision from the tables in the code.

    Example: dcmon migrate revision --lineage org "add silences"
    """
    from dcmon import errors
    from dcmon.db import migrations as migrate

    if lineage not in migrate.LINEAGES:
        raise errors.InvalidInput(f"There is no lineage {lineage!r}: it is public or org.")
    path = migrate.write_revision(ctx.obj.engine, lineage, message)
    ctx.obj.output.value({"lineage": lineage, "written": path})
    ctx.obj.output.say("Read it through before you commit it.")

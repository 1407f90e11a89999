"""Migrate the database to this version of dcmon."""

from typing import Annotated, Literal

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.changes import counting
from dcmon.commands.shared.choices import choice_option
from dcmon.commands.shared.groups import SuggestingGroup

app = typer.Typer(cls=SuggestingGroup, invoke_without_command=True, rich_markup_mode=None, add_completion=False)


@app.callback()
@counting
def migrate(
    ctx: typer.Context,
    dry_run: options.DryRun = False,
    parallel: Annotated[
        int, typer.Option(min=1, max=64, help="So many processes migrate organizations, each with one connection.")
    ] = 1,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL for review, and run nothing.")] = False,
) -> None:
    """Migrate the database to this version of dcmon: every organization, or only that of --org.

    A schema that can't be migrated, or that a newer dcmon has migrated, stays as it is, and the others follow: exit 8.

    Example: dcmon migrate --dry-run
    """
    if ctx.invoked_subcommand is not None:
        return
    from dcmon.commands.operations import migration as operation

    outcome = operation.run(ctx.obj, operation.Choices(parallel, dry_run=dry_run, is_sql=sql))
    ctx.obj.output.page(outcome.page)
    if outcome.is_partly_done:
        raise typer.Exit(8)


@app.command()
def status(ctx: typer.Context) -> None:
    """Show the revision of each schema, or with --org of one organization's; exit 1 when one is not current.

    Example: dcmon migrate status
    """
    from dcmon.commands.views import migration as view
    from dcmon.db.migrations import MigrationState
    from dcmon.tenancy import schema_migration

    states = schema_migration.states(ctx.obj.engine, only=ctx.obj.typed_org)
    ctx.obj.output.page(view.states(states))
    if any(schema.state != MigrationState.CURRENT for schema in states):
        raise typer.Exit(1)


@app.command()
def roles(ctx: typer.Context) -> None:
    """Print the SQL with which an administrator of PostgreSQL creates organizations' missing roles.

    Example: dcmon migrate roles
    """
    from dcmon.commands.views import migration as view

    ctx.obj.output.page(view.missing_roles(ctx.obj.engine, ctx.obj.typed_org))


@app.command()
def check(ctx: typer.Context) -> None:
    """Compare the revisions with the tables in the code; exit 1 when they differ. Example: dcmon migrate check"""
    from dcmon.db import migrations as migrate

    rows = [
        {"lineage": lineage, "state": "differs" if difference else "clean", "difference": difference}
        for lineage in migrate.LINEAGES
        for difference in [migrate.check(ctx.obj.engine, lineage)]
    ]
    ctx.obj.output.table(rows, ["lineage", "state", "difference"])
    if any(row["difference"] for row in rows):
        raise typer.Exit(1)


@app.command()
def revision(
    ctx: typer.Context,
    message: Annotated[str, typer.Argument(help="What the revision changes, in a few words.")],
    lineage: Annotated[
        Literal["public", "org"],
        choice_option(what="lineage", known=("public", "org"), help="Its lineage."),
    ] = "org",
) -> None:
    """Write the next revision, generated from the tables in the code: for developers of dcmon.

    Example: dcmon migrate revision --lineage org "add silences"
    """
    from dcmon.db import migrations as migrate

    path = migrate.write_revision(ctx.obj.engine, lineage, message)
    ctx.obj.output.value({"lineage": lineage, "written": path}, remark="Review the revision before you commit it.")

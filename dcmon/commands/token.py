"""API tokens of services and people."""

from datetime import timedelta
from functools import partial
from typing import Annotated

import typer

from dcmon.commands.shared import options, questions
from dcmon.commands.shared.changes import asking, changing
from dcmon.commands.shared.choices import choice_option
from dcmon.commands.shared.groups import group
from dcmon.commands.shared.lists import listing
from dcmon.commands.shared.several import run_for_all, show_all
from dcmon.commands.shared.wording import STORE_TOKEN
from dcmon.tenancy.permissions import Role, Scope

app = group(__doc__)
Prefixes = Annotated[
    list[str], typer.Argument(metavar="TOKEN...", help='Prefix as "dcmon token list" shows it, or name.')
]


@app.command()
@changing
def create(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Purpose of the token; by default sdk.")] = None,
    user: Annotated[str | None, typer.Option(help="E-mail of a member; default: the owner.")] = None,
    days: Annotated[int | None, typer.Option(min=1, hidden=True, help="Days until the token expires.")] = None,
    expires: Annotated[
        timedelta | None,
        options.lifetime_option("--expires", "When it expires: after 12h, 90d, or at 2026-12-31; default: never."),
    ] = None,
    scope: Annotated[
        str,
        choice_option(what="scope", known=Scope, help="What it may do; full: all that the user may do."),
    ] = "full",
) -> None:
    """Create a token and show it once. Example: dcmon token create scoring-service --scope ingest --expires 365d"""
    from dcmon.commands.operations import token as operation

    if days and expires:
        raise typer.BadParameter("Give --days or --expires, not both.")
    row = operation.create(ctx.obj, name, user, timedelta(days) if days else expires, scope)
    ctx.obj.output.value(row, none={"expires_at": "never"}, remark=STORE_TOKEN)


@app.command("list")
@listing
def list_(ctx: typer.Context) -> None:
    """List tokens, without their secrets. Example: dcmon token list"""
    from dcmon.commands.views import token as view

    columns = ["prefix", "name", "user", "scope", "state", "created_at", "expires_at", "last_used_at"]
    narrow = [column for column in columns if column not in ("user", "expires_at")]
    ctx.obj.output.table(view.rows(ctx.obj), columns, unfolded=["prefix"], narrow=narrow)


@app.command()
def show(ctx: typer.Context, prefixes: Prefixes) -> None:
    """Show tokens, without their secrets. Example: dcmon token show dcm_Ab3dE6gH9k"""
    from dcmon.commands.views import token as view

    show_all(ctx.obj.output, prefixes, partial(view.detail, ctx.obj))


@app.command()
@changing
def rename(
    ctx: typer.Context,
    prefix: Annotated[str, typer.Argument(metavar="TOKEN", help='Prefix as "dcmon token list" shows it, or name.')],
    new_name: options.NewName,
) -> None:
    """Rename a token; it works unchanged. Example: dcmon token rename scoring scoring-service"""
    from dcmon.commands.operations import token as operation

    ctx.obj.output.value(operation.rename(ctx.obj, prefix, new_name))


@app.command()
@asking(questions.revoked_token)
def delete(ctx: typer.Context, prefixes: Prefixes) -> None:
    """Delete tokens: from now on they are refused. Example: dcmon token delete dcm_Ab3dE6gH9k"""
    from dcmon.commands.operations import token as operation

    find, revoke = partial(operation.find, ctx.obj), partial(operation.revoke, ctx.obj)
    run_for_all(ctx.obj.output, prefixes, find, revoke)


@app.command("import")
@changing
def import_(
    ctx: typer.Context,
    path: Annotated[
        str, typer.Argument(metavar="FILE", help='File with a token, or an e-mail and bcrypt hash, a line; "-": stdin.')
    ],
    role: Annotated[
        str, choice_option(what="role", known=Role, help="Role of users who are no members yet.")
    ] = "member",
) -> None:
    """Import tokens of the old system, which then work unchanged. Example: dcmon token import tokens.txt --dry-run"""
    from dcmon.commands.operations import token as operation

    rows = operation.import_tokens(ctx.obj, path, role)
    ctx.obj.output.table(rows, ["line", "user", "outcome", "prefix", "remark"], empty="The file has no token.")
    if any(row["outcome"] == "refused" for row in rows):
        raise typer.Exit(8 if any(row["outcome"] != "refused" for row in rows) else 3)

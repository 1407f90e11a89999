"""API tokens: create, list, revoke."""

from typing import Annotated

import typer

from dcmon.commands.shared.groups import group
from dcmon.commands.shared.wording import STORE_TOKEN

app = group(__doc__)


@app.command()
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Purpose of the token.")] = "sdk",
    user: Annotated[str | None, typer.Option(help="E-mail of a member; default: the owner.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days until the token expires; default: never.")] = None,
) -> None:
    """Create a token and show it once. Example: dcmon token create scoring-service --days 365"""
    from datetime import timedelta

    from dcmon.commands.operations import token as operation

    row = operation.create(ctx.obj, name, user, timedelta(days=days) if days else None)
    ctx.obj.output.value(row, remark=STORE_TOKEN)


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """List tokens, without their secrets. Example: dcmon token list"""
    from dcmon.commands.views import token as view

    columns = ["prefix", "name", "user", "state", "created_at", "expires_at", "last_used_at"]
    ctx.obj.output.table(view.rows(ctx.obj), columns)


@app.command()
def revoke(
    ctx: typer.Context,
    prefix: Annotated[
        str, typer.Argument(help='First characters of the token, as "dcmon token list" shows them: dcm_…')
    ],
) -> None:
    """Revoke a token: from now on it is refused. Example: dcmon token revoke dcm_Ab3dE6gH9k"""
    from dcmon.commands.operations import token as operation

    ctx.obj.output.value(operation.revoke(ctx.obj, prefix))

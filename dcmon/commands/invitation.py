"""Invitations that are not accepted yet."""

from typing import Annotated

import typer

from dcmon.commands.shared.changes import changing
from dcmon.commands.shared.groups import group
from dcmon.commands.shared.lists import listing

app = group(__doc__)


@app.command("list")
@listing
def list_(ctx: typer.Context) -> None:
    """List the open invitations, newest first. Example: dcmon invitation list"""
    from dcmon.commands.views import member as view

    columns = ["email", "role", "invited_by", "created_at", "expires_at"]
    empty = 'No open invitation: "dcmon member invite EMAIL" invites a person.'
    ctx.obj.output.table(view.invitations(ctx.obj), columns, empty=empty)


@app.command()
@changing
def delete(
    ctx: typer.Context, email: Annotated[str, typer.Argument(help="E-mail address of the person who is invited.")]
) -> None:
    """Withdraw an invitation: its code is refused from now on. Example: dcmon invitation delete ann@acme.org"""
    from dcmon.commands.operations import member as operation

    ctx.obj.output.value(operation.withdraw(ctx.obj, email))

"""Invitations that are not accepted yet."""

from functools import partial
from typing import Annotated

import typer

from dcmon.commands.shared.changes import changing
from dcmon.commands.shared.groups import group
from dcmon.commands.shared.lists import listing
from dcmon.commands.shared.several import run_for_all, show_all

app = group(__doc__)
Emails = Annotated[list[str], typer.Argument(metavar="EMAIL...", help="E-mail addresses of persons who are invited.")]


@app.command("list")
@listing
def list_(ctx: typer.Context) -> None:
    """List the open invitations, newest first. Example: dcmon invitation list"""
    from dcmon.commands.views import member as view

    columns = ["email", "role", "invited_by", "created_at", "expires_at"]
    empty = 'No open invitation: "dcmon member invite EMAIL" invites a person.'
    ctx.obj.output.table(view.invitations(ctx.obj), columns, empty=empty)


@app.command()
def show(ctx: typer.Context, emails: Emails) -> None:
    """Show open invitations, without their codes. Example: dcmon invitation show ann@acme.org"""
    from dcmon.commands.views import member as view

    show_all(ctx.obj.output, emails, partial(view.invitation, ctx.obj))


@app.command()
@changing
def delete(ctx: typer.Context, emails: Emails) -> None:
    """Delete invitations: their codes are refused from now on. Example: dcmon invitation delete ann@acme.org"""
    from dcmon.commands.operations import member as operation

    find, withdraw = partial(operation.find_invitation, ctx.obj), partial(operation.withdraw, ctx.obj)
    run_for_all(ctx.obj.output, emails, find, withdraw)

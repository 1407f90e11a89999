"""Members of an organization, and their roles."""

from datetime import timedelta
from functools import partial
from typing import Annotated

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.changes import changing, counting
from dcmon.commands.shared.choices import choice_argument, choice_option
from dcmon.commands.shared.groups import group
from dcmon.commands.shared.lists import listing
from dcmon.commands.shared.several import delete_all, run_for_all, show_all
from dcmon.tenancy.permissions import Role

app = group(__doc__)
Email = Annotated[str, typer.Argument(help="E-mail address of the person.")]
Emails = Annotated[list[str], typer.Argument(metavar="EMAIL...", help="E-mail addresses of members.")]
RoleOption = Annotated[
    str,
    choice_option(what="role", known=Role, help="What the person may do: a viewer reads, an ingester logs rows."),
]


@app.command("list")
@listing
def list_(ctx: typer.Context) -> None:
    """List the members with their roles. Example: dcmon member list"""
    from dcmon.commands.views import member as view

    ctx.obj.output.table(view.rows(ctx.obj), ["email", "id", "full_name", "role", "last_used_at"])


@app.command()
def show(ctx: typer.Context, emails: Emails) -> None:
    """Show members with tokens and models. Example: dcmon member show ann@acme.org"""
    from dcmon.commands.views import member as view

    show_all(ctx.obj.output, emails, partial(view.detail, ctx.obj))


@app.command()
@changing
def create(ctx: typer.Context, email: Email, role: RoleOption = "member") -> None:
    """Create a member: a person who is known, or new. Example: dcmon member create ann@acme.org --role viewer"""
    from dcmon.commands.operations import member as operation

    remark = f'"dcmon token create NAME --user {email}" creates a token for the member.'
    ctx.obj.output.value(operation.add(ctx.obj, email, role), remark=remark)


@app.command("set")
@changing
def set_(
    ctx: typer.Context,
    emails: Emails,
    role: Annotated[
        str, choice_option(what="role", known=Role, help="What they may do: a viewer reads, an ingester logs rows.")
    ],
) -> None:
    """Set the role of members, at once for all their tokens. Example: dcmon member set ann@acme.org --role admin"""
    from dcmon.commands.operations import member as operation

    act = partial(operation.set_role, ctx.obj, role=role)
    run_for_all(ctx.obj.output, emails, partial(operation.find, ctx.obj), act)


@app.command()
@counting
def delete(
    ctx: typer.Context,
    emails: Emails,
    yes: options.Yes = False,
) -> None:
    """Delete members with all their tokens. Example: dcmon member delete ann@acme.org --dry-run"""
    from dcmon.commands.operations import member as operation

    delete_all(ctx.obj.output, emails, partial(operation.deletion, ctx.obj), yes=yes)


@app.command()
@changing
def invite(
    ctx: typer.Context,
    email: Email,
    role: RoleOption = "member",
    expires: Annotated[
        timedelta, options.lifetime_option("--expires", "How long the invitation lasts, or until when: at most 90d.")
    ] = timedelta(days=7),
) -> None:
    """Show a code that makes a person a member once. Example: dcmon member invite ann@acme.org --role viewer"""
    from dcmon.commands.operations import member as operation

    remark = "Give the code to the person: the page /invitation of the endpoint accepts it once."
    ctx.obj.output.value(operation.invite(ctx.obj, email, role, expires), remark=remark)


@app.command()
@changing
def restrict(
    ctx: typer.Context,
    models: Annotated[
        str,
        choice_argument(
            "set of models",
            ("own", "all"),
            "own: the models that a member was added to; all: every model.",
            "own|all",
        ),
    ],
) -> None:
    """Set which models members see; admins and owners see all. Example: dcmon member restrict own"""
    from dcmon.commands.operations import member as operation

    ctx.obj.output.value(operation.restrict(ctx.obj, models))

"""Organizations, each with its own data, members and limits."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.changes import changing, counting
from dcmon.commands.shared.choices import choice_option
from dcmon.commands.shared.groups import group
from dcmon.commands.shared.limit_options import organization_limits
from dcmon.commands.shared.lists import global_listing
from dcmon.commands.shared.several import delete_all, show_all
from dcmon.commands.shared.wording import STORE_TOKEN
from dcmon.commands.shared.written_files import report
from dcmon.states import DefaultSet

app = group(__doc__)


@app.command()
@changing
def create(
    ctx: typer.Context,
    name: options.CreatedName,
    owner: Annotated[str, typer.Option(help="E-mail of the owner.")] = "owner@localhost",
) -> None:
    """Create an organization with an owner and a first token. Example: dcmon org create acme --owner ann@acme.org"""
    from dcmon.commands.operations import organization as operation

    ctx.obj.output.value(operation.create(ctx.obj, name, owner), remark=STORE_TOKEN)


@app.command("list")
@global_listing
def list_(ctx: typer.Context) -> None:
    """List organizations. Example: dcmon org list -o json"""
    from dcmon.commands.views import organization as view

    columns = ["name", "id", "schema", "state"]
    ctx.obj.output.table(view.rows(ctx.obj), columns, empty='No organization yet: "dcmon org create NAME".')


@app.command()
def show(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="ORG...", help="Organizations; not needed if there is only one.")
    ] = None,
) -> None:
    """Show organizations: owner, schema, models, tokens, limits and retention. Example: dcmon org show acme"""
    from dcmon.commands.views import organization as view

    show_all(ctx.obj.output, names or [None], partial(view.detail, ctx.obj))


@app.command()
@changing
def rename(
    ctx: typer.Context,
    name: options.OrgName,
    new_name: options.NewName,
) -> None:
    """Rename an organization; its id, schema and tokens stay. Example: dcmon org rename acme acme-europe"""
    from dcmon.commands.operations import organization as operation

    ctx.obj.output.value(operation.rename(ctx.obj, name, new_name))


@app.command()
@counting
def export(
    ctx: typer.Context,
    name: options.OrgName,
    file: options.WrittenFile,
    without_secrets: options.WithoutSecrets = False,
    passphrase_file: options.PassphraseFile = None,
    replace: options.Replace = False,
    dry_run: options.DryRun = False,
) -> None:
    """Write an organization to a file, from which another database imports it; it may be in use meanwhile.

    With --dry-run, all of it is read, counted and packed, and nothing is written.

    Example: dcmon org export acme acme.tar.gz --without-secrets
    """
    from dcmon.commands.operations import transfer as operation

    secrets = operation.SecretOptions(passphrase_file, without_secrets)
    written = operation.export(ctx.obj, name, file, secrets, operation.FileOptions(replace, dry_run))
    report(ctx.obj.output, file, written)


@app.command("import")
@counting
def import_(
    ctx: typer.Context,
    file: options.ReadFile,
    name: Annotated[str | None, typer.Option("--name", help="Name here; default: as in the file.")] = None,
    without_secrets: options.NoSecrets = False,
    passphrase_file: options.PassphraseFile = None,
    with_commands: Annotated[
        bool, typer.Option("--with-commands", help="Keep command receivers and sources active; only if you trust it.")
    ] = False,
    dry_run: options.DryRun = False,
) -> None:
    """Import an organization from a file. It is visible when all of it is stored and checked, or not at all.

    Receivers that run commands, and sources, are left inactive; the output has the commands that activate them.

    Example: dcmon org import acme.tar.gz --name acme-europe
    """
    from dcmon.commands.operations import transfer as operation

    secrets = operation.SecretOptions(passphrase_file, without_secrets)
    typed = operation.ImportOptions(name, dry_run, with_commands)
    ctx.obj.output.value(operation.import_(ctx.obj, file, secrets, typed))


@app.command("set")
@counting
@organization_limits
def set_(
    ctx: typer.Context,
    *,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="ORG...", help="Organizations; not needed if there is only one.")
    ] = None,
    limits: "Mapping[str, int | None]",
    samples: Annotated[str | None, typer.Option(help="How long samples are kept: 90d, 12w; none: for ever.")] = None,
    results: Annotated[
        str | None, typer.Option(help="How long results and alerts are kept; not shorter than samples.")
    ] = None,
    defaults: Annotated[
        str | None, choice_option(what="set of defaults", known=DefaultSet, help=options.DEFAULTS_OF_NEW_MODELS)
    ] = None,
    yes: options.Yes = False,
) -> None:
    """Set limits, retention and the default monitors of new models. What is not given stays.

    Rows above a limit get 429 and are not stored, objects 402; objects that exist stay. Samples go by whole months,
    when the last row of a month is older. It asks if the next prune deletes rows for a shorter retention.

    Example: dcmon org set acme --samples-per-minute 500000 --max-models none

    Example: dcmon org set acme --samples 90d --results 2y --dry-run
    """
    from dcmon.commands.operations import organization_settings as operation

    wanted = operation.Wanted(limits, samples, results, DefaultSet(defaults) if defaults else None)
    if wanted.is_nothing:
        raise typer.BadParameter(
            "Nothing to set: --samples 90d, --max-models 50, --defaults sdk …; none removes a limit."
        )
    ctx.obj.output.page(operation.change(ctx.obj, names or [None], wanted, yes=yes))


@app.command()
@counting
def delete(ctx: typer.Context, names: options.OrgNames, yes: options.Yes = False) -> None:
    """Delete organizations with all their data, or finish an interrupted deletion.

    Example: dcmon org delete acme --dry-run
    """
    from dcmon.commands.operations import organization as operation

    delete_all(ctx.obj.output, names, partial(operation.deletion, ctx.obj), yes=yes)

"""Organizations: create, list, show, set-limits, set-retention, delete."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcmon.commands.shared.confirmation import confirm, outcome
from dcmon.commands.shared.groups import group
from dcmon.commands.shared.wording import NO_END

if TYPE_CHECKING:
    from dcmon.app import App

app = group(__doc__)


@app.command()
def create(
    ctx: typer.Context,
    name: str,
    owner: Annotated[str, typer.Option(help="E-mail of the owner.")] = "owner@localhost",
) -> None:
    """Create an organization with an owner and a first token. Example: dcmon org create acme --owner ann@acme.org"""
    from dcmon.tenancy.provisioning import create_organization

    made = create_organization(ctx.obj.engine, name, owner)
    ctx.obj.output.value({"organization": made.organization.name, "owner": owner, "token": made.token})
    ctx.obj.output.say("Keep the token: it is not shown again.")


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """List organizations. Example: dcmon org list -o json"""
    from dataclasses import asdict

    from dcmon.tenancy import organizations, rate_limits

    with ctx.obj.public() as session:
        found = organizations.entries(session)
        limited = rate_limits.by_organization(session)
    rows = [{**row, **asdict(limited[row["id"]])} for row in organizations.describe(found)]
    ctx.obj.output.table(rows, ["name", "id", "schema"], empty='No organization yet: "dcmon org create NAME".')


@app.command()
def show(ctx: typer.Context, name: Annotated[str | None, typer.Argument()] = None) -> None:
    """Show an organization: its owner, schema, models, tokens, limits and retention. Example: dcmon org show acme"""
    ctx.obj.output.value(_detail(ctx.obj, name), none=NO_END)


def _detail(app: "App", name: str | None) -> dict[str, Any]:
    """Describe an organization. Raises OrganizationNotFound."""
    from dataclasses import asdict

    from dcmon.storage import models
    from dcmon.tenancy import organizations, rate_limits, retention, tokens

    org = app.organization(name)
    with app.public() as session:
        owner, held = organizations.owner(session, org.id), tokens.entries(session, org.id)
        limited = asdict(rate_limits.get(session, org.id))
        samples, results = (retention.format_term(term) for term in organizations.terms(session, org))
    with app.org(org) as session:
        names = [model.name for model in models.entries(session)]
    live = [token["prefix"] for token in held if token["state"] == "live"]
    about = {"name": org.name, "id": org.id, "schema": org.schema, "owner": owner.email, "models": names}
    about |= {"tokens": live, **limited, "samples_kept": samples, "results_kept": results}
    return about


Limit = Annotated[str | None, typer.Option(metavar="N|none", show_default=False)]


@app.command("set-limits")
def set_limits(
    ctx: typer.Context,
    name: str,
    samples_per_minute: Limit = None,
    labels_per_minute: Limit = None,
    sample_bytes_per_minute: Limit = None,
    label_bytes_per_minute: Limit = None,
) -> None:
    """Limit what is logged in a minute; "none" lifts a limit. What is over it gets 429 and is not stored.

    Example: dcmon org set-limits acme --samples-per-minute 500000 --sample-bytes-per-minute none
    """
    from dataclasses import asdict

    from dcmon.tenancy import rate_limits

    given = {
        "samples_per_minute": samples_per_minute, "labels_per_minute": labels_per_minute,
        "sample_bytes_per_minute": sample_bytes_per_minute, "label_bytes_per_minute": label_bytes_per_minute,
    }  # fmt: skip
    wanted = {key: _limit(key, value) for key, value in given.items() if value is not None}
    if not wanted:
        raise typer.BadParameter("Give a limit: --samples-per-minute 500000, or none to lift it.")
    org = ctx.obj.organization(name)
    with ctx.obj.public() as session:
        ctx.obj.output.value({"name": org.name, **asdict(rate_limits.change(session, org.id, wanted))})


def _limit(option: str, given: str) -> int | None:
    if given == "none":
        return None
    try:
        return int(given)
    except ValueError as error:
        hint = "--" + option.replace("_", "-")
        raise typer.BadParameter(f"{given!r} is no whole number, and not none.", param_hint=hint) from error


@app.command("set-retention")
def set_retention(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="The organization; not needed with one.")] = None,
    samples: Annotated[str | None, typer.Option(help="How long samples are kept: 90d, 12w; none: for ever.")] = None,
    results: Annotated[str | None, typer.Option(help="How long results and alerts are; not shorter.")] = None,
) -> None:
    """Set how long samples and results are kept. Example: dcmon org set-retention acme --samples 90d --results 2y"""
    from dcmon import errors
    from dcmon.tenancy import organizations, retention

    if samples is None and results is None:
        raise errors.InvalidInput("Say what to set: --samples 90d, --results 2y or both; none keeps them for ever.")
    org = ctx.obj.organization(name)
    with ctx.obj.public() as session:
        before = organizations.terms(session, org)
        given = (retention.parse(text) if text else term for text, term in zip((samples, results), before, strict=True))
        kept, results_kept = given
        organizations.set_terms(session, org, kept, results_kept)
    said = {"samples_kept": retention.format_term(kept), "results_kept": retention.format_term(results_kept)}
    ctx.obj.output.value({"organization": org.name, **said}, none=NO_END)
    ctx.obj.output.say('"dcmon prune --dry-run" counts what is past it; the scheduler takes it out within an hour.')


@app.command()
def delete(
    ctx: typer.Context,
    name: str,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Delete an organization with everything it has. Example: dcmon org delete acme --dry-run"""
    from dcmon.tenancy.provisioning import contents, delete_organization

    org = ctx.obj.organization(name)
    found = contents(ctx.obj.engine, org)
    if not dry_run:
        what = f"{found['models']:,} models and {found['samples']:,} samples"
        confirm(f"Delete organization {org.name!r} with {what}?", yes)
        delete_organization(ctx.obj.engine, org)
    ctx.obj.output.value(outcome({"deleted": org.name, **found}, dry_run=dry_run))

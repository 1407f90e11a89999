"""Organizations, as rows."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dcmon.commands.shared.wording import NO_END
from dcmon.output import Fields, Page
from dcmon.storage import models
from dcmon.tenancy import deletion, object_limits, organizations, rate_limits, retention, tokens

if TYPE_CHECKING:
    from dcmon.app import App


def rows(app: "App") -> list[dict[str, Any]]:
    """List organizations with their limits."""
    with app.public() as session:
        by_state = {"active": organizations.entries(session), "being deleted": deletion.unfinished(session)}
        limits = rate_limits.by_organization(session)
    return [
        {**row, **asdict(limits[row["id"]]), "state": state}
        for state, orgs in by_state.items()
        for row in organizations.describe(orgs)
    ]


def detail(app: "App", name: str | None) -> Page:
    """Show an organization; `name` may be None as for App.organization. Raises OrganizationNotFound."""
    org = app.organization(name)
    with app.public() as session:
        owner, token_rows = organizations.owner(session, org.id), tokens.entries(session, org.id)
        limits = asdict(rate_limits.get(session, org.id)) | object_limits.get(session, org.id)
        default_monitors = organizations.default_monitors(session, org)
        samples, results = (retention.format_term(term) for term in organizations.terms(session, org))
    with app.org(org) as session:
        names = [model.name for model in models.entries(session)]
    live_prefixes = [token["prefix"] for token in token_rows if token["state"] == tokens.TokenState.LIVE]
    row = {"name": org.name, "id": org.id, "schema": org.schema, "owner": owner.email, "models": names}
    row |= {"tokens": live_prefixes, **limits, "samples_kept": samples, "results_kept": results}
    row |= {"default_monitors": default_monitors}
    return Page(row, [Fields(row, NO_END)])

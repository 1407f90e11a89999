"""Create, rename and delete organizations."""

from functools import partial
from typing import TYPE_CHECKING, Any

from dcmon.commands.shared.several import Deletion
from dcmon.commands.shared.wording import open_text
from dcmon.formatting import count_of, listed
from dcmon.tenancy import deletion as deletions
from dcmon.tenancy import organizations, provisioning

if TYPE_CHECKING:
    from dcmon.app import App


# What is counted before an organization is deleted. Alerts are the last: how many are open is said of them.
CONTENTS = (
    "model", "version", "sample", "reference_row", "result", "monitor", "rule", "receiver", "member", "token", "alert",
)  # fmt: skip


def create(app: "App", name: str, owner: str) -> dict[str, Any]:
    """Create an organization with an owner and a first token; a dry run makes no schema. Raises Conflict."""
    if app.effects is not None:
        provisioning.check_new_organization(app.engine, name, owner)
        return {"name": name, "owner": owner}
    created = provisioning.create_organization(app.engine, name, owner)
    return {"name": created.organization.name, "owner": owner, "token": created.token}


def rename(app: "App", name: str, new_name: str) -> dict[str, Any]:
    """Give an organization another name. Raises OrganizationNotFound, Conflict or InvalidInput."""
    org = app.organization(name)
    with app.public() as session:
        organizations.rename(session, org, new_name)
    return {"name": new_name, "old_name": org.name, "id": org.id}


def deletion(app: "App", name: str) -> Deletion:
    """Count what an organization has. One that is being deleted already has only its name left, and nothing to ask.

    Raises OrganizationNotFound.
    """
    with app.public() as session:
        marked = deletions.find(session, name)
    if marked is not None:
        remaining = f"what is left of organization {marked.name!r}"
        delete_remaining = partial(deletions.delete, app.engine, marked)
        return Deletion(marked.id, {"deleted": marked.name}, remaining, delete_remaining, asks=False)
    org = app.organization(name)
    counts = provisioning.contents(app.engine, org)
    parts = [count_of(counts[f"{noun}s"], noun.replace("_", " ")) for noun in CONTENTS if counts[f"{noun}s"]]
    contents = f"{listed(parts)}{open_text(counts['open'])}"
    what, delete = f"organization {org.name!r} with {contents}", partial(deletions.delete, app.engine, org)
    return Deletion(org.id, {"deleted": org.name, **counts}, what, delete, typed_name=org.name)


def find(app: "App", name: str | None) -> str:
    """Return the name of an organization; `name` may be None as for App.organization. Raises OrganizationNotFound."""
    return app.organization(name).name

"""Create, rename and delete organizations, and set their limits and default monitors."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from dcmon.tenancy import deletion, object_limits, organizations, provisioning, rate_limits

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.states import DefaultSet


def create(app: "App", name: str, owner: str) -> dict[str, Any]:
    """Create an organization with an owner and a first token; a dry run makes no schema. Raises Conflict."""
    if app.effects is not None:
        provisioning.check_new_organization(app.engine, name, owner)
        return {"organization": name, "owner": owner}
    created = provisioning.create_organization(app.engine, name, owner)
    return {"organization": created.organization.name, "owner": owner, "token": created.token}


def rename(app: "App", name: str, new_name: str) -> dict[str, Any]:
    """Give an organization another name. Raises OrganizationNotFound, Conflict or InvalidInput."""
    org = app.organization(name)
    with app.public() as session:
        organizations.rename(session, org, new_name)
    return {"id": org.id, "name": new_name, "old_name": org.name}


@dataclass(frozen=True)
class OrganizationDeletion:
    """A deletion that is not done yet. `loss`: what is lost; None if an earlier run has asked. `row`: its output."""

    loss: str | None
    delete: Callable[[], None]
    row: Mapping[str, Any]


def prepare_deletion(app: "App", name: str) -> OrganizationDeletion:
    """Count what an organization has. One that is being deleted already has only its name left.

    Raises OrganizationNotFound.
    """
    with app.public() as session:
        marked = deletion.find(session, name)
    if marked is not None:
        return OrganizationDeletion(None, lambda: deletion.delete(app.engine, marked), {"deleted": marked.name})
    org = app.organization(name)
    counts = provisioning.contents(app.engine, org)
    contents = f"{counts['models']:,} models and {counts['samples']:,} samples"
    loss = f"This deletes organization {org.name!r} with {contents}."
    return OrganizationDeletion(loss, lambda: deletion.delete(app.engine, org), {"deleted": org.name, **counts})


def set_limits(app: "App", name: str | None, limits: Mapping[str, int | None]) -> dict[str, Any]:
    """Set limits by their names; None removes a limit. Raises OrganizationNotFound or InvalidInput."""
    org = app.organization(name)
    of_objects = {key: limit for key, limit in limits.items() if key in object_limits.NAMES}
    of_rows = {key: limit for key, limit in limits.items() if key not in of_objects}
    with app.public() as session:
        rows = rate_limits.change(session, org.id, of_rows)
        return {"name": org.name, **asdict(rows), **object_limits.change(session, org.id, of_objects)}


def set_defaults(app: "App", name: str | None, defaults: "DefaultSet") -> dict[str, Any]:
    """Set which default monitors new models get. Raises OrganizationNotFound."""
    org = app.organization(name)
    with app.public() as session:
        organizations.set_default_monitors(session, org, defaults)
    return {"organization": org.name, "default_monitors": defaults}

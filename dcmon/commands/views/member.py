"""Members, as rows."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dcmon.tenancy import members

if TYPE_CHECKING:
    from dcmon.app import App


def rows(app: "App") -> list[dict[str, Any]]:
    """List the members of an organization: owners first."""
    org = app.organization()
    with app.public() as session:
        return [asdict(member) for member in members.entries(session, org.id)]

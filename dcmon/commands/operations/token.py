"""Create and revoke API tokens."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dcmon.tenancy import organizations, tokens

if TYPE_CHECKING:
    from dcmon.app import App


def create(app: "App", name: str, user: str | None, lifetime: timedelta | None) -> dict[str, Any]:
    """Create a token for a member, or for the owner if `user` is None. Raises NotFound."""
    org = app.organization()
    with app.public() as session:
        member = organizations.member(session, org.id, user) if user else organizations.owner(session, org.id)
        token = tokens.create(session, org.id, member.id, name, lifetime)
    return {"organization": org.name, "name": name, "user": member.email, "token": token}


def revoke(app: "App", prefix: str) -> dict[str, Any]:
    """Revoke a token. Raises NotFound."""
    org = app.organization()
    with app.public() as session:
        tokens.revoke(session, org.id, prefix)
    return {"revoked": prefix[:14]}

"""Members, as rows."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from dcmon import errors
from dcmon.db.tables.org import Model, ModelMember
from dcmon.tenancy import invitations as open_invitations
from dcmon.tenancy import members, organizations, tokens

if TYPE_CHECKING:
    from dcmon.app import App


def rows(app: "App") -> list[dict[str, Any]]:
    """List the members of an organization: owners first."""
    org = app.organization()
    with app.public() as session:
        return [asdict(member) for member in members.entries(session, org.id)]


def detail(app: "App", email: str) -> dict[str, Any]:
    """Describe a member: the role, live tokens, and the models that the member was added to. Raises MemberNotFound."""
    org = app.organization()
    with app.public() as session:
        member = members.get(session, org.id, organizations.member(session, org.id, email).id)
        of_member = tokens.entries(session, org.id, member.id)
        sees_all = member.role.sees_all_models or not organizations.has_model_membership(session, org.id)
    names = select(Model.name).join(ModelMember, ModelMember.model_id == Model.id)
    with app.org(org) as session:
        names = names.where(ModelMember.user_id == member.id).order_by(Model.name)
        model_names = list(session.scalars(names))
    live = [token["prefix"] for token in of_member if token["state"] == tokens.TokenState.LIVE]
    return {**asdict(member), "tokens": live, "member_of_models": model_names, "sees_all_models": sees_all}


def invitations(app: "App") -> list[dict[str, Any]]:
    """List the open invitations of an organization, newest first, without their codes."""
    org = app.organization()
    with app.public() as session:
        return [
            {
                "email": invitation.email,
                "id": invitation.id,
                "role": invitation.role,
                "invited_by": invitation.invited_by,
                "created_at": invitation.created_at,
                "expires_at": invitation.expires_at,
            }
            for invitation in open_invitations.entries(session, org.id)
        ]


def invitation(app: "App", email: str) -> dict[str, Any]:
    """Read the newest open invitation of a person, without its code. Raises NotFound."""
    known = invitations(app)
    row = next((row for row in known if row["email"] == email), None)
    if row is None:
        raise errors.NotFound(what="open invitation of", name=email, known=[row["email"] for row in known])
    return row

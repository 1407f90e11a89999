"""Add, change, remove and invite members, and choose which models they see."""

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from dcmon import errors
from dcmon.authors import operator_name
from dcmon.commands.shared.several import Deletion
from dcmon.formatting import count_of
from dcmon.tenancy import invitations, members, model_members, organizations, permissions, tokens

if TYPE_CHECKING:
    from dcmon.app import App


def deletion(app: "App", email: str) -> Deletion:
    """Find a member who can be deleted. Raises NotFound, or Conflict for the last owner."""
    org = app.organization()
    with app.public() as session:
        member = members.get(session, org.id, organizations.member(session, org.id, email).id)
        members.require_removable(session, org.id, member.id)
        count = len(tokens.entries(session, org.id, member.id))
    row = {"deleted": email, "id": member.id, "role": member.role, "tokens": count}
    what = f"member {email} with {count_of(count, 'token')}" if count else f"member {email}, who has no token"
    return Deletion(member.id, row, what, partial(_delete, app, email))


def add(app: "App", email: str, role: str) -> dict[str, Any]:
    """Make a person a member. Raises InvalidInput or Conflict."""
    org, parsed = app.organization(), permissions.parse_role(role)
    with app.public() as session:
        return {"email": email, "id": members.add(session, org.id, email, parsed), "role": parsed}


def find(app: "App", email: str) -> str:
    """Return the e-mail of a member. Raises MemberNotFound."""
    org = app.organization()
    with app.public() as session:
        return organizations.member(session, org.id, email).email


def set_role(app: "App", email: str, role: str) -> dict[str, Any]:
    """Give a member another role. Raises NotFound, InvalidInput, or Conflict for the last owner."""
    org, parsed = app.organization(), permissions.parse_role(role)
    with app.public() as session:
        members.set_role(session, org.id, organizations.member(session, org.id, email).id, parsed)
    return {"email": email, "role": parsed}


def _delete(app: "App", email: str) -> None:
    """Delete a member with tokens and models. Raises NotFound, or Conflict for the last owner."""
    org = app.organization()
    with app.public() as session:
        user_id = organizations.member(session, org.id, email).id
        members.require_removable(session, org.id, user_id)
    with app.org(org) as session:  # first, so that a removal that fails here can be repeated
        model_members.remove_user(session, user_id)
    with app.public() as session:
        members.remove(session, org.id, user_id)


def invite(app: "App", email: str, role: str, lifetime: timedelta) -> dict[str, Any]:
    """Invite a person and return the code. Raises InvalidInput or Conflict."""
    org, parsed = app.organization(), permissions.parse_role(role)
    with app.public() as session:
        (invited,) = invitations.invite(session, org.id, operator_name(), [email], parsed, lifetime)
    return {"email": email, "role": parsed, "code": invited.code, "expires_at": invited.expires_at}


def find_invitation(app: "App", email: str) -> str:
    """Check that a person is invited, and return the e-mail. Raises NotFound."""
    org = app.organization()
    with app.public() as session:
        invitations.require(session, org.id, email)
    return email


def withdraw(app: "App", email: str) -> dict[str, Any]:
    """Withdraw a person's invitation. Raises NotFound."""
    org = app.organization()
    with app.public() as session:
        invitations.withdraw(session, org.id, email)
    return {"deleted": email}


def restrict(app: "App", shown: str) -> dict[str, Any]:
    """Show members their own models only, or all. Raises InvalidInput."""
    if shown not in ("own", "all"):
        raise errors.InvalidInput(f"Members see own or all models, not {shown!r}.")
    org = app.organization()
    with app.public() as session:
        organizations.set_model_membership(session, org.id, shown == "own")
    return {"name": org.name, "members_see": f"{shown} models"}

"""Routes of the user whom the token belongs to, and of users' roles and models."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.http.auth import Access, Administrator, Identifier, Owner
from dcmon.http.fields import Timestamp
from dcmon.http.once import answers_with_secret
from dcmon.http.responses import MAY_BE_FULL, MAY_CONFLICT
from dcmon.tenancy import members, model_members, tokens
from dcmon.tenancy.members import MemberView
from dcmon.tenancy.permissions import Permission, Role, Scope

router = APIRouter(tags=["users"])
Id = Annotated[int, Field(ge=1, le=2**31 - 1)]


class DetailsBody(BaseModel):
    """What a person says after the first login. A token always belongs to an organization already."""

    new_organization_name: str | None = None
    user_full_name: str | None = Field(None, min_length=1, max_length=100)
    accept_invite: bool | None = None


class RolesBody(BaseModel):
    """The roles of a member: the one with most permissions counts. None: member.

    replace: false keeps the present role if it has more permissions.
    """

    roles: list[Role] = Field(max_length=10)
    replace: bool = True


class UserModel(BaseModel):
    """A model that a user is to be a member of."""

    id: Id
    notify: bool = True


class UserModelsBody(BaseModel):
    """The models that a user is to be a member of. replace: and of no others."""

    models: list[UserModel] = Field(max_length=10_000)
    replace: bool = True


class ModelMembersBody(BaseModel):
    """The users who are to be members of a model. replace: and no others."""

    user_ids: list[Id] = Field(max_length=10_000)
    replace: bool = True


class MemberResponse(BaseModel):
    """A member. roles: empty for role member; role always names it."""

    id: int
    email: str
    full_name: str | None
    disabled: bool
    picture_url: None
    last_login: Timestamp | None
    created_at: Timestamp
    roles: list[Role]
    role: Role


class OwnOrganization(BaseModel):
    """The organization of the token. tier: null, as dcmon has none."""

    id: int
    name: str
    tier: None


class OwnUserResponse(MemberResponse):
    """The user of the token, and what the token may do."""

    organization: OwnOrganization
    scope: Scope
    permissions: list[Permission]


class DetailsResponse(BaseModel):
    """The names of the user and the organization."""

    invitation: None
    user_full_name: str | None
    organization_name: str


def member_view(member: MemberView) -> dict[str, Any]:
    """Return a member as JSON. `roles` is empty for role member; `role` always names it."""
    return {
        "id": member.id,
        "email": member.email,
        "full_name": member.full_name,
        "disabled": False,
        "picture_url": None,
        "last_login": member.last_used_at and member.last_used_at.isoformat(),
        "created_at": member.created_at.isoformat(),
        "roles": [] if member.role == Role.MEMBER else [member.role],
        "role": member.role,
    }


def require_full_scope(access: Access) -> None:
    """Check that a request that changes the account has a token for all that its user may do. Raises NotAllowed."""
    if access.bearer.scope != Scope.FULL:
        raise errors.NotAllowed(
            f"A token with scope {access.bearer.scope} can't change accounts and tokens: use one with scope full."
        )


@contextmanager
def _own_account(access: Access) -> Iterator[Session]:
    """Open a transaction for the account of the token. Raises NotAuthenticated if it was deleted meanwhile."""
    try:
        with access.app.public() as session:
            yield session
    except errors.NotFound as error:
        raise errors.NotAuthenticated from error


@router.get("/users/me", response_model=OwnUserResponse)
def me(access: Identifier) -> JSONResponse:
    """Show the user of the token, with the permissions that the token has."""
    with _own_account(access) as session:
        user = member_view(members.get(session, access.org.id, access.bearer.user_id))
    user["organization"] = {"id": access.org.id, "name": access.org.name, "tier": None}
    user |= {"scope": access.bearer.scope, "permissions": sorted(access.bearer.permissions)}
    return JSONResponse(user, headers={"cache-control": "private, no-store"})


@router.get("/users/complete-details", response_model=DetailsResponse)
def details(access: Identifier) -> dict[str, Any]:
    """Show the name of the user and of the organization. `invitation` is null: invitations are accepted by a code."""
    with _own_account(access) as session:
        user = members.get(session, access.org.id, access.bearer.user_id)
    return {"invitation": None, "user_full_name": user.full_name, "organization_name": access.org.name}


@router.post("/users/complete-details", status_code=302)
def complete_details(access: Identifier, body: DetailsBody) -> RedirectResponse:
    """Set the full name of the user."""
    require_full_scope(access)
    if body.new_organization_name is not None or body.accept_invite:
        raise errors.InvalidInput(
            f"Your token belongs to organization {access.org.name!r} already. POST /invitations/accept accepts an"
            ' invitation by its code; an operator creates organizations with "dcmon org create".'
        )
    if body.user_full_name is not None:
        with _own_account(access) as session:
            members.set_full_name(session, access.bearer.user_id, body.user_full_name)
    return RedirectResponse("/", 302)


@router.post("/users/regenerate-api-token", responses=MAY_BE_FULL | MAY_CONFLICT)
@answers_with_secret
def regenerate_token(access: Identifier) -> str:
    """Replace the token of this request by a new one, which the response shows once. The old one is revoked."""
    require_full_scope(access)
    with _own_account(access) as session:
        token = tokens.replace(session, access.bearer)
    access.app.admission_cache.forget_bearers()
    return token


@router.delete("/users")
def delete_account(access: Identifier) -> None:
    """Leave the organization, and delete the user if that was the last one. The last owner can't."""
    require_full_scope(access)
    leave(access)


def leave(access: Access) -> None:
    """Remove the user of the token from the organization, with tokens and models."""
    with _own_account(access) as session:
        members.require_removable(session, access.org.id, access.bearer.user_id)
    forget_models(access, access.bearer.user_id)
    with _own_account(access) as session:
        members.remove(session, access.org.id, access.bearer.user_id)
        members.delete_user_without_organization(session, access.bearer.user_id)
    access.app.admission_cache.forget_bearers()


def forget_models(access: Access, user_id: int) -> None:
    """Remove a member who leaves from all models, in a transaction in the organization's schema.

    It comes before the removal from the organization: if that fails, it can be repeated, and no person who is invited
    again sees the models of before.
    """
    with access.app.org(access.org) as session:
        model_members.remove_user(session, user_id)


@router.get("/auth/logout", status_code=302)
def log_out(access: Identifier) -> Response:
    """Delete the cookie with the token. The token itself stays valid: DELETE /tokens/{prefix} revokes it."""
    response = RedirectResponse("/", 302)
    response.delete_cookie("Authorization", httponly=True)
    return response


@router.put("/users/{user_id}/roles", response_model=MemberResponse)
def set_roles(access: Owner, user_id: int, body: RolesBody) -> dict[str, Any]:
    """Set the role of a member, at once for all the member's tokens. The last owner stays owner."""
    with access.app.public() as session:
        role = min(body.roles, key=list(Role).index, default=Role.MEMBER)
        if body.replace:
            members.set_role(session, access.org.id, user_id, role)
        elif body.roles:
            members.raise_role(session, access.org.id, user_id, role)
        changed = member_view(members.get(session, access.org.id, user_id))
    access.app.admission_cache.forget_bearers()
    return changed


@router.post("/users/{user_id}/models", response_model=MemberResponse)
def set_models(access: Administrator, user_id: int, body: UserModelsBody) -> dict[str, Any]:
    """Make a member of the organization a member of models."""
    with access.app.public() as session:
        user = members.get(session, access.org.id, user_id)
    notify = {model.id: model.notify for model in body.models}
    with access.session() as session:
        model_members.set_models(session, user_id, notify, replace=body.replace)
    return member_view(user)


@router.post("/models/{model_id}/members")
def set_members(access: Administrator, model_id: int, body: ModelMembersBody) -> None:
    """Make members of the organization members of a model."""
    with access.app.public() as session:
        members.require(session, access.org.id, body.user_ids)
    with access.session() as session:
        model_members.set_members(session, model_id, body.user_ids, replace=body.replace)

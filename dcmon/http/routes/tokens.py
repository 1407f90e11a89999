"""Routes of API tokens."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from dcmon import errors
from dcmon.http.auth import Access, Identifier
from dcmon.http.once import answers_with_secret
from dcmon.http.paging import Paged
from dcmon.http.responses import MAY_BE_FORBIDDEN, MAY_BE_FULL, MAY_CONFLICT, NAMES_OBJECT
from dcmon.http.routes.users import require_full_scope
from dcmon.tenancy import members, tokens
from dcmon.tenancy.permissions import Permission, Role, Scope, granted, held_to, require_covered

router = APIRouter(tags=["tokens"])


class TokenBody(BaseModel):
    """A token to be created. expires_in_days: null, never. user_id: null, the user of the request."""

    name: str = Field(min_length=1, max_length=tokens.MAX_NAME_LENGTH)
    scope: Scope = Scope.FULL
    expires_in_days: int | None = Field(None, ge=1, le=36_500)
    user_id: int | None = Field(None, ge=1, le=2**31 - 1)


class TokenView(BaseModel):
    """A token without its secret. user: the e-mail address of its member.

    highest_role: it permits no more than this role, that of the person who made it for the member; null: no limit.
    """

    prefix: str
    name: str
    user: str
    scope: Scope
    highest_role: Role | None
    state: tokens.TokenState
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class CreatedToken(BaseModel):
    """A new token, which is shown once. user: the e-mail address of its member."""

    prefix: str
    name: str
    user: str
    scope: Scope
    token: str


@router.get("/tokens", responses=MAY_BE_FORBIDDEN, response_model=list[TokenView])
def entries(access: Identifier, page: Paged) -> Sequence[dict[str, Any]]:
    """List the tokens of the user, or of the whole organization for administrators, without their secrets."""
    require_full_scope(access)
    with access.app.public() as session:
        user_id = None if _administers(access) else access.bearer.user_id
        return page.of(tokens.entries(session, access.org.id, user_id))


@router.post(
    "/tokens", responses=MAY_BE_FULL | NAMES_OBJECT | MAY_CONFLICT, status_code=201, response_model=CreatedToken
)
@answers_with_secret
def create(access: Identifier, body: TokenBody) -> dict[str, Any]:
    """Create a token, which the response shows once. It may do no more, and no longer, than the token of the request.

    Administrators create tokens for other members too, if these have no more permissions than they have.
    """
    require_full_scope(access)
    lifetime = _lifetime(access, body.expires_in_days)
    user_id = body.user_id or access.bearer.user_id
    with access.app.public() as session:
        member = members.get(session, access.org.id, user_id) if _may_act_for(access, user_id) else None
        if member is None:
            raise errors.NotFound(what="member with id", name=user_id)
        # A token for another member is held to the role of its creator, also when that member gets a higher role.
        is_own = user_id == access.bearer.user_id
        highest = access.bearer.highest_role if is_own else access.bearer.role
        role = held_to(member.role, highest) if is_own else member.role
        require_covered(access.bearer.permissions, granted(role, body.scope))
        token = tokens.create(session, access.org.id, user_id, body.name, lifetime, body.scope)
        tokens.hold_to(session, access.org.id, token, None if highest == Role.OWNER else highest)
    return {"prefix": token[:14], "name": body.name, "user": member.email, "scope": body.scope, "token": token}


@router.delete("/tokens/{prefix}")
def revoke(access: Identifier, prefix: str) -> None:
    """Revoke a token of the user at once; administrators revoke those of other members too."""
    require_full_scope(access)
    with access.app.public() as session:
        user_id = tokens.owner_of(session, access.org.id, prefix)
        if not _may_act_for(access, user_id):
            raise errors.TokenNotFound(name=prefix[:14])
        require_covered(access.bearer.permissions, members.get(session, access.org.id, user_id).role.permissions)
        tokens.revoke(session, access.org.id, prefix)
    access.app.admission_cache.forget_bearers()  # other processes hear the announcement of PostgreSQL


def _administers(access: Access) -> bool:
    return Permission.ADMINISTER in access.bearer.permissions


def _may_act_for(access: Access, user_id: int) -> bool:
    return user_id == access.bearer.user_id or _administers(access)


def _lifetime(access: Access, days: int | None) -> timedelta | None:
    """Return how long a new token lives. It ends with the token of the request at the latest."""
    asked = None if days is None else timedelta(days=days)
    if access.bearer.expires_at is None:
        return asked
    left = access.bearer.expires_at - datetime.now(UTC)
    return left if asked is None else min(left, asked)

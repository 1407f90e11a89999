"""Routes of the organization of the token: its members, invitations and notification levels."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel, Field

from dcmon import errors
from dcmon.http.auth import Access, Administrator, Identifier, Owner, Reader
from dcmon.http.fields import Timestamp
from dcmon.http.once import answers_with_secret
from dcmon.http.paging import Paged
from dcmon.http.responses import MAY_CONFLICT, NAMES_OBJECT
from dcmon.http.routes.users import MemberResponse, forget_models, leave, member_view, require_full_scope
from dcmon.notifications import invitation_email, notification_levels
from dcmon.notifications.invitation_email import InvitationEmail
from dcmon.notifications.notification_levels import Channel, NotificationLevels
from dcmon.severity import Severity
from dcmon.tenancy import deletion, invitations, members, object_limits, organizations
from dcmon.tenancy.invitations import Invited
from dcmon.tenancy.permissions import Role, require_covered

router = APIRouter(tags=["organization"])


def _email(text: str) -> str:
    try:
        members.require_email(text)
    except errors.InvalidInput as error:
        raise ValueError(str(error)) from error
    return text


Email = Annotated[str, Field(max_length=members.MAX_EMAIL_LENGTH), AfterValidator(_email)]


class InvitationBody(BaseModel):
    """Whom to invite. ttl: seconds that the invitation lasts; null: 7 days."""

    email: Email | Annotated[list[Email], Field(min_length=1)]
    ttl: int | None = Field(None, ge=60, le=90 * 86_400)
    role: Role = Role.MEMBER


class OrganizationBody(BaseModel):
    """What to change: severities that receivers get, and whether members see only models that they are members of."""

    slack_notification_levels: list[Severity] | None = Field(None, max_length=10)
    email_notification_levels: list[Severity] | None = Field(None, max_length=10)
    webhook_notification_levels: list[Severity] | None = Field(None, max_length=10)
    model_membership: bool | None = None


class DeletionBody(BaseModel):
    """The name of the organization, which confirms that it is to be deleted; null: the query has it."""

    name: str | None = Field(None, max_length=1024)


class LimitsResponse(BaseModel):
    """How many objects the organization may have; null: any number."""

    max_models: int | None
    max_versions_per_model: int | None
    max_monitors: int | None
    max_rules: int | None
    max_receivers: int | None
    max_tokens: int | None
    max_users: int | None


class OrganizationResponse(BaseModel):
    """The organization, with the severities that its receivers get, or that later ones will get."""

    name: str
    is_slack_connected: bool
    is_webhook_connected: bool
    slack_notification_levels: list[Severity]
    email_notification_levels: list[Severity]
    webhook_notification_levels: list[Severity]
    model_membership: bool
    limits: LimitsResponse


class FeaturesResponse(BaseModel):
    """What the organization can use. rows_per_minute: null without a limit."""

    signup_enabled: bool
    slack_enabled: bool
    rows_per_minute: int | None
    onboarding_enabled: bool
    update_roles: bool
    model_assignment: bool
    email_enabled: bool


class InvitationResponse(BaseModel):
    """An invitation that is not accepted."""

    email: str
    role: Role
    invited_by: str | None
    created_at: Timestamp
    expires_at: Timestamp


class UnsentInvitation(BaseModel):
    """An invitation that could not be sent by e-mail, with its code."""

    email: str
    role: Role
    code: str
    expires_at: Timestamp
    reason: str = Field(alias="why")


class InvitedResponse(BaseModel):
    """The invitations to be handed over in another way."""

    invitations: list[UnsentInvitation]


@router.get("/organization", response_model=OrganizationResponse)
def show(access: Reader) -> dict[str, Any]:
    """Show the organization. The levels of Slack, e-mail and webhooks are those of the oldest such receiver."""
    with access.session() as session:
        current = notification_levels.current(session)
    with access.app.public() as session:
        is_restricted = organizations.has_model_membership(session, access.org.id)
        limits = object_limits.get(session, access.org.id)
    return {
        "name": access.org.name,
        "is_slack_connected": Channel.SLACK in current.connected,
        "is_webhook_connected": Channel.WEBHOOK in current.connected,
        "slack_notification_levels": current.levels.slack or [],
        "email_notification_levels": current.levels.email or [],
        "webhook_notification_levels": current.levels.webhook or [],
        "model_membership": is_restricted,
        "limits": limits,
    }


@router.put("/organization")
def change(access: Administrator, body: OrganizationBody) -> None:
    """Change the severities that receivers get, and whether models are shown to members only.

    The levels of Slack and e-mail are those of all such receivers, the levels of webhooks those of the oldest one. A
    receiver that is added later without levels gets them too.
    """
    with access.session() as session:
        wanted = NotificationLevels(
            body.slack_notification_levels, body.email_notification_levels, body.webhook_notification_levels
        )
        notification_levels.change(session, wanted)
    if body.model_membership is not None:
        with access.app.public() as session:
            organizations.set_model_membership(session, access.org.id, body.model_membership)
        access.app.admission_cache.forget_bearers()


@router.delete("/organization")
def delete(access: Owner, name: str | None = None, body: DeletionBody | None = None) -> None:
    """Delete the organization with all its data. Its name confirms it, in the body or in the query."""
    require_full_scope(access)
    confirmations = {name, body.name if body is not None else None} - {None}
    if confirmations != {access.org.name}:
        raise errors.InvalidInput(
            f"This deletes organization {access.org.name!r} with all its data. Add its name to confirm, in the body or"
            ' in the query: {"name": …} or ?name=….'
        )
    deletion.delete(access.app.engine, access.org)
    access.app.admission_cache.forget_bearers()


@router.get("/organization/members", response_model=list[MemberResponse])
def list_members(access: Administrator, page: Paged) -> list[dict[str, Any]]:
    """List the members: owners first, then admins, then others."""
    with access.app.public() as session:
        return [member_view(member) for member in page.of(members.entries(session, access.org.id))]


@router.delete("/organization/members/{member_id}")
def remove_member(access: Administrator, member_id: int) -> None:
    """Remove a member with all the member's tokens of this organization."""
    with access.app.public() as session:
        target = members.get(session, access.org.id, member_id)
        require_covered(access.bearer.permissions, target.role.permissions)
        members.require_removable(session, access.org.id, member_id)
    forget_models(access, member_id)
    with access.app.public() as session:
        members.remove(session, access.org.id, member_id)
    access.app.admission_cache.forget_bearers()


@router.post("/organization/leave")
def leave_organization(access: Identifier) -> None:
    """Leave the organization. The last owner can't."""
    require_full_scope(access)
    leave(access)


@router.get("/organization/available-features", response_model=FeaturesResponse)
def features(access: Identifier) -> dict[str, Any]:
    """Show what the organization can use."""
    with access.app.public() as session:
        is_restricted = organizations.has_model_membership(session, access.org.id)
    return {
        "signup_enabled": False,
        "slack_enabled": False,
        "rows_per_minute": access.limits.samples_per_minute,
        "onboarding_enabled": True,
        "update_roles": True,
        "model_assignment": is_restricted,
        "email_enabled": access.app.settings.smtp.host is not None,
    }


@router.put("/organization/invite", responses=MAY_CONFLICT, response_model=InvitedResponse | None)
@answers_with_secret  # codes of invitations, if they are not sent by e-mail
def invite(access: Administrator, body: InvitationBody) -> dict[str, Any] | None:
    """Invite people. The code of an invitation is sent by e-mail; the response has it if that is not possible."""
    require_covered(access.bearer.permissions, body.role.permissions)
    emails = [body.email] if isinstance(body.email, str) else body.email
    lifetime = None if body.ttl is None else timedelta(seconds=body.ttl)
    with access.app.public() as session:
        created = invitations.invite(session, access.org.id, access.email, emails, body.role, lifetime)
        invitations.hold_to(session, access.org.id, emails, access.bearer.role)
    unsent = [row for row in (_send(access, invited) for invited in created) if row is not None]
    return {"invitations": unsent} if unsent else None


def _send(access: Access, invited: Invited) -> dict[str, Any] | None:
    """Send an invitation; return it with its code if that failed."""
    settings, reason = access.app.settings, "No e-mail can be sent: DCMON_SMTP__HOST is not set."
    if settings.smtp.host is not None:
        email = InvitationEmail(
            invited.email, access.email, access.org.name, invited.code, invited.expires_at, settings.url
        )
        failure = invitation_email.send(settings.smtp, email, settings.webhooks.timeout)
        if failure is None:
            return None
        reason = failure
    expires_at = invited.expires_at.isoformat()
    return {"email": invited.email, "role": invited.role, "code": invited.code, "expires_at": expires_at, "why": reason}


@router.get("/organization/invitations", response_model=list[InvitationResponse])
def list_invitations(access: Administrator, page: Paged) -> list[dict[str, Any]]:
    """List the invitations that are not accepted, without their codes."""
    with access.app.public() as session:
        return [
            {
                "email": entry.email,
                "role": entry.role,
                "invited_by": entry.invited_by,
                "created_at": entry.created_at.isoformat(),
                "expires_at": entry.expires_at.isoformat(),
            }
            for entry in page.of(invitations.entries(session, access.org.id))
        ]


@router.delete("/organization/invitations", responses=NAMES_OBJECT)
def withdraw_invitation(access: Administrator, email: Annotated[str, Query(max_length=300)]) -> None:
    """Withdraw an invitation."""
    with access.app.public() as session:
        invitations.withdraw(session, access.org.id, email)

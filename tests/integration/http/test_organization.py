"""Members, invitations, tokens and models of members over HTTP, as owners, others and strangers use them."""

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email import message_from_string
from typing import Any

import pytest
from sqlalchemy import text

from dcmon import db
from dcmon.app import App
from dcmon.notifications import receivers
from dcmon.notifications.integrations.base import Address
from dcmon.notifications.receivers import Subscription
from dcmon.settings import Smtp
from dcmon.severity import Severity
from dcmon.storage import models
from dcmon.storage.models import NewModel
from dcmon.tenancy import members, tokens
from dcmon.tenancy.permissions import Role
from tests.conftest import Acme
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.waiting import eventually, is_waiting_for_a_lock
from tests.integration.notifications.test_integrations import mail_server

ALL = Subscription(severities=list(Severity))
Send = Callable[..., Any]


@pytest.fixture
def endpoint(app: App, acme: Acme) -> Iterator[Endpoint]:
    """Serve acme with its owner's token."""
    with serving(app, acme.token) as client:
        yield client


def _send(endpoint: Endpoint, method: str, path: str, body: Any = None, status: int = 200, token: str = "") -> Any:
    headers = {"authorization": f"Basic {token}"} if token else {}
    content = b"" if body is None else json.dumps(body).encode()
    response = endpoint.request(method, path, content, **{"content-type": "application/json", **headers})
    assert response.status == status, (method, path, response.status, response.data)
    return json.loads(response.data) if response.data[:1] in b'[{"ntf' and response.data else None


def _new_member(app: App, acme: Acme, role: Role, email: str = "") -> tuple[int, str]:
    with app.public() as session:
        user_id = members.add(session, acme.org.id, email or f"{role}@acme.example", role)
        return user_id, tokens.create(session, acme.org.id, user_id, "test")


def test_invited_person_becomes_member_once(endpoint: Endpoint) -> None:
    body = {"email": ["ann@acme.example"], "role": "viewer"}
    invited = _send(endpoint, "PUT", "organization/invite", body)["invitations"][0]
    _send(endpoint, "PUT", "organization/invite", body, 400)
    assert [entry["email"] for entry in _send(endpoint, "GET", "organization/invitations")] == ["ann@acme.example"]
    code = {"code": invited["code"], "full_name": "Ann"}
    accepted = _send(endpoint, "POST", "invitations/accept", code, 201, token="none")
    assert (accepted["organization"], accepted["role"]) == ("acme", "viewer")
    _send(endpoint, "POST", "invitations/accept", code, 401)
    shown = _send(endpoint, "GET", "users/me", token=accepted["token"])
    assert (shown["email"], shown["full_name"], shown["roles"]) == ("ann@acme.example", "Ann", ["viewer"])
    assert shown["organization"]["name"] == "acme"
    assert shown["permissions"] == ["look_up", "read"]


@pytest.mark.parametrize("email", ["x", [], ["ann@acme.example", "x"], "a b@acme.example", "a\0@acme.example", ""])
def test_invitation_that_does_not_fit_is_422(endpoint: Endpoint, email: Any) -> None:
    _send(endpoint, "PUT", "organization/invite", {"email": email}, 422)
    assert _send(endpoint, "GET", "organization/invitations") == []


def test_expired_invitation_is_refused_and_replaced(app: App, endpoint: Endpoint) -> None:
    """R12 of the old system: an invitation counted as expired only while it was valid."""
    body = {"email": "ann@acme.example", "ttl": 60}
    code = _send(endpoint, "PUT", "organization/invite", body)["invitations"][0]["code"]
    with app.public() as session:
        session.execute(text("update invitations set expires_at = now()"))
    _send(endpoint, "POST", "invitations/accept", {"code": code}, 401)
    assert _send(endpoint, "PUT", "organization/invite", body)["invitations"][0]["code"] != code


def test_removed_member_loses_tokens_role_and_models(app: App, acme: Acme, endpoint: Endpoint) -> None:
    """S3 of the old system: who was removed and invited again kept the former role."""
    user_id, token = _new_member(app, acme, Role.ADMIN)
    with app.org(acme.org) as session:
        models.create(session, NewModel("credit", "binary", members=[user_id]))
    _send(endpoint, "GET", "organization/members", token=token)
    _send(endpoint, "DELETE", f"organization/members/{user_id}")
    _send(endpoint, "GET", "organization/members", token=token, status=401)
    _send(endpoint, "DELETE", f"organization/members/{user_id}", status=404)
    invited = _send(endpoint, "PUT", "organization/invite", {"email": "admin@acme.example"})["invitations"][0]
    accepted = _send(endpoint, "POST", "invitations/accept", {"code": invited["code"]}, 201)
    assert _send(endpoint, "GET", "users/me", token=accepted["token"])["role"] == "member"
    with db.org_session(app.engine, acme.org) as session:
        assert session.scalar(text("select count(*) from model_members")) == 0


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "organization/leave", None),
        ("DELETE", "users", None),
        ("DELETE", "organization/members/1", None),
        ("PUT", "users/1/roles", {"roles": ["admin"]}),
    ],
)
def test_last_owner_stays_owner(endpoint: Endpoint, method: str, path: str, body: Any) -> None:
    _send(endpoint, method, path, body, 400)
    assert _send(endpoint, "GET", "users/me")["roles"] == ["owner"]


def test_member_leaves_and_account_is_deleted(app: App, acme: Acme, endpoint: Endpoint) -> None:
    """R12 of the old system: both always failed with 500."""
    for path, method, role in (("organization/leave", "POST", Role.MEMBER), ("users", "DELETE", Role.VIEWER)):
        _, token = _new_member(app, acme, role)
        _send(endpoint, method, path, token=token)
        _send(endpoint, "GET", "users/me", token=token, status=401)
    assert [member["role"] for member in _send(endpoint, "GET", "organization/members")] == ["owner"]


def test_role_change_takes_effect_at_once(app: App, acme: Acme, endpoint: Endpoint) -> None:
    user_id, token = _new_member(app, acme, Role.MEMBER)
    _send(endpoint, "GET", "organization/members", token=token, status=403)
    changed = _send(endpoint, "PUT", f"users/{user_id}/roles", {"roles": ["admin"]})
    assert (changed["roles"], changed["email"]) == (["admin"], "member@acme.example")
    _send(endpoint, "GET", "organization/members", token=token)
    assert _send(endpoint, "PUT", f"users/{user_id}/roles", {"roles": []})["roles"] == []
    _send(endpoint, "PUT", "users/99/roles", {"roles": []}, 404)


def test_members_of_a_model_need_model_and_users(app: App, acme: Acme, endpoint: Endpoint) -> None:
    user_id, _ = _new_member(app, acme, Role.MEMBER)
    model_id = _send(endpoint, "POST", "models", {"name": "m", "task_type": "binary"})["id"]
    for ids in ([], [user_id]):
        _send(endpoint, "POST", "models/99/members", {"user_ids": ids}, 404)
    refused = _send(endpoint, "POST", f"models/{model_id}/members", {"user_ids": [user_id, 99]}, 404)
    assert "99" in refused["error_message"]
    _send(endpoint, "POST", f"models/{model_id}/members", {"user_ids": [user_id, user_id]})
    with db.org_session(app.engine, acme.org) as session:
        assert session.scalars(text("select user_id from model_members")).all() == [user_id]


def test_token_gives_no_more_than_its_creator_has(app: App, acme: Acme, endpoint: Endpoint) -> None:
    owner_id = _send(endpoint, "GET", "users/me")["id"]
    admin_id, admin = _new_member(app, acme, Role.ADMIN)
    _, viewer = _new_member(app, acme, Role.VIEWER)
    read = _send(endpoint, "POST", "tokens", {"name": "read", "scope": "read"}, 201)["token"]
    _send(endpoint, "POST", "models", {"name": "m", "task_type": "binary"}, 403, read)
    _send(endpoint, "POST", "tokens", {"name": "more"}, 403, read)
    _send(endpoint, "POST", "tokens", {"name": "x", "user_id": owner_id}, 403, admin)
    _send(endpoint, "POST", "tokens", {"name": "x", "user_id": admin_id}, 404, viewer)
    _send(endpoint, "PUT", "organization/invite", {"email": "x@acme.example", "role": "owner"}, 403, admin)
    _send(endpoint, "DELETE", f"organization/members/{owner_id}", status=403, token=admin)
    assert _send(endpoint, "POST", "tokens", {"name": "mine"}, 201, viewer)["user"] == "viewer@acme.example"


def test_token_of_another_person_stays_within_its_role(app: App, acme: Acme, endpoint: Endpoint) -> None:
    """An admin who made a token for a member is no owner when the member becomes one, nor by what that token makes."""
    owner_id = _send(endpoint, "GET", "users/me")["id"]
    _, admin = _new_member(app, acme, Role.ADMIN)
    member_id, own = _new_member(app, acme, Role.MEMBER)
    given = _send(endpoint, "POST", "tokens", {"name": "given", "user_id": member_id}, 201, admin)["token"]
    made = _send(endpoint, "POST", "tokens", {"name": "made"}, 201, given)["token"]
    renewed = _send(endpoint, "POST", "users/regenerate-api-token", token=made)
    by_owner = _send(endpoint, "POST", "tokens", {"name": "by an owner", "user_id": member_id}, 201)["token"]
    _send(endpoint, "PUT", f"users/{member_id}/roles", {"roles": ["owner"]})
    made_later = _send(endpoint, "POST", "tokens", {"name": "later"}, 201, given)["token"]
    for token in (given, renewed, made_later):
        shown = _send(endpoint, "GET", "users/me", token=token)
        assert (shown["role"], shown["permissions"][0]) == ("owner", "administer")
        assert "own" not in shown["permissions"]
        _send(endpoint, "PUT", f"users/{member_id}/roles", {"roles": []}, 403, token)
        _send(endpoint, "POST", "tokens", {"name": "x", "user_id": owner_id}, 403, token)
    for token in (own, by_owner):
        assert "own" in _send(endpoint, "GET", "users/me", token=token)["permissions"]
    listed = {entry["name"]: entry["highest_role"] for entry in _send(endpoint, "GET", "tokens", token=own)}
    assert (listed["given"], listed["later"], listed["by an owner"]) == ("admin", "admin", None)


def test_first_token_stays_within_the_role_of_the_inviter(app: App, acme: Acme, endpoint: Endpoint) -> None:
    """Without a mail server, who invites sees the code, and can take the token that it gives."""
    _, admin = _new_member(app, acme, Role.ADMIN)
    for inviter, owns in ((admin, False), ("", True)):
        email = f"new-{owns}@acme.example"
        invited = _send(endpoint, "PUT", "organization/invite", {"email": email}, token=inviter)["invitations"][0]
        token = _send(endpoint, "POST", "invitations/accept", {"code": invited["code"]}, 201)["token"]
        user_id = _send(endpoint, "GET", "users/me", token=token)["id"]
        _send(endpoint, "PUT", f"users/{user_id}/roles", {"roles": ["owner"]})
        assert ("own" in _send(endpoint, "GET", "users/me", token=token)["permissions"]) == owns


def test_invitation_by_mail_is_accepted_by_its_code(app: App, acme: Acme, endpoint: Endpoint) -> None:
    """The response has no code, and what a refusing server does not take is in the response."""
    with mail_server(refuse="gone@acme.example") as server:
        smtp = Smtp(host="127.0.0.1", port=server.port, security="none", sender="dcmon@acme.example")
        mailing = App(app.settings.model_copy(update={"smtp": smtp}), app.output)
        with mailing, serving(mailing, acme.token) as client:
            emails = ["ann@acme.example", "gone@acme.example"]
            unsent = _send(client, "PUT", "organization/invite", {"email": emails, "role": "viewer"})["invitations"]
            assert [row["email"] for row in unsent] == ["gone@acme.example"]
            assert "550" in unsent[0]["why"]
            (mail,) = server.mails
            assert "To: ann@acme.example" in mail
            text_part = message_from_string(mail).get_payload(decode=True)
            assert isinstance(text_part, bytes)
            (code,) = set(re.findall(r"inv_[\w-]+", text_part.decode()))
            assert unsent[0]["code"] != code
            accepted = _send(client, "POST", "invitations/accept", {"code": code}, 201, token="none")
            shown = _send(client, "GET", "users/me", token=accepted["token"])
            assert (shown["email"], shown["role"]) == ("ann@acme.example", "viewer")
            _send(client, "POST", "invitations/accept", {"code": code}, 401)


def test_roles_are_added_to_those_that_are_locked(app: App, acme: Acme, endpoint: Endpoint) -> None:
    """An admin who is made a viewer meanwhile is no admin again, as if the present role had been read before."""
    user_id, _ = _new_member(app, acme, Role.ADMIN)
    path = f"users/{user_id}/roles"
    assert _send(endpoint, "PUT", path, {"roles": [], "replace": False})["role"] == "admin"
    assert _send(endpoint, "PUT", path, {"roles": ["viewer"], "replace": False})["role"] == "admin"
    with ThreadPoolExecutor() as pool:
        with app.public() as session:
            members.set_role(session, acme.org.id, user_id, Role.INGESTER)
            added = pool.submit(_send, endpoint, "PUT", path, {"roles": ["viewer"], "replace": False})
            assert eventually(lambda: is_waiting_for_a_lock(app.engine))
        assert added.result()["role"] == "viewer"
    _send(endpoint, "PUT", "users/99/roles", {"roles": ["viewer"], "replace": False}, 404)


def test_token_is_listed_and_revoked_by_its_prefix(app: App, acme: Acme, endpoint: Endpoint) -> None:
    _, viewer = _new_member(app, acme, Role.VIEWER)
    created = _send(endpoint, "POST", "tokens", {"name": "service", "scope": "ingest", "expires_in_days": 30}, 201)
    assert created["token"].startswith(created["prefix"])
    listed = {entry["prefix"]: entry for entry in _send(endpoint, "GET", "tokens")}
    assert (listed[created["prefix"]]["scope"], len(listed)) == ("ingest", 3)
    assert [entry["prefix"] for entry in _send(endpoint, "GET", "tokens", token=viewer)] == [viewer[:14]]
    _send(endpoint, "DELETE", f"tokens/{created['prefix']}", status=404, token=viewer)
    _send(endpoint, "GET", "say-hello", token=created["token"])
    _send(endpoint, "DELETE", f"tokens/{created['prefix']}")
    _send(endpoint, "GET", "say-hello", status=401, token=created["token"])


def test_token_is_replaced_by_post_only(endpoint: Endpoint) -> None:
    """S9 of the old system: a GET, which a link or a prefetch can send, replaced the token."""
    _send(endpoint, "GET", "users/regenerate-api-token", status=405)
    new = _send(endpoint, "POST", "users/regenerate-api-token")
    _send(endpoint, "GET", "say-hello", status=401)
    _send(endpoint, "GET", "say-hello", token=new)


def test_member_of_models_sees_only_these(app: App, acme: Acme, endpoint: Endpoint) -> None:
    user_id, token = _new_member(app, acme, Role.MEMBER)
    bodies = [{"name": name, "task_type": "binary"} for name in ("seen", "hidden")]
    seen, hidden = (_send(endpoint, "POST", "models", body)["id"] for body in bodies)
    _send(endpoint, "GET", f"models/{hidden}", token=token)
    _send(endpoint, "PUT", "organization", {"model_membership": True})
    _send(endpoint, "GET", f"models/{seen}", token=token, status=404)
    _send(endpoint, "POST", f"users/{user_id}/models", {"models": [{"id": seen, "notify": False}]})
    _send(endpoint, "GET", f"models/{seen}", token=token)
    _send(endpoint, "GET", f"models/{hidden}?model_id={seen}", token=token, status=404)
    _send(endpoint, "PUT", f"model/{hidden}/labels", [{"_dc_sample_id": "1"}], 404, token)
    _send(endpoint, "POST", "models", {"name": "hidden", "task_type": "binary"}, 400, token)
    own = _send(endpoint, "POST", "models", {"name": "own", "task_type": "binary"}, token=token)["id"]
    _send(endpoint, "GET", f"models/{own}/notes", token=token)
    _send(endpoint, "POST", f"models/{hidden}/members", {"user_ids": [user_id], "replace": False})
    _send(endpoint, "GET", f"models/{hidden}", token=token)
    _send(endpoint, "POST", f"models/{hidden}/members", {"user_ids": []})
    _send(endpoint, "GET", f"models/{hidden}", token=token, status=404)
    _send(endpoint, "GET", f"models/{hidden}")


@pytest.mark.parametrize("is_in_body", [True, False])
def test_organization_is_deleted_with_its_name_only(app: App, acme: Acme, endpoint: Endpoint, is_in_body: bool) -> None:
    _, admin = _new_member(app, acme, Role.ADMIN)
    _send(endpoint, "DELETE", "organization?name=acme", status=403, token=admin)
    _send(endpoint, "DELETE", "organization", status=400)
    _send(endpoint, "DELETE", "organization?name=acm", status=400)
    _send(endpoint, "DELETE", "organization", {"name": "acm"}, 400)
    _send(endpoint, "DELETE", "organization?name=acme", {"name": "acm"}, 400)
    _send(endpoint, "DELETE", "organization", {"name": "acme"} if is_in_body else None, 200 if is_in_body else 400)
    if not is_in_body:
        _send(endpoint, "DELETE", "organization?name=acme")
    _send(endpoint, "DELETE", "organization?name=acme", status=401)
    with app.public() as session:
        assert session.scalar(text("select to_regnamespace(:name)"), {"name": acme.org.schema}) is None


def test_organization_shows_its_state(endpoint: Endpoint) -> None:
    shown = _send(endpoint, "GET", "organization")
    assert (shown["name"], shown["is_slack_connected"], shown["webhook_notification_levels"]) == ("acme", False, [])
    assert (shown["limits"]["max_models"], shown["limits"]["max_monitors"], len(shown["limits"])) == (1000, 50_000, 7)
    features = _send(endpoint, "GET", "organization/available-features")
    assert (features["model_assignment"], features["email_enabled"]) == (False, False)
    assert _send(endpoint, "GET", "users/complete-details")["organization_name"] == "acme"
    assert set(_send(endpoint, "GET", "configurations").values()) == {None, False}


def test_levels_are_kept_for_receivers_that_come_later(app: App, acme: Acme, endpoint: Endpoint) -> None:
    """A set-up script of the old system chooses levels before it adds a webhook."""
    chosen = {f"{name}_notification_levels": ["high", "critical"] for name in ("slack", "email", "webhook")}
    _send(endpoint, "PUT", "organization", chosen)
    shown = _send(endpoint, "GET", "organization")
    assert {name: shown[name] for name in chosen} == chosen
    assert (shown["is_slack_connected"], shown["is_webhook_connected"]) == (False, False)
    _send(endpoint, "PUT", "organization", {"email_notification_levels": ["low"]})
    url = "https://hooks.slack.com/services/T0/B0/x"
    with app.org(acme.org) as session:
        added = [
            receivers.add(session, "slack", Address("slack", [url]), app.settings.webhooks),
            receivers.add(session, "mail", Address("email", ["ann@acme.example"]), app.settings.webhooks),
            receivers.add(session, "own", Address("email", ["bob@acme.example"]), app.settings.webhooks, ALL),
        ]
        assert [receiver.severities for receiver, _ in added] == [["high", "critical"], ["low"], list(Severity)]
    body = {"kind": "STANDARD", "http_url": "https://hooks.example.org/x", "http_method": "POST"}
    ids = [_send(endpoint, "POST", "alert-webhooks", {**body, "name": name}, 201)["id"] for name in ("a", "b")]
    levels = [_send(endpoint, "GET", f"alert-webhooks/{number}")["notification_levels"] for number in ids]
    assert levels == [["high", "critical"], ["critical", "high", "medium"]]
    assert _send(endpoint, "GET", "organization")["is_slack_connected"]


def test_no_levels_are_no_choice_for_later_receivers(app: App, acme: Acme, endpoint: Endpoint) -> None:
    for levels in (["high"], []):
        _send(endpoint, "PUT", "organization", {"webhook_notification_levels": levels})
    with app.org(acme.org) as session:
        added = receivers.add(session, "hook", "https://hooks.example.org/x", app.settings.webhooks)
        assert added.receiver.severities == list(Severity)


@pytest.mark.parametrize("path", ["slack.authorize", "slack.install", "slack/apps", "users/accept-eula"])
def test_route_that_is_not_built_says_what_to_use(endpoint: Endpoint, path: str) -> None:
    assert "dcmon has no" in _send(endpoint, "GET", path, status=404)["error_message"]
    _send(endpoint, "GET", path, status=401, token="wrong")
    assert "Send a token" in _send(endpoint, "GET", "auth/login/auth0", status=404, token="wrong")["error_message"]


def test_page_of_invitations_shows_the_token_once(endpoint: Endpoint) -> None:
    invited = _send(endpoint, "PUT", "organization/invite", {"email": "ann@acme.example"})["invitations"][0]
    url = endpoint.url + "/invitation"
    assert b"<form" in endpoint.pool.request("GET", url).data
    fields = {"code": invited["code"], "full_name": "Ann"}
    accepted = endpoint.pool.request("POST", url, fields=fields, encode_multipart=False)
    assert accepted.status == 200
    token = accepted.data.decode().split("<pre>")[1].split("</pre>")[0]
    assert _send(endpoint, "GET", "users/me", token=token)["full_name"] == "Ann"
    assert endpoint.pool.request("POST", url, fields=fields, encode_multipart=False).status == 401

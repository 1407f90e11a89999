"""Tokens: whom they belong to, and what they permit."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from dcmon import db, errors
from dcmon.tenancy import tokens
from dcmon.tenancy.permissions import Permission, Role, Scope
from dcmon.tenancy.tokens import Bearer
from tests.conftest import Acme


def _authenticate(engine: Engine, token: str) -> Bearer:
    with db.public_session(engine) as session:
        return tokens.authenticate(session, token)


def _change(engine: Engine, statement: str) -> None:
    with db.public_session(engine) as session:
        session.execute(text(statement))


def test_bearer_has_permissions_of_role_and_scope(engine: Engine, acme: Acme) -> None:
    bearer = _authenticate(engine, acme.token)
    assert (bearer.role, bearer.scope, bearer.permissions) == (Role.OWNER, Scope.FULL, frozenset(Permission))
    _change(engine, "update members set role = 'member'")
    with db.public_session(engine) as session:
        ingest = tokens.create(session, acme.org.id, bearer.user_id, "service", scope=Scope.INGEST)
    assert _authenticate(engine, ingest).permissions == {Permission.LOOK_UP, Permission.INGEST}


def test_bearer_is_held_to_own_models_if_membership_is_on(engine: Engine, acme: Acme) -> None:
    _change(engine, "update members set role = 'viewer'")
    assert _authenticate(engine, acme.token).member is None
    _change(engine, "update organizations set model_membership = true")
    bearer = _authenticate(engine, acme.token)
    assert bearer.member == bearer.user_id
    _change(engine, "update members set role = 'admin'")
    assert _authenticate(engine, acme.token).member is None


def test_token_of_removed_member_is_refused(engine: Engine, acme: Acme) -> None:
    _change(engine, "delete from members")
    with pytest.raises(errors.NotAuthenticated):
        _authenticate(engine, acme.token)


def test_name_of_an_expired_token_is_free(engine: Engine, acme: Acme) -> None:
    """It means the live token from then on, and the expired ones where there is no other."""
    _change(engine, "update tokens set name = 'ci', expires_at = now() - interval '1 s'")
    with db.public_session(engine) as session:
        expired = tokens.find_named(session, acme.org.id, "ci").prefix
        owner = tokens.owner_of(session, acme.org.id, expired)
        tokens.require_free_name(session, acme.org.id, "ci")
        live = tokens.create(session, acme.org.id, owner, "ci", timedelta(days=1))
        assert tokens.find_named(session, acme.org.id, "ci").prefix == live[:14] != expired
        with pytest.raises(errors.Conflict):
            tokens.require_free_name(session, acme.org.id, "ci")


@pytest.mark.parametrize("lifetime", [timedelta(), timedelta(seconds=-1)])
def test_token_without_a_lifetime_is_refused(engine: Engine, acme: Acme, lifetime: timedelta) -> None:
    """It would have been a token that never expires."""
    owner = _authenticate(engine, acme.token).user_id
    with db.public_session(engine) as session, pytest.raises(errors.InvalidInput, match="longer than 0"):
        tokens.create(session, acme.org.id, owner, "x", lifetime)

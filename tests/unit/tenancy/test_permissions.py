"""What roles and scopes permit."""

import pytest

from dcmon.tenancy.permissions import Permission, Role, Scope, granted

LOOK_UP, INGEST, READ, WRITE, ADMINISTER, OWN = Permission


@pytest.mark.parametrize(
    ("role", "scope", "expected"),
    [
        (Role.OWNER, Scope.FULL, set(Permission)),
        (Role.ADMIN, Scope.FULL, {LOOK_UP, INGEST, READ, WRITE, ADMINISTER}),
        (Role.MEMBER, Scope.FULL, {LOOK_UP, INGEST, READ, WRITE}),
        (Role.VIEWER, Scope.FULL, {LOOK_UP, READ}),
        (Role.INGESTER, Scope.FULL, {LOOK_UP, INGEST}),
        (Role.OWNER, Scope.READ, {LOOK_UP, READ}),
        (Role.OWNER, Scope.INGEST, {LOOK_UP, INGEST}),
        (Role.VIEWER, Scope.INGEST, {LOOK_UP}),
        (Role.INGESTER, Scope.READ, {LOOK_UP}),
    ],
)
def test_token_permits_what_role_and_scope_permit(role: Role, scope: Scope, expected: set[Permission]) -> None:
    assert granted(role, scope) == expected


def test_models_are_all_seen_by_administrators_only() -> None:
    assert {role for role in Role if role.sees_all_models} == {Role.OWNER, Role.ADMIN}

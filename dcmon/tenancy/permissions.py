"""What roles of members and scopes of tokens permit. A request needs the permission of its route from both."""

from enum import StrEnum

from dcmon import errors


class Permission(StrEnum):
    """What a route, or a command, lets its caller do.

    LOOK_UP: find models and versions by name or id, with their columns, as a client does before it logs rows.
    """

    LOOK_UP = "look_up"
    INGEST = "ingest"
    READ = "read"
    WRITE = "write"
    ADMINISTER = "administer"
    OWN = "own"


class Role(StrEnum):
    """The role of a member in an organization."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"
    INGESTER = "ingester"

    @property
    def permissions(self) -> frozenset[Permission]:
        """What a member with this role may do."""
        return _OF_ROLES[self]

    @property
    def sees_all_models(self) -> bool:
        """Whether the role shows all models also where an organization shows models to their members only."""
        return Permission.ADMINISTER in self.permissions


class Scope(StrEnum):
    """What a token may do of what its user's role permits.

    FULL: all of it; READ: look up and read; INGEST: look up and log rows.
    """

    FULL = "full"
    READ = "read"
    INGEST = "ingest"

    @property
    def permissions(self) -> frozenset[Permission]:
        """What a token with this scope may do, if the role of its user permits it."""
        return _OF_SCOPES[self]


def granted(role: Role, scope: Scope) -> frozenset[Permission]:
    """Return what a token with a scope may do for a member with a role."""
    return role.permissions & scope.permissions


def held_to(role: Role, highest: Role | None) -> Role:
    """Return a role, or `highest` if that has fewer permissions; None: no limit."""
    return role if highest is None else max(role, highest, key=list(Role).index)


def parse_role(name: str) -> Role:
    """Return the role of that name. Raises InvalidInput."""
    try:
        return Role(name)
    except ValueError as error:
        raise errors.UnknownChoice("role", name, Role) from error


def require_covered(own: frozenset[Permission], given: frozenset[Permission]) -> None:
    """Check that a caller gives, or takes from others, no more permissions than its own. Raises NotAllowed."""
    if missing := given - own:
        names = ", ".join(permission for permission in Permission if permission in missing)
        raise errors.NotAllowed(
            f"Your token does not have all the permissions that this is about: {names}. Ask an owner."
        )


_MEMBER = frozenset({Permission.LOOK_UP, Permission.INGEST, Permission.READ, Permission.WRITE})
_OF_ROLES = {
    Role.OWNER: frozenset(Permission),
    Role.ADMIN: _MEMBER | {Permission.ADMINISTER},
    Role.MEMBER: _MEMBER,
    Role.VIEWER: frozenset({Permission.LOOK_UP, Permission.READ}),
    Role.INGESTER: frozenset({Permission.LOOK_UP, Permission.INGEST}),
}
_OF_SCOPES = {
    Scope.FULL: frozenset(Permission),
    Scope.READ: _OF_ROLES[Role.VIEWER],
    Scope.INGEST: _OF_ROLES[Role.INGESTER],
}

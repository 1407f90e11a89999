"""How many objects an organization may have. Triggers hold the limits (db.object_limits)."""

from collections.abc import Mapping
from dataclasses import asdict

from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db.object_limits import NAMES as NAMES
from dcmon.db.tables.public import Organization as OrganizationRow
from dcmon.tenancy import organizations

LARGEST = 2**31 - 1


def get(session: Session, org_id: int) -> dict[str, int | None]:
    """Return the limits of an organization, which must exist, by name; None: no limit."""
    limits = organizations.entry(session.get_one(OrganizationRow, org_id)).object_limits
    return {} if limits is None else asdict(limits)


def change(session: Session, org_id: int, limits: Mapping[str, int | None]) -> dict[str, int | None]:
    """Set limits by name; None removes a limit. Objects above a new limit stay.

    Raises InvalidInput for a limit that is not above 0.
    """
    org = session.get_one(OrganizationRow, org_id)
    for name, limit in limits.items():
        if limit is not None and not 0 < limit <= LARGEST:
            raise errors.InvalidInput(f"A limit is a number from 1 to {LARGEST:,}, or none, not {limit}.")
        setattr(org, name, limit)
    session.flush()
    return get(session, org_id)

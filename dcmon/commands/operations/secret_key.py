"""Encrypt stored secrets with the newest key."""

from typing import TYPE_CHECKING, Any

from dcmon import errors
from dcmon.db import encryption
from dcmon.ingestion.files import store_keys
from dcmon.notifications import receivers
from dcmon.tenancy import organizations

if TYPE_CHECKING:
    from dcmon.app import App


def rotate(app: "App") -> list[dict[str, Any]]:
    """Encrypt the secrets of each organization with the newest key, in a transaction each.

    It can be repeated after a failure. Raises InvalidInput without a key or its library, and SecretUnreadable.
    """
    with app.public() as session:
        orgs = organizations.entries(session)
    if not encryption.has_keys():
        encryption.require_library('"dcmon secret-key rotate"')
        raise errors.InvalidInput(
            'DCMON_SECRET_KEYS has no key. "dcmon secret-key create" prints one; all processes need it.'
        )
    rows = []
    for org in orgs:
        with app.org(org) as session:
            counts = {
                "receivers": receivers.renew_encryption(session),
                "store_keys": store_keys.renew_encryption(session),
            }
            rows.append({"organization": org.name, **counts})
    return rows

"""An organization's own keys of object stores, with which its sources are read. They are never shown again."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dcmon import errors, file_errors
from dcmon.db import encryption
from dcmon.db.tables.org import StoreKeys
from dcmon.ingestion.files.locations import AccessKeys
from dcmon.settings import S3

S3_TYPE = "s3"
ACCESS_KEY_ID, SECRET_ACCESS_KEY, REGION = "aws_access_key_id", "aws_secret_access_key", "region"
PARAMETERS = (ACCESS_KEY_ID, SECRET_ACCESS_KEY, REGION)
MASK = "********"
SHOWN_CHARACTERS = 4  # of the id of an access key, so that keys can be told from each other
MAX_KEY_LENGTH = 256
KEY = re.compile(r"[!-~]+")  # without spaces
REGION_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")  # it becomes a part of a host's name


class StoredKeys(NamedTuple):
    """Keys that were stored. `is_new`: False if they replaced other keys."""

    id: int
    is_new: bool


def parse(session: Session, store_type: str, parameters: Mapping[str, Any]) -> AccessKeys:
    """Return the keys of a request. A part that is masked as `describe` masks it stays as it is stored.

    Raises InvalidInput for another type than s3, and for other parameters than its three.
    """
    if store_type != S3_TYPE:
        raise errors.InvalidInput(f"There is no data source of type {store_type[:60]!r}: the only type is {S3_TYPE}.")
    if set(parameters) != set(PARAMETERS):
        raise errors.InvalidInput(f"A data source of type {S3_TYPE} has the parameters {', '.join(PARAMETERS)}.")
    stored = _find(session)
    shown = {} if stored is None else _shown(stored)
    given = {name: str(value) for name, value in parameters.items()}
    if stored is not None:
        attributes = {ACCESS_KEY_ID: "access_key_id", SECRET_ACCESS_KEY: "secret_access_key"}
        given |= {name: getattr(stored, attributes[name]) for name in attributes if given[name] == shown[name]}
    return create(given[ACCESS_KEY_ID], given[SECRET_ACCESS_KEY], given[REGION])


def create(access_key_id: str, secret_access_key: str, region: str) -> AccessKeys:
    """Return keys of S3. Raises InvalidInput if no store could have them."""
    keys = AccessKeys(access_key_id, secret_access_key, region)
    for name, key in ((ACCESS_KEY_ID, keys.access_key_id), (SECRET_ACCESS_KEY, keys.secret_access_key)):
        if not KEY.fullmatch(key) or len(key) > MAX_KEY_LENGTH:
            raise errors.InvalidInput(f"{name} has 1 to {MAX_KEY_LENGTH} ASCII characters, and no spaces.")
        if set(key) == {"*"}:
            raise errors.InvalidInput(f"{name} is masked: send the key itself.")
    if not REGION_NAME.fullmatch(keys.region):
        raise errors.InvalidInput(
            f"{keys.region[:60]!r} is not a region like eu-central-1: 1 to 63 lower-case letters, digits and hyphens."
        )
    return keys


def require_known(keys: AccessKeys, s3_settings: S3) -> None:
    """Ask the object store whether it knows keys. Raises OwnKeysRefused or Unreachable."""
    from dcmon.ingestion.files import s3  # imports botocore, which only buckets need

    s3.require_known(keys, s3_settings)


def put(session: Session, keys: AccessKeys) -> StoredKeys:
    """Store the keys of the organization in place of those that it has."""
    is_new = False
    while (stored := session.scalar(select(StoreKeys).where(StoreKeys.type == S3_TYPE).with_for_update())) is None:
        # Of two requests at once, the second one waits here, and then replaces the keys of the first; if these were
        # deleted meanwhile, it begins again.
        values = {
            "type": S3_TYPE,
            "stored_access_key_id": encryption.encrypt(keys.access_key_id.encode()).decode(),
            "stored_secret_access_key": encryption.encrypt(keys.secret_access_key.encode()).decode(),
            "region": keys.region,
        }
        inserted = insert(StoreKeys).values(values).on_conflict_do_nothing().returning(StoreKeys.id)
        is_new = session.scalar(inserted) is not None
    stored.access_key_id, stored.secret_access_key = keys.access_key_id, keys.secret_access_key
    stored.region = keys.region
    session.flush()
    return StoredKeys(stored.id, is_new)


def of_organization(session: Session) -> AccessKeys | None:
    """Return the organization's own keys, or None. Raises SecretUnreadable or OwnKeysLeftOut."""
    stored = _find(session)
    if stored is None:
        return None
    if not stored.access_key_id:
        raise file_errors.OwnKeysLeftOut
    return AccessKeys(stored.access_key_id, stored.secret_access_key, stored.region)


def entries(session: Session) -> list[StoreKeys]:
    """Return the keys of all types, the oldest first."""
    return list(session.scalars(select(StoreKeys).order_by(StoreKeys.id)))


def describe(stored: StoreKeys) -> dict[str, Any]:
    """Return stored keys as the old API shows them, but masked."""
    return {"id": stored.id, "type": stored.type, "parameters": _shown(stored)}


def delete(session: Session, keys_id: int | None = None) -> None:
    """Delete the keys with an id; None: those of S3. Raises NotFound."""
    condition = StoreKeys.type == S3_TYPE if keys_id is None else StoreKeys.id == keys_id
    stored = session.scalar(select(StoreKeys).where(condition).with_for_update())
    if stored is None:
        named = "The organization has no keys" if keys_id is None else f"There is no data source {keys_id}"
        raise errors.NotFound(f'{named}: "dcmon source set-keys" stores some.')
    session.delete(stored)
    session.flush()


def renew_encryption(session: Session) -> int:
    """Encrypt all keys with the newest key of the settings; return how many changed. Raises SecretUnreadable."""
    stored = session.scalars(select(StoreKeys).order_by(StoreKeys.id).with_for_update()).all()
    return sum(map(encryption.renew, stored))


def _find(session: Session) -> StoreKeys | None:
    return session.scalar(select(StoreKeys).where(StoreKeys.type == S3_TYPE))


def _shown(stored: StoreKeys) -> dict[str, str]:
    try:
        key_id = stored.access_key_id
        ending = key_id[-SHOWN_CHARACTERS:] if len(key_id) >= 4 * SHOWN_CHARACTERS else ""
    except errors.SecretUnreadable:
        ending = ""
    return {ACCESS_KEY_ID: MASK + ending, SECRET_ACCESS_KEY: MASK, REGION: stored.region}

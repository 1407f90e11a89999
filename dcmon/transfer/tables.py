"""What is in a file: the one list to change when a table needs more than a copy of its rows.

Every table of an organization's schema is in the file, with all columns, unless it is named here. A test checks that
each table of "public" is in exactly one of the groups below.
"""

from collections.abc import Mapping
from enum import StrEnum


class SecretKind(StrEnum):
    """How a secret is stored in its column (dcmon.db.encryption)."""

    TEXT = "text"
    BYTES = "bytes"
    JSON = "json"


# Of an organization's schema.
NOT_EXPORTED: Mapping[str, str] = {
    "idempotency_keys": "of the last hours; its stored responses may have new tokens in clear",
    "receiver_probes": "whether a receiver is reached is found out again",
    "receiver_tests": "a test of a receiver waits some seconds for its outcome",
    "alembic_version": "the revision is in the manifest",
}
# The numbers of run-time tables are unique in a database, so another database gives new ones.
NUMBERED: Mapping[str, str] = {"models": "relation", "versions": "relation"}
# The ids of users differ between databases: in the file, these columns have e-mail addresses.
USER_IDS: Mapping[str, str] = {"model_members": "user_id"}
SECRETS: Mapping[str, Mapping[str, SecretKind]] = {
    "webhooks": {
        "url": SecretKind.TEXT,
        "secret": SecretKind.BYTES,
        "old_secret": SecretKind.BYTES,
        "options": SecretKind.JSON,
        "credentials": SecretKind.JSON,
    },
    "store_keys": {"access_key_id": SecretKind.TEXT, "secret_access_key": SecretKind.TEXT},
}
# Columns with another value where the secrets are left out: a receiver without its address must not be tried.
WITHOUT_SECRETS: Mapping[str, Mapping[str, str]] = {"webhooks": {"is_active": "f"}}
# The organization's position in Kafka has a meaning only under its id, and in its installation. An organization that
# moves gets another id, to which no message was ever addressed.
POSITIONS: Mapping[str, tuple[str, ...]] = {
    "ingest_offsets": (),  # all of it
    "batches": ("topic_id", "partition", "first_offset", "next_offset"),
}

# Of "public": rows of an organization, in its part of the file.
OF_ORGANIZATION = ("organizations", "members", "tokens", "invitations")
# Tables that a backup has completely; the file of one organization has its entries of the log of changes.
SHARED = (
    "users", "ingest_topics", "committed_offsets", "ingest_spans", "parked_messages", "dead_letters", "audit_log",
)  # fmt: skip
NOT_BACKED_UP: Mapping[str, str] = {
    "work_queue": "hints; all organizations are queued after a restore",
    "workers": "heartbeats of processes that run now",
    "scheduler_runs": "the last runs of periodic jobs",
    "problems": "found again by the scheduler",
    "organization_health": "read again by the next health check",
    "signing_keys": "random; each database has its own",
    "failed_logins": "counts of the last hours",
    "alembic_version": "the revision is in the manifest",
}


def changed_columns(table: str) -> set[str]:
    """Return the columns of a table that differ between database and file, and are not in the checksum of its rows."""
    return {*SECRETS.get(table, ()), *WITHOUT_SECRETS.get(table, ()), *filter(None, [USER_IDS.get(table)])}

"""What deleted organizations have left in a database: whether a backup fits over it, and how it is put there.

Users, positions in Kafka, dead letters and the log of changes outlive their organizations. Where no organization is,
those of the backup take their place, except for the log of changes: its entries stay, those of the backup are added.
"""

from collections.abc import Collection, Mapping

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.db import Organization, locks
from dcmon.db.locks import LockSpace
from dcmon.formatting import shell_argument, some_of
from dcmon.tenancy import deletion, organizations
from dcmon.transfer import catalog, tables
from dcmon.transfer.contents import Manifest
from dcmon.transfer.loader import STAGING

LOG = "audit_log"
RELATION_NUMBERS = "relation_numbers"  # run-time tables have new numbers
SHOWN = 5
# The names that organizations had, also before they were renamed, by id.
NAMES = text("""
    select org_id, array_agg(distinct known) from audit_log,
           lateral (values (name), (before->>'name'), (after->>'name')) as names (known)
     where kind = 'organization' and known is not null group by org_id
""")
# An entry with an id of the backup is the same one, unless the database was another installation's.
ADD_ENTRIES = """
    insert into audit_log ({columns}, id)
    select {columns}, case when exists (select from audit_log a where a.id = s.id) then nextval('audit_log_id_seq')
                           else s.id end
      from {staging}.audit_log s
     where not exists (select from audit_log a where a.id = s.id and a.at = s.at)
     order by s.id
"""


def finish_deletions(engine: Engine) -> None:
    """Finish interrupted deletions. Raises Conflict if one can't be finished."""
    deletion.finish_all(engine)
    with db.public_session(engine) as session:
        for org in deletion.unfinished(session):
            raise errors.Conflict(
                f"The deletion of organization {org.name!r} was interrupted, and can't be finished now. Type"
                f' "dcmon org delete {shell_argument(org.name)}" to see why.'
            )


def require_room(engine: Engine, backup: Manifest, only: str | None) -> None:
    """Check that all organizations of a backup, or only one, can come into a database.

    Raises Conflict, or OrganizationNotFound if the backup does not have that one.
    """
    with db.public_session(engine) as session:
        known = {int(org_id): set(names) for org_id, names in session.execute(NAMES)}
        if only is None:
            _require_none(session)
            _require_same_ids(session, backup, known)
        else:
            _require_deleted(session, backup, only, known)


def replace_shared(session: Session, backup: Manifest) -> None:
    """Put the rows of the tables that all organizations share, as the backup has them, in place of those left here.

    Ids continue after the larger of both: an organization never gets the id of one that was deleted. Raises Conflict if
    an organization was created meanwhile; no one can be created until the transaction ends.
    """
    locks.acquire(session, LockSpace.ORGANIZATION_NAMES, 0)
    _require_none(session)
    left = catalog.sequences(session)
    numbers = {name: max(last, left.get(name, 0)) for name, last in backup.sequences.items()}
    numbers.pop(RELATION_NUMBERS, None)
    catalog.set_sequences(session, numbers)
    for table in tables.SHARED:
        names = catalog.columns(session, f"{STAGING}.{table}")
        if table == LOG:
            columns = catalog.joined([name for name in names if name != "id"])
            session.execute(text(ADD_ENTRIES.format(columns=columns, staging=STAGING)))
        else:
            session.execute(text(f"delete from {table}"))
            columns = catalog.joined(names)
            session.execute(text(f"insert into {table} ({columns}) select {columns} from {STAGING}.{table}"))


def _require_none(session: Session) -> None:
    existing = organizations.entries(session)
    if existing:
        names = some_of([org.name for org in existing], SHOWN)
        raise errors.Conflict(
            f"The database has organizations already ({names}), and a backup of all never overwrites"
            ' one. --org NAME restores one that was deleted here; for all, delete those that exist ("dcmon org delete'
            f' {shell_argument(existing[0].name)}"), or restore into a new database.'
        )


def _require_same_ids(session: Session, backup: Manifest, known: Mapping[int, Collection[str]]) -> None:
    """Refuse ids that other organizations had here: messages in Kafka have ids, and could be for those."""
    if session.scalar(text("select not exists (select from ingest_topics)")):
        return
    for org_id, name in backup.organizations.items():
        names = known.get(int(org_id), ())
        if names and name not in names:
            raise errors.Conflict(
                f"Organization {name!r} of the backup has id {org_id}, and so had {' and '.join(sorted(names))} here,"
                " before it was deleted: messages in Kafka could be for that one. Restore into a new database, which"
                ' "dcmon migrate" has prepared.'
            )


def _require_deleted(session: Session, backup: Manifest, only: str, known: Mapping[int, Collection[str]]) -> None:
    ids = {name: int(org_id) for org_id, name in backup.organizations.items()}
    if only not in ids:
        raise errors.OrganizationNotFound(name=only, known=ids)
    for org in organizations.entries(session):
        if org.name == only or org.id == ids[only]:
            raise errors.Conflict(
                f"Organization {org.name!r} exists, with {_common(org, only)} that of the backup. Delete it first"
                f' ("dcmon org delete {shell_argument(org.name)}"), and then repeat the command.'
            )
    if only not in known.get(ids[only], ()) or ids[only] > organizations.newest_id(session):
        raise errors.Conflict(
            f"Organization {only!r} was never deleted here, so the backup is of another installation: its id could"
            " belong to messages in Kafka that are for another organization. Restore the backup into a new"
            ' database, and move the organization from there with "dcmon org export" and "dcmon org import".'
        )


def _common(org: Organization, only: str) -> str:
    return "the same name as" if org.name == only else f"id {org.id}, which is also"

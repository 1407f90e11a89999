"""One state of the database, which several transactions read, while rows come in and monitors are evaluated.

A transaction of its own for each organization holds the locks of that organization's tables only: with those of 2,000
organizations, PostgreSQL would run out of memory for locks. Prune waits, because a partition that it drops would be
missing, although its rows belong to the snapshot.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.db import Organization, locks
from dcmon.db.locks import LockSpace
from dcmon.storage import sample_tables

# So that a value has the same text in each installation, also after years.
TEXT_FORMAT = text(
    "select set_config('timezone', 'UTC', true), set_config('datestyle', 'ISO, YMD', true),"
    " set_config('intervalstyle', 'postgres', true), set_config('extra_float_digits', '1', true),"
    " set_config('bytea_output', 'hex', true), set_config('synchronize_seqscans', 'off', true),"
    " set_config('statement_timeout', '0', true), set_config('idle_in_transaction_session_timeout', '0', true)"
)


@dataclass(frozen=True)
class Snapshot:
    """A state of the database, held by `public`: an open transaction in "public" that reads it."""

    engine: Engine
    id: str
    public: Session

    @contextmanager
    def org_session(self, org: Organization) -> Iterator[Session]:
        """Open a transaction in an organization's schema that reads the snapshot.

        Raises OrganizationNotFound, SchemaOutOfDate, or Conflict if a prune was interrupted.
        """
        with Session(self.engine) as session, session.begin():
            connection = session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            connection.exec_driver_sql(f"set transaction snapshot '{self.id}'")
            db.enter(connection, org)
            session.execute(TEXT_FORMAT)
            if sample_tables.detached(session):
                raise errors.Conflict(
                    f'A prune of organization {org.name!r} was interrupted. Type "dcmon prune" first, then this again.'
                )
            yield session

    def fault(self, org: Organization) -> errors.DcmonError | None:
        """Return why an organization can't be read: its schema has another revision; None if it can.

        Raises what `org_session` raises for other reasons.
        """
        try:
            with self.org_session(org):
                return None
        except (errors.SchemaOutOfDate, errors.SchemaTooNew) as error:
            return error


@contextmanager
def consistent(engine: Engine, organizations: Sequence[Organization]) -> Iterator[Snapshot]:
    """Hold a snapshot, during which these organizations are not pruned. Waits until a prune of them has ended."""
    ids = [org.id for org in organizations]
    with (
        locks.shared_for_session(engine, LockSpace.PRUNE, ids),
        db.public_session(engine, snapshot=True) as session,
    ):
        session.execute(TEXT_FORMAT)
        yield Snapshot(engine, str(session.scalar(text("select pg_export_snapshot()"))), session)

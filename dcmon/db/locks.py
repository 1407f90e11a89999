"""PostgreSQL advisory locks: all lock spaces, and the only code that takes locks.

A lock is a space and an object in it. The object is one of:

- a number that no two organizations share: an organization's id, or the number in the names of run-time tables
  (`models.relation`, `versions.relation`). PostgreSQL gets the pair (space, number), so two locks never collide.
- a name that begins with the organization's schema. PostgreSQL gets a 64-bit hash of the name, with the space as seed.

The ids of models, versions, monitors and sources are no such numbers, because they begin with 1 in every organization:
the work of one organization must never wait for another organization (docs/decisions.md, "Advisory locks").

A transaction's lock ends with its transaction, a session's lock (`SessionLock`) with its connection.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, Engine, ScalarSelect, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dcmon import errors


class LockSpace(IntEnum):
    """What is locked.

    A number is never used again for something else, because a process of an older release may still hold that lock.
    """

    # Each comment says what the object is, whether a transaction or a session holds the lock, and for what.
    ORGANIZATION = 1  # its id. Transaction: shared for all work in the organization; exclusive to migrate or delete it
    MODEL = 2  # its relation. Transaction: shared to store samples; exclusive to store labels or to prune a month
    SAMPLE_PARTITIONS = 3  # the version's relation. Transaction, exclusive: create monthly partitions of samples
    PRUNE = 4  # the organization's id. Session: exclusive to prune or to drop its tables; shared to copy it to a file
    NOTIFICATION_CLAIM = 5  # the organization's id. Transaction, exclusive: claim notifications
    MANUAL_RUN = 6  # the monitor's name. Session, exclusive: `monitor run` and `monitor backfill`
    NOTIFICATION_WRITE = 7  # the organization's id. Transaction: shared to write them; exclusive to add a receiver
    REFERENCE = 8  # the version's relation. Transaction, exclusive: load a reference
    LABEL_PARTITIONS = 9  # the version's relation. Transaction, exclusive: create monthly partitions of labels
    RESULTS = 10  # a name of monitor, version and window. Transaction, exclusive: number the revisions of results
    NAMES = 11  # the kind of object. Transaction, exclusive: create an object with a name that is unique in its kind
    FILE_SOURCE = 12  # the source's name. Session, exclusive: scan a source
    STATISTICS = 16  # the version's relation. Transaction, exclusive: summarize the columns of its rows
    OBJECT_LIMITS = 17  # the organization's id. Transaction, exclusive: create an object whose number is limited
    DECLARATIONS = 18  # the organization's id. Transaction, exclusive: plan or apply monitoring as code
    # The following locks belong to the whole installation, not to an organization.
    LEADER = 13  # 0. Session, exclusive: lead the schedulers
    ORGANIZATION_NAMES = 14  # 0. Transaction, exclusive: create an organization
    MIGRATION = 15  # 0: schema "public", 1: the scratch schema. Transaction, exclusive: migrate it
    IMPORT = 19  # 0. Session, exclusive: import organizations, or restore a backup


def call(space: LockSpace, number: str, *, shared: bool = False) -> str:
    """Return the SQL that waits for a transaction's lock.

    It is for statements that do more in the same round trip. `number` is also SQL, for example a parameter.
    """
    return f"pg_advisory_xact_lock{'_shared' if shared else ''}({space.value}, {number})"


def subquery(space: LockSpace, number: int, *, shared: bool = False) -> ScalarSelect[Any]:
    """Return a column that waits for a transaction's lock, once, before its statement returns the first row.

    It saves a round trip. A statement that waits may return rows as they were before the wait: so what the lock guards
    must be read by a later statement, and a statement that returns no row may not have waited.
    """
    wait = func.pg_advisory_xact_lock_shared if shared else func.pg_advisory_xact_lock
    return select(wait(space.value, number)).scalar_subquery()


def acquire(executor: Session | Connection, space: LockSpace, number: int, *, shared: bool = False) -> None:
    """Wait for a lock by number, held until the transaction ends."""
    executor.execute(text(f"select {call(space, ':number', shared=shared)}"), {"number": number})


def call_by_name(space: LockSpace, name: str) -> str:
    """Return the SQL that waits for a transaction's lock by name. `name` is also SQL, for example a column."""
    return f"pg_advisory_xact_lock(hashtextextended(current_schema() || '/' || {name}, {space.value}))"


def acquire_named(session: Session, space: LockSpace, names: Sequence[str]) -> None:
    """Wait for locks by name in the session's organization, held until the transaction ends.

    The locks are taken in the order of `names`. Transactions that lock several names must sort them, to prevent
    deadlocks.
    """
    statement = text(f"select {call_by_name(space, 'name')} from unnest(cast(:names as text[])) name")
    session.execute(statement, {"names": list(names)})


class SessionLock:
    """A lock that is held by a separate connection until `release`.

    PostgreSQL also releases it when the connection ends, for example after kill -9. It needs a direct connection to
    PostgreSQL: through a connection pooler in transaction mode, two processes could hold it at the same time.
    """

    def __init__(self, engine: Engine, space: LockSpace, key: int | str) -> None:
        """Prepare a lock. `key`: a number, or a name that begins with the organization's schema."""
        self.engine = engine
        self._connection: Connection | None = None
        self._arguments = ":space, :key" if isinstance(key, int) else "hashtextextended(:key, :space)"
        self._values = {"space": space.value, "key": key}

    def try_acquire(self) -> bool:
        """Take the lock if it is free; return True if it is held now."""
        if self._connection is not None:
            return True
        connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            if connection.scalar(text(f"select pg_try_advisory_lock({self._arguments})"), self._values):
                self._connection = connection
                return True
        finally:
            if self._connection is None:
                connection.close()
        return False

    def is_held(self) -> bool:
        """Return True if the lock's connection is alive; release a lock whose connection is lost."""
        if self._connection is None:
            return False
        try:
            self._connection.execute(text("select 1"))
        except (DBAPIError, errors.DcmonError):
            self.release()
            return False
        return True

    def release(self) -> None:
        """Release the lock."""
        if self._connection is None:
            return
        connection, self._connection = self._connection, None
        try:
            if not connection.invalidated:
                connection.execute(text(f"select pg_advisory_unlock({self._arguments})"), self._values)
        except (DBAPIError, errors.DcmonError):
            connection.invalidate()  # close it, because PostgreSQL releases the lock when the connection ends
        finally:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()


@contextmanager
def exclusive(engine: Engine, space: LockSpace, key: int | str, *, refusal: str) -> Iterator[None]:
    """Hold a session's lock during a `with` block.

    Raises Locked with the text `refusal` if another connection holds it.
    """
    with SessionLock(engine, space, key) as lock:
        if not lock.try_acquire():
            raise errors.Locked(refusal)
        yield


@contextmanager
def shared_for_session(engine: Engine, space: LockSpace, numbers: Sequence[int]) -> Iterator[None]:
    """Hold several locks shared during a `with` block, all on one connection. Waits until all of them are free."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        statement = text("select pg_advisory_lock_shared(:space, number) from unnest(cast(:numbers as int[])) number")
        connection.execute(statement, {"space": space.value, "numbers": sorted(numbers)})
        try:
            yield
        finally:
            try:
                connection.execute(text("select pg_advisory_unlock_all()"))
            except (DBAPIError, errors.DcmonError):
                connection.invalidate()


def is_session_lock_held(session: Session, space: LockSpace, number: int) -> bool:
    """Return True if any connection to this database holds the lock."""
    statement = text("""
        select exists (select 1 from pg_locks
                        where locktype = 'advisory' and granted and objsubid = 2 and mode = 'ExclusiveLock'
                          and database = (select oid from pg_database where datname = current_database())
                          and classid = cast(:space as oid) and objid = cast(:number as oid))
    """)
    return bool(session.scalar(statement, {"space": space.value, "number": number}))

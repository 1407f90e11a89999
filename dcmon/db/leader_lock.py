"""One leader at a time, by a session advisory lock: PostgreSQL frees it when the leader's connection ends."""

from types import TracebackType

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dcmon import errors

LOCK = "dcmon.leader"

HELD = text("""
    select exists (select 1 from pg_locks
                    where locktype = 'advisory' and granted and objsubid = 1
                      and database = (select oid from pg_database where datname = current_database())
                      and (classid::int8 << 32 | objid::int8) = hashtext(:lock)::int8)
""")


def is_held(session: Session) -> bool:
    """Whether anybody leads: a lock that is held is a leader whose connection lives."""
    return bool(session.scalar(HELD, {"lock": LOCK}))


class Leadership:
    """A claim to lead. It needs a direct connection: behind a transaction pooler two could lead at once."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._connection: Connection | None = None

    def holds(self) -> bool:
        """Whether this process leads, after trying to."""
        try:
            if self._connection is None:
                return self._try()
            self._connection.execute(text("select 1"))
        except (DBAPIError, errors.DcmonError):
            self.resign()
            return False
        return True

    def _try(self) -> bool:
        connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        if connection.scalar(text("select pg_try_advisory_lock(hashtext(:lock))"), {"lock": LOCK}):
            self._connection = connection
            return True
        connection.close()
        return False

    def resign(self) -> None:
        """Let another one lead."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            # Not back to the pool: the lock is the session's, and ends with it.
            connection.invalidate()
            connection.close()

    def __enter__(self) -> "Leadership":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.resign()

"""The lock of the leader: PostgreSQL releases it when the leader's connection ends."""

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db import locks
from dcmon.db.locks import LockSpace, SessionLock

LEADER = 0  # the number of the only lock in its space


def is_held(session: Session) -> bool:
    """Return True if any process leads.

    PostgreSQL shows the lock only while the connection of the leader is alive.
    """
    return locks.is_session_lock_held(session, LockSpace.LEADER, LEADER)


class Leadership(SessionLock):
    """The leader lock as one process tries to hold it."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, LockSpace.LEADER, LEADER)

    def holds(self) -> bool:
        """Try to lead, and return True if this process leads.

        False also while PostgreSQL can't be reached.
        """
        if self._connection is not None:
            return self.is_held()
        try:
            return self.try_acquire()
        except (DBAPIError, errors.DcmonError):
            return False

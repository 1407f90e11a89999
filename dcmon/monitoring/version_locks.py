"""Lock versions that are deleted, with their due windows."""

import time
from collections.abc import Sequence
from datetime import timedelta

from psycopg.errors import LockNotAvailable
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db.tables.org import DueWindow, Version

MAX_WAIT = timedelta(seconds=30)
WINDOW_WAIT = "2s"  # for a window that is being stored
PAUSE = timedelta(milliseconds=50)


def lock_for_deletion(session: Session, version_ids: Sequence[int]) -> None:
    """Lock versions and their due windows until the commit, so that no window of them is evaluated or made due.

    Evaluators lock a due window and then, for its results, the version; the expansion of quarter hours locks the
    version and then due windows. Both orders could deadlock with them: so this waits for due windows, but never for a
    version while it holds windows. Raises Locked if another transaction uses a version for longer than MAX_WAIT.
    """
    deadline = time.monotonic() + MAX_WAIT.total_seconds()
    while not try_lock(session, version_ids):
        if time.monotonic() > deadline:
            raise errors.Locked("The version is in use by another transaction. Try again later.")
        time.sleep(PAUSE.total_seconds())


def try_lock(session: Session, version_ids: Sequence[int]) -> bool:
    """Return False, and hold no lock, if another transaction uses a version, or for long one of its windows."""
    versions = select(Version.id).where(Version.id.in_(version_ids)).order_by(Version.id)
    earlier = session.scalar(text("select current_setting('lock_timeout')"))
    try:
        with session.begin_nested():
            _set_lock_timeout(session, WINDOW_WAIT)
            _lock_windows(session, version_ids)
            session.execute(versions.with_for_update(nowait=True)).all()
            _lock_windows(session, version_ids, nowait=True)  # those that became due before the version was locked
            _set_lock_timeout(session, earlier)
    except OperationalError as error:
        if isinstance(error.orig, LockNotAvailable):
            return False
        raise
    return True


def _lock_windows(session: Session, version_ids: Sequence[int], *, nowait: bool = False) -> None:
    windows = select(DueWindow.version_id).where(DueWindow.version_id.in_(version_ids))
    ordered = windows.order_by(DueWindow.version_id, DueWindow.window_start, DueWindow.window_end)
    session.execute(ordered.with_for_update(nowait=nowait)).all()


def _set_lock_timeout(session: Session, limit: str) -> None:
    session.execute(text("select set_config('lock_timeout', :limit, true)"), {"limit": limit})

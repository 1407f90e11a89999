"""Lock versions that are deleted, with their due windows."""

import time
from collections.abc import Sequence
from datetime import timedelta

from psycopg.errors import LockNotAvailable
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db.tables.org import DueWindow, Version

MAX_WAIT = timedelta(seconds=30)
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
    """Return False, and hold no lock, if another transaction uses a version."""
    windows = select(DueWindow.version_id).where(DueWindow.version_id.in_(version_ids)).with_for_update()
    versions = select(Version.id).where(Version.id.in_(version_ids)).with_for_update(nowait=True)
    try:
        with session.begin_nested():
            session.execute(windows.order_by(DueWindow.version_id, DueWindow.window_start, DueWindow.window_end)).all()
            session.execute(versions.order_by(Version.id)).all()
    except OperationalError as error:
        if isinstance(error.orig, LockNotAvailable):
            return False
        raise
    return True

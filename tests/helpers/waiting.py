"""Wait for a condition instead of a fixed time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import Engine, text

from dcmon.embedded.process import wait_until

PATIENCE = 300.0  # seconds; with four busy loops in parallel, a test may take ten times as long as alone


def eventually(is_true: Callable[[], bool], every: float = 0.05) -> bool:
    """Wait until a condition is true. Return False if it is not true after PATIENCE seconds."""
    return wait_until(is_true, PATIENCE, every=every)


def wait_for_the_middle_of_the_hour() -> None:
    """Return when the rows of the last hour are awaited no longer, and the current hour goes on for a minute or more.

    A window is due a minute after its end (`due_windows.GRACE`). A test that counts hours back from now has one window
    more or less around that time.
    """
    assert eventually(lambda: 2 <= datetime.now(UTC).minute < 59, every=0.5)


def is_waiting_for_a_lock(engine: Engine) -> bool:
    """True if a transaction in this database waits for a lock that another one holds."""
    statement = text(
        "select count(*) > 0 from pg_locks join pg_stat_activity using (pid)"
        " where not granted and datname = current_database()"
    )
    with engine.connect() as connection:
        return bool(connection.scalar(statement))


@contextmanager
def blocked_writer(engine: Engine, table: str, row: str) -> Iterator[None]:
    """Let a transaction that writes such a row, an SQL condition on `new`, wait until the context is left.

    The context is entered at once; `is_waiting_for_a_lock` shows that a transaction has come so far.
    """
    lock = 4711
    with engine.begin() as connection:
        connection.execute(
            text(
                f"create function {table}_waits() returns trigger language plpgsql as"
                f" 'begin perform pg_advisory_xact_lock_shared({lock}); return null; end'"
            )
        )
        connection.execute(
            text(
                f"create trigger waits after insert or update on {table}"
                f" for each row when ({row}) execute function {table}_waits()"
            )
        )
    with engine.begin() as connection:
        connection.execute(text(f"select pg_advisory_xact_lock({lock})"))
        yield

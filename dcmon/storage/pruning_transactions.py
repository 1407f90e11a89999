"""The transactions of a prune: short, repeated on contention, with pauses between them."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.db import Organization, transactions
from dcmon.db.transactions import CONTENTION, RetryPolicy
from dcmon.storage.expiry import Terms

T = TypeVar("T")
# Small batches with pauses between them slow down concurrent ingestion by a few milliseconds at most.
ROWS_AT_ONCE = 1_000
PAUSE_FACTOR = 9  # a pause is so many times as long as the transaction before it
MAX_PAUSE = 1.0  # seconds
# While a transaction waits for the lock of a table, all later transactions wait behind it. So it waits only briefly and
# is repeated.
SHORT_WAIT, WAIT = timedelta(milliseconds=50), timedelta(seconds=1)
RETRY_POLICY = RetryPolicy(CONTENTION, max_tries=150, pause=lambda _: random.uniform(0.05, 0.25))


@dataclass(frozen=True)
class Prune:
    """A prune of one organization.

    `by` is the user or process in the ledger's lines. `is_over` is called between transactions; if it returns True, the
    prune ends. `is_fast` leaves out the pauses, for a disk that is full.
    """

    engine: Engine
    org: Organization
    terms: Terms
    by: str
    is_over: Callable[[], bool] = lambda: False
    is_fast: bool = False

    def in_transaction(self, work: Callable[[Session], T], wait: timedelta = WAIT) -> T:
        """Run `work` in a transaction, repeat it on contention, and pause after it.

        The transaction waits at most `wait` for a lock. In the pause, other transactions get the locks. Raises Locked
        after the last try.
        """

        def transaction() -> T:
            started_at = time.monotonic()
            with db.org_session(self.engine, self.org, wait=wait) as session:
                # If a crash of the server loses the transaction, the next prune repeats it.
                session.execute(text("set local synchronous_commit = off"))
                result = work(session)
            if not self.is_fast:
                time.sleep(min(MAX_PAUSE, PAUSE_FACTOR * (time.monotonic() - started_at)))
            return result

        return transactions.retry(transaction, RETRY_POLICY, give_up=lambda _: self._locked_error())

    def _locked_error(self) -> errors.Locked:
        return errors.Locked(
            f"A table of organization {self.org.name!r} was in use at each try. The next prune deletes the other rows."
        )


def rowcount(result: Any) -> int:
    """Return how many rows a statement changed."""
    return int(result.rowcount)

"""Repeat transactions that failed because of other transactions.

All of dcmon repeats transactions by `retry`; only the policies differ.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.exc import DBAPIError

from dcmon.db.connections import sqlstate

T = TypeVar("T")

CONTENTION = frozenset({"40P01", "40001", "55P03"})  # deadlock, serialization failure, lock not available


@dataclass(frozen=True)
class RetryPolicy:
    """The errors after which a transaction is repeated, and how often.

    `pause` maps the number of failed tries to the seconds to wait.
    """

    sqlstates: frozenset[str]
    max_tries: int
    pause: Callable[[int], float]


def retry(
    transaction: Callable[[], T],
    policy: RetryPolicy,
    *,
    after_failure: Callable[[], object] = lambda: None,
    give_up: Callable[[DBAPIError], Exception] | None = None,
) -> T:
    """Run a transaction, from its begin to its commit; repeat it by the policy.

    `transaction` must be safe to repeat: after an error, PostgreSQL has rolled back what it did. `after_failure` is
    called after each failed try, for example to clear caches. After the last try, `retry` raises what `give_up` returns
    for the last error; without `give_up`, the error itself. An error that the policy does not name is raised at once.
    """
    tries = 0
    while True:
        try:
            return transaction()
        except DBAPIError as error:
            if sqlstate(error) not in policy.sqlstates:
                raise
            last_error = error
        tries += 1
        after_failure()
        if tries == policy.max_tries:
            if give_up is None:
                raise last_error
            raise give_up(last_error) from last_error
        time.sleep(policy.pause(tries))

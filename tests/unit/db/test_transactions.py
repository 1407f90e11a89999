"""Transactions are repeated after a conflict with another transaction."""

import ast

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from dcmon import errors
from dcmon.db import PACKAGE, transactions
from dcmon.db.transactions import CONTENTION, RetryPolicy

POLICY = RetryPolicy(CONTENTION, max_tries=3, pause=lambda tries: 0)


class Failing:
    """A transaction that fails a given number of times and counts its runs."""

    def __init__(self, failures: int, error: type[psycopg.Error] = psycopg.errors.DeadlockDetected) -> None:
        self.failures, self.error, self.tries, self.forgotten = failures, error, 0, 0

    def run(self) -> str:
        self.tries += 1
        if self.tries <= self.failures:
            raise DBAPIError.instance("select 1", None, self.error(), psycopg.Error)
        return "done"

    def forget(self) -> None:
        self.forgotten += 1


def test_transaction_is_repeated_until_it_succeeds():
    work = Failing(2)
    assert transactions.retry(work.run, POLICY, after_failure=work.forget) == "done"
    assert (work.tries, work.forgotten) == (3, 2)


def test_error_outside_of_the_retry_policy_is_raised():
    work = Failing(1, psycopg.errors.DivisionByZero)
    with pytest.raises(DBAPIError):
        transactions.retry(work.run, POLICY)
    assert work.tries == 1


def test_last_error_is_raised_after_the_last_try():
    work = Failing(9, psycopg.errors.LockNotAvailable)
    with pytest.raises(DBAPIError) as raised:
        transactions.retry(work.run, POLICY)
    assert isinstance(raised.value.orig, psycopg.errors.LockNotAvailable)
    assert work.tries == 3


def test_final_error_has_the_last_error_as_cause():
    work = Failing(9)
    with pytest.raises(errors.Locked, match="given up") as raised:
        transactions.retry(work.run, POLICY, give_up=lambda error: errors.Locked("given up"))
    assert isinstance(raised.value.__cause__, DBAPIError)


def test_pause_grows_with_the_number_of_failures(monkeypatch):
    pauses = list[float]()
    monkeypatch.setattr(transactions.time, "sleep", pauses.append)
    transactions.retry(Failing(3).run, RetryPolicy(CONTENTION, max_tries=4, pause=lambda tries: tries * 0.5))
    assert pauses == [0.5, 1.0, 1.5]


def test_only_retry_repeats_transactions():
    """A loop that catches database errors repeats something: all of dcmon does that by `transactions.retry`."""
    loops = [
        f"{file.relative_to(PACKAGE.parent)}:{loop.lineno}"
        for file in PACKAGE.rglob("*.py")
        for loop in ast.walk(ast.parse(file.read_text()))
        if isinstance(loop, ast.For | ast.While) and _catches_database_errors(loop)
    ]
    assert [place.partition(":")[0] for place in loops] == ["dcmon/db/transactions.py"]


def _catches_database_errors(loop: ast.AST) -> bool:
    caught = [node.type for node in ast.walk(loop) if isinstance(node, ast.ExceptHandler) and node.type]
    names = [node.id for error in caught for node in ast.walk(error) if isinstance(node, ast.Name)]
    return "DBAPIError" in names

"""Commands while another session has locked a table: they say whom they wait for, and come to an end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.helpers.installed import Dcmon
from tests.helpers.judged_results import create_rule, store_and_judge
from tests.integration.conftest import Target


@pytest.fixture
def dcmon(target: Target, database_url: str, with_url: Callable[[str], Dcmon]) -> Dcmon:
    """Return the command line of a model with a firing alert."""
    create_rule(target, "> 0.2")
    store_and_judge(target, 0, 0.5)
    return with_url(database_url)


@contextmanager
def locked(url: str, table: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(url, application_name="somebody else") as holder:
        holder.execute(f"lock table {table} in access exclusive mode".encode())
        yield holder


@pytest.mark.parametrize(
    "arguments", [("alert", "list"), ("rule", "delete", "1", "--dry-run"), ("rule", "set", "1", "--min-n", "5")]
)
def test_command_that_waits_names_whom_it_waits_for(
    dcmon: Dcmon, database_url: str, arguments: tuple[str, ...]
) -> None:
    with locked(database_url, "org_1.alert_rules") as holder:
        process = dcmon.start("--org", "acme", *arguments)
        assert process.stderr is not None
        said = process.stderr.readline()
        pid = holder.info.backend_pid
        assert f"Waiting: session {pid} of PostgreSQL (somebody else, idle in transaction, since " in said
        assert "has locked table org_1.alert_rules" in said
        assert f"pg_terminate_backend({pid})" in said
        holder.rollback()
        process.communicate()
    assert process.returncode == 0


def test_wait_for_a_migration_ends_in_time(dcmon: Dcmon, database_url: str) -> None:
    """Also where it can't see if one is needed: in CI, --timeout is a promise."""
    with locked(database_url, "org_1.alembic_version"):
        done = dcmon("wait", "--for", "migrated", "--timeout", "1s")
    assert done.returncode == 124
    assert "lock timeout" in done.stderr


@pytest.mark.thorough
def test_list_of_a_locked_table_ends_with_exit_6(dcmon: Dcmon, database_url: str) -> None:
    """After half a minute, so that cron and a script come to an end."""
    with locked(database_url, "org_1.alert_rules"):
        done = dcmon("--org", "acme", "-o", "json", "alert", "list")
    assert (done.returncode, done.stdout) == (6, "")
    assert "Another process works on the same object. Try again later." in done.stderr

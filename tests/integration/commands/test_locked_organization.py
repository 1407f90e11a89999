"""What an operator, and CI, see of an organization whose tables are locked."""

import json
from collections.abc import Callable

import psycopg

from dcmon.db import Organization
from tests.helpers.installed import Dcmon


def test_locked_organization_fails_status_wait_and_doctor(
    with_url: Callable[[str], Dcmon], database_url: str, org: Organization
) -> None:
    dcmon = with_url(database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute(f"lock table {org.schema}.alert_rules in access exclusive mode".encode())
        shown = dcmon("status")
        waited = dcmon("wait", "--for", "health<=100", "--timeout", "1s")
        examined = dcmon("-o", "json", "doctor", "--code", "table-locked")

    assert shown.returncode not in (0, 3)
    said = f"has locked table {org.schema}.alert_rules"
    assert said in shown.stdout
    assert "pg_terminate_backend(" in shown.stdout
    assert "All is well" not in shown.stdout
    assert "never read" not in shown.stdout
    lines = {line.split("  ")[0]: line.rstrip() for line in shown.stdout.splitlines()}
    for name in ("windows due", "notifications", "alerts firing"):
        assert lines[name].endswith("not known of 1 organization")
    assert lines["organizations"].endswith("1, of 1 of them nothing is known")
    assert (waited.returncode, said in waited.stderr) == (124, True)
    (finding,) = json.loads(examined.stdout)
    assert (examined.returncode, finding["organization"]) == (1, org.name)

"""Which organizations have rows in a table."""

import psycopg
import pytest
from sqlalchemy import Engine, text

from dcmon import db
from dcmon.db import Organization, filled_tables


@pytest.mark.parametrize("mode", ["access exclusive", "share row exclusive"])
def test_locked_table_keeps_no_one_waiting(engine: Engine, database_url: str, org: Organization, mode: str) -> None:
    """A locked table may have rows; to ask would let the jobs of all organizations wait for one session."""
    with psycopg.connect(database_url) as holder:
        holder.execute(f"lock table {org.schema}.alerts in {mode} mode".encode())
        with db.public_session(engine) as session:
            session.execute(text("set local lock_timeout = '1ms'"))
            found = filled_tables.schemas_with(session, "alerts")
    assert found == ({org.schema} if mode == "access exclusive" else set())

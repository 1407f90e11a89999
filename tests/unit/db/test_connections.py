"""What PostgreSQL's refusal of a connection becomes."""

import psycopg
from sqlalchemy.engine import make_url

from dcmon import errors
from dcmon.db import connections

URL = make_url("postgresql://dcmon:secret@db:5432/dcmon")
REFUSAL = 'connection to server at "db" failed: FATAL:  could not write init file: No space left on device'


def test_full_disk_that_refuses_connections_is_named() -> None:
    """No SQLSTATE is known before a connection is open; the sentence said only that PostgreSQL can't be reached."""
    error = connections.to_dcmon_error(psycopg.OperationalError(REFUSAL), URL, True)
    assert isinstance(error, errors.NoRoomToConnect)
    assert str(error).startswith("The disk of PostgreSQL at db:5432/dcmon is full")
    assert (error.exit_code, error.status) == (7, 503)


def test_other_refusals_say_what_postgresql_said() -> None:
    error = connections.to_dcmon_error(psycopg.OperationalError("FATAL:  it is starting up"), URL, True)
    assert isinstance(error, errors.Unreachable)
    assert "starting up" in str(error)

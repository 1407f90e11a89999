"""Connections to PostgreSQL end when their server does, also when it goes without a word."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import Engine
from sqlalchemy.pool import QueuePool

from dcmon import db, errors
from dcmon.ingestion.intake import Direct
from tests.integration.conftest import Target, rows


def parameters(engine: Engine) -> dict[str, str]:
    with closing(engine.raw_connection()) as connection:
        parameters_: dict[str, str] = connection.driver_connection.info.get_parameters()  # type: ignore[union-attr]
        return parameters_


def test_connection_probes_its_server_after_ten_seconds(engine: Engine) -> None:
    """A connection asks after ten seconds whether its server is there."""
    given = parameters(engine)
    assert (given["keepalives_idle"], given["tcp_user_timeout"]) == ("10", "25000")


def test_what_the_url_says_of_a_connection_counts(engine: Engine) -> None:
    url = engine.url.update_query_dict({"keepalives_idle": "3"}).render_as_string(hide_password=False)
    other = db.engine(url)
    given = parameters(other)
    other.dispose()
    assert (given["keepalives_idle"], given["keepalives_interval"]) == ("3", "5")


@pytest.fixture
def narrow(engine: Engine) -> Iterator[Engine]:
    """An engine that has one connection, for which nobody waits long."""
    new_engine = db.engine(engine.url.render_as_string(hide_password=False), pool_size=1)
    assert isinstance(new_engine.pool, QueuePool)
    new_engine.pool._max_overflow, new_engine.pool._timeout = 0, 0.2
    yield new_engine
    new_engine.dispose()


def test_rows_without_a_free_connection_are_refused(narrow: Engine, target: Target) -> None:
    """Rows for which no connection is left are refused and not quarantined."""
    direct = Direct(narrow)
    direct.ingest_samples(target.org, target.version_id, rows(0, 2))
    with narrow.connect(), pytest.raises(errors.Unreachable, match="are in use"):
        direct.ingest_samples(target.org, target.version_id, rows(2, 2))
    assert target.samples == 2
    direct.ingest_samples(target.org, target.version_id, rows(2, 2))

    assert target.samples == 4
    assert target.scalar("select count(*) from quarantine") == 0

"""Connections to PostgreSQL end when the server stops, also without a message from the server."""

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
    connection_parameters = parameters(engine)
    assert (connection_parameters["keepalives_idle"], connection_parameters["tcp_user_timeout"]) == ("10", "25000")


def test_connection_parameters_of_the_url_have_priority(engine: Engine) -> None:
    url = engine.url.update_query_dict({"keepalives_idle": "3"}).render_as_string(hide_password=False)
    other_engine = db.engine(url)
    connection_parameters = parameters(other_engine)
    other_engine.dispose()
    assert (connection_parameters["keepalives_idle"], connection_parameters["keepalives_interval"]) == ("3", "5")


@pytest.fixture
def single_connection_engine(engine: Engine) -> Iterator[Engine]:
    """Yield an engine with a single connection and a short wait for it."""
    new_engine = db.engine(engine.url.render_as_string(hide_password=False), pool_size=1)
    assert isinstance(new_engine.pool, QueuePool)
    new_engine.pool._max_overflow, new_engine.pool._timeout = 0, 0.2
    yield new_engine
    new_engine.dispose()


def test_rows_without_a_free_connection_are_refused(single_connection_engine: Engine, target: Target) -> None:
    """The rows are not quarantined."""
    direct = Direct(single_connection_engine)
    direct.ingest_samples(target.org, target.version_id, rows(0, 2))
    with single_connection_engine.connect(), pytest.raises(errors.Unreachable, match="are in use"):
        direct.ingest_samples(target.org, target.version_id, rows(2, 2))
    assert target.samples == 2
    direct.ingest_samples(target.org, target.version_id, rows(2, 2))

    assert target.samples == 4
    assert target.scalar("select count(*) from quarantine") == 0

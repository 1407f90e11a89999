"""Connections to PostgreSQL end when their server does, also when it goes without a word."""

from contextlib import closing

from sqlalchemy import Engine

from dcmon import db


def parameters(engine: Engine) -> dict[str, str]:
    with closing(engine.raw_connection()) as connection:
        found: dict[str, str] = connection.driver_connection.info.get_parameters()  # type: ignore[union-attr]
        return found


def test_a_connection_asks_after_ten_seconds_whether_its_server_is_there(engine: Engine) -> None:
    given = parameters(engine)
    assert (given["keepalives_idle"], given["tcp_user_timeout"]) == ("10", "25000")


def test_what_the_url_says_of_a_connection_counts(engine: Engine) -> None:
    url = engine.url.update_query_dict({"keepalives_idle": "3"}).render_as_string(hide_password=False)
    other = db.engine(url)
    given = parameters(other)
    other.dispose()
    assert (given["keepalives_idle"], given["keepalives_interval"]) == ("3", "5")

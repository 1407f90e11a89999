"""A change of what a token may do reaches all processes that know the token."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, event, text
from sqlalchemy.engine import make_url

from dcmon import db, errors
from dcmon.app import App
from dcmon.output import Output
from dcmon.settings import Http, Settings
from dcmon.tenancy import tokens
from tests.conftest import Acme
from tests.integration.conftest import Target, eventually

LONG = Http(fresh=timedelta(hours=1), stale=timedelta(hours=2))


@pytest.fixture
def processes(database_url: str, data_dir: Path) -> Iterator[list[App]]:
    """Yield three Apps with caches of their own, as three processes have them."""
    settings = Settings(database_url=SecretStr(database_url), data_dir=data_dir, http=LONG)
    with ExitStack() as stack:
        yield [stack.enter_context(App(settings, Output(quiet=True))) for _ in range(3)]


def is_cached(app: App, token: str) -> bool:
    return app.admission_cache.fresh_bearer(token) is not None


def learn(processes: list[App], token: str) -> None:
    """Let all processes know the token."""

    def knows(app: App) -> bool:
        app.admission_cache.authenticate(token)
        return is_cached(app, token)

    assert all(eventually(lambda app=app: knows(app)) for app in processes)  # type: ignore[misc]


CHANGES: dict[str, str] = {
    "revoked": "update tokens set revoked_at = now()",
    "deleted": "delete from tokens",
    "expires": "update tokens set expires_at = now() + interval '1 hour'",
    "scope": "update tokens set scope = 'read'",
    "role": "update members set role = 'viewer'",
    "left": "delete from members",
    "limits": "update organizations set samples_per_minute = 10",
    "organization": "update organizations set deleted_at = now()",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_change_is_noticed_by_all_processes(processes: list[App], engine: Engine, acme: Acme, change: str) -> None:
    learn(processes, acme.token)
    with engine.begin() as connection:
        connection.execute(text(change))
    assert eventually(lambda: not any(is_cached(app, acme.token) for app in processes), every=0.001)


def test_recorded_use_of_a_token_is_not_announced(processes: list[App], engine: Engine, acme: Acme) -> None:
    learn(processes, acme.token)
    with engine.begin() as connection:
        connection.execute(text("update tokens set last_used_at = now()"))
        connection.execute(text("notify other_channel"))
    assert all(is_cached(app, acme.token) for app in processes)


def test_change_that_is_rolled_back_is_not_announced(processes: list[App], engine: Engine, acme: Acme) -> None:
    learn(processes, acme.token)
    with engine.connect() as connection:
        connection.execute(text(CHANGES["revoked"]))
        connection.rollback()
    assert all(is_cached(app, acme.token) for app in processes)


def terminate_listeners(engine: Engine) -> None:
    """End the connections that listen, as a restart of PostgreSQL does."""
    with engine.begin() as connection:
        ended = connection.execute(
            text(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid() and query like '%pg_notify%'"
            )
        ).scalar_one()
    assert ended


def test_change_during_a_gap_is_noticed(processes: list[App], engine: Engine, acme: Acme) -> None:
    """While no announcement can come, tokens are looked up; an announcement that was missed does no harm."""
    learn(processes, acme.token)
    terminate_listeners(engine)
    assert eventually(lambda: not any(is_cached(app, acme.token) for app in processes), every=0.001)
    with engine.begin() as connection:
        connection.execute(text(CHANGES["revoked"]))
    for app in processes:
        with pytest.raises(errors.NotAuthenticated):
            app.admission_cache.authenticate(acme.token)
        with pytest.raises(errors.NotAuthenticated):
            app.admission_cache.authenticate_now(acme.token)


def test_lost_connection_is_replaced(processes: list[App], engine: Engine, acme: Acme) -> None:
    learn(processes, acme.token)
    terminate_listeners(engine)
    learn(processes, acme.token)
    with engine.begin() as connection:
        connection.execute(text(CHANGES["revoked"]))
    assert eventually(lambda: not any(is_cached(app, acme.token) for app in processes), every=0.001)


def test_lost_connection_logs_no_traceback(
    processes: list[App], engine: Engine, acme: Acme, caplog: pytest.LogCaptureFixture
) -> None:
    """A restart of PostgreSQL ends the connection that listens: that is no error of dcmon."""
    learn(processes, acme.token)
    terminate_listeners(engine)
    learn(processes, acme.token)
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


def test_lookup_during_a_change_is_not_kept(processes: list[App], engine: Engine, acme: Acme) -> None:
    """A lookup reads the token, then the token is revoked and announced, then the lookup ends."""
    app = processes[0]
    learn([app], acme.token)
    original: Callable[..., tokens.Bearer] = tokens.authenticate

    def slow(session: object, token: str) -> tokens.Bearer:
        bearer = original(session, token)
        with engine.begin() as connection:
            connection.execute(text(CHANGES["limits"]))
        assert eventually(lambda: app.admission_cache._bearers._forgotten_at > before, every=0.001)
        return bearer

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tokens, "authenticate", slow)
        app.admission_cache.forget_bearers()
        before = app.admission_cache._bearers._forgotten_at
        app.admission_cache.authenticate(acme.token)
    assert not is_cached(app, acme.token)


def test_cached_token_needs_no_query_of_any_route(processes: list[App], target: Target, acme: Acme) -> None:
    app, queries = processes[0], list[str]()
    learn([app], acme.token)
    event.listen(app.engine, "before_cursor_execute", lambda *arguments: queries.append(arguments[2]))
    assert app.admission_cache.authenticate_now(acme.token).organization == acme.org
    assert queries == []


def test_pooler_that_loses_announcements_is_noticed(
    database_url: str, data_dir: Path, acme: Acme, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a pooler LISTEN may reach another session: then no token is fresh, and each is looked up."""
    settings = Settings(database_url=SecretStr(database_url), data_dir=data_dir, http=LONG)
    with App(settings, Output(quiet=True)) as app:
        cache = app.admission_cache
        monkeypatch.setattr("dcmon.db.change_listener.PING_SECONDS", 0.05)
        event.listen(app.engine, "connect", _unlisten_later)
        cache.authenticate(acme.token)
        assert not is_cached(app, acme.token)
        with db.public_session(app.engine) as session:
            tokens.revoke(session, acme.org.id, acme.token)
        with pytest.raises(errors.NotAuthenticated):
            cache.authenticate(acme.token)
    assert make_url(database_url).database


def _unlisten_later(connection: object, record: object) -> None:
    """Let the connection forget LISTEN, as a pooler in transaction mode does."""
    execute = connection.execute  # type: ignore[attr-defined]

    def forgetful(statement: object, *arguments: object) -> object:
        if isinstance(statement, str) and statement.startswith("listen"):
            return None
        return execute(statement, *arguments)

    connection.execute = forgetful  # type: ignore[attr-defined]

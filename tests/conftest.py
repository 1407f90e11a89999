"""Real services for the tests: one PostgreSQL for the session, a fresh migrated database for each test."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from dcmon import db
from dcmon.app import App
from dcmon.db import Organization, migrations
from dcmon.embedded import postgres
from dcmon.output import Output
from dcmon.settings import Evaluate, Settings
from dcmon.tenancy import provisioning

for name in [name for name in os.environ if name.startswith("DCMON_") and not name.startswith("DCMON_TEST_")]:
    del os.environ[name]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A test that forgets to choose a data directory gets an empty one, never the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DCMON_DATA_DIR", str(tmp_path / "nothing-here"))


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data directory that an unprivileged PostgreSQL can enter, also when root runs the tests."""
    path = Path(tempfile.mkdtemp(prefix="dcmon-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """A PostgreSQL: the one of DCMON_TEST_DATABASE_URL, or an embedded one for the session."""
    if given := os.environ.get("DCMON_TEST_DATABASE_URL"):
        yield given
        return
    path = Path(tempfile.mkdtemp(prefix="dcmon-test-"))
    path.chmod(0o755)
    server = postgres.start(path)
    yield server.url
    server.stop()
    shutil.rmtree(path, ignore_errors=True)


def _database(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def _administer(url: str, statement: str) -> None:
    with psycopg.connect(_database(url, "postgres"), autocommit=True) as connection:
        connection.execute(statement.encode())


@pytest.fixture(scope="session")
def template(server_url: str) -> str:
    """The name of a migrated database that tests copy."""
    name = f"dcmon_template_{uuid.uuid4().hex[:8]}"
    _administer(server_url, f"create database {name}")
    engine = db.engine(_database(server_url, name))
    migrations.upgrade_public(engine)
    engine.dispose()
    return name


@pytest.fixture
def empty_url(server_url: str) -> Iterator[str]:
    """A database with nothing in it."""
    name = f"dcmon_test_{uuid.uuid4().hex[:12]}"
    _administer(server_url, f"create database {name}")
    yield _database(server_url, name)
    _administer(server_url, f"drop database {name} with (force)")


@pytest.fixture
def database_url(server_url: str, template: str) -> Iterator[str]:
    """A migrated database of this test's own."""
    name = f"dcmon_test_{uuid.uuid4().hex[:12]}"
    _administer(server_url, f"create database {name} template {template}")
    yield _database(server_url, name)
    _administer(server_url, f"drop database {name} with (force)")


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on a migrated database of this test's own."""
    made = db.engine(database_url)
    yield made
    made.dispose()


@dataclass(frozen=True)
class Acme:
    """An organization and its token."""

    org: Organization
    token: str


@pytest.fixture
def acme(engine: Engine) -> Acme:
    """An organization with a token."""
    made = provisioning.create_organization(engine, "acme", "owner@acme.example")
    return Acme(made.organization, made.token)


@pytest.fixture
def org(acme: Acme) -> Organization:
    """An organization."""
    return acme.org


@pytest.fixture
def app(database_url: str, data_dir: Path) -> Iterator[App]:
    """An App on this test's database."""
    at_once = Evaluate(backfill_quiet=timedelta(), children=1)
    settings = Settings(database_url=SecretStr(database_url), data_dir=data_dir, evaluate=at_once)
    with App(settings, Output(quiet=True)) as made:
        yield made

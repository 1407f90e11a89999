"""Real services for the tests: a PostgreSQL server per xdist worker, and a migrated database of its own per test."""

import atexit
import gc
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from dcmon import db
from dcmon.app import App
from dcmon.db import Organization, migrations
from dcmon.embedded import postgres, process
from dcmon.output import Output
from dcmon.settings import Evaluate, Settings
from dcmon.tenancy import provisioning
from tests.helpers import examples  # noqa: F401 - registers the profiles
from tests.helpers.directories import server_directory
from tests.helpers.ports import free_port
from tests.helpers.waiting import PATIENCE

for name in [name for name in os.environ if name.startswith("DCMON_") and not name.startswith("DCMON_TEST_")]:
    del os.environ[name]


# Where the tests are that take ten seconds and more, the longest first.
SLOW = (
    "acceptance/test_demo.py", "chaos/test_chaos.py", "chaos/monitors/test_chaos.py", "acceptance/",
    "ingestion/test_audit_kafka.py", "ingestion/files/test_sources.py", "ingestion/test_crash_points.py",
    "ingestion/test_kafka_logs.py", "jobs/test_ingest.py", "checks/test_worker_pool.py", "checks/test_plugins.py",
    "monitoring/test_due_window_claims.py", "monitoring/test_late_labels.py", "jobs/test_notify.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each worker begin with its share of the slow tests, so that none of them is left alone with one at the end.

    `--dist worksteal` gives each worker a contiguous part of the tests, and workers that are done take from the end of
    another one's.
    """
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    ranks = {item: _rank(item) for item in items}
    slow = sorted((item for item in items if ranks[item] < len(SLOW)), key=ranks.__getitem__)
    fast, parts = [item for item in items if ranks[item] == len(SLOW)], list[pytest.Item]()
    for number in range(count):
        size = (len(items) - len(parts)) // (count - number)
        share = slow[number::count]
        parts += share + fast[: size - len(share)]
        del fast[: size - len(share)]
    items[:] = parts


def _rank(item: pytest.Item) -> int:
    return next((rank for rank, place in enumerate(SLOW) if place in item.path.as_posix()), len(SLOW))


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what is imported by now: looking through it was a sixth of the CPU time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A test that forgets to choose a data directory gets an empty one, never the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DCMON_DATA_DIR", str(tmp_path / "nothing-here"))


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data directory that an unprivileged PostgreSQL can enter, also when root runs the tests."""
    with server_directory() as path:
        yield path


@pytest.fixture(scope="session", autouse=True)
def _ports_are_chosen_safely() -> Iterator[None]:
    """Servers that are started in this process, and started again, find their port free."""
    original = process.free_port
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(process, "free_port", lambda preferred=None, *host: original(preferred or free_port(), *host))
        yield


# Nothing has to survive a crash of the tests' own server. Servers that dcmon starts itself keep their settings.
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_wal_size": "128MB"}


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """A PostgreSQL: the one of DCMON_TEST_DATABASE_URL, or an embedded one for the session."""
    if given := os.environ.get("DCMON_TEST_DATABASE_URL"):
        yield given
        return
    with server_directory() as path:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(postgres, "OPTIONS", postgres.OPTIONS | NOT_DURABLE)
            server = postgres.start(path)
        yield server.url
        server.stop()


def _database(url: str, name: str) -> str:
    """The URL of a database. On a busy machine its server may need longer for a connection than dcmon waits."""
    patient = make_url(url).set(database=name).update_query_dict({"connect_timeout": str(int(PATIENCE))})
    return patient.render_as_string(hide_password=False)


def _administer(url: str, statement: str) -> None:
    _administration(url).execute(statement.encode())


@cache
def _administration(url: str) -> psycopg.Connection:
    """A connection for the session: one for each statement took a fifth of the time of a database."""
    connection = psycopg.connect(_database(url, "postgres"), autocommit=True)
    atexit.register(connection.close)
    return connection


def _copy(url: str, template: str, name: str) -> None:
    """Create a database from a template. By copying files, and not through the log, it takes half of the CPU time."""
    _administer(url, f"create database {name} template {template} strategy file_copy")


@dataclass(frozen=True)
class Acme:
    """An organization and its token."""

    org: Organization
    token: str


@dataclass(frozen=True)
class TemplateWithAcme:
    """The name of a migrated database with organization acme in it, and acme."""

    name: str
    acme: Acme


@pytest.fixture(scope="session")
def template(server_url: str) -> str:
    """The name of a migrated database that tests copy."""
    name = f"dcmon_template_{uuid.uuid4().hex[:8]}"
    _administer(server_url, f"create database {name}")
    engine = db.engine(_database(server_url, name))
    migrations.upgrade_public(engine)
    engine.dispose()
    return name


@pytest.fixture(scope="session")
def template_with_acme(server_url: str, template: str) -> TemplateWithAcme:
    """A database that tests of one organization copy: creating the organization in each takes three times as long."""
    name = f"{template}_acme"
    _administer(server_url, f"create database {name} template {template}")
    engine = db.engine(_database(server_url, name))
    created = provisioning.create_organization(engine, "acme", "owner@acme.example")
    engine.dispose()
    return TemplateWithAcme(name, Acme(created.organization, created.token))


@pytest.fixture
def empty_url(server_url: str) -> Iterator[str]:
    """A database with nothing in it."""
    name = f"dcmon_test_{uuid.uuid4().hex[:12]}"
    _administer(server_url, f"create database {name}")
    yield _database(server_url, name)
    _administer(server_url, f"drop database {name} with (force)")


@pytest.fixture
def database_url(request: pytest.FixtureRequest, server_url: str) -> Iterator[str]:
    """A migrated database of this test's own; with organization acme in it if the test uses the fixture `acme`."""
    if "acme" in request.fixturenames:
        template: str = request.getfixturevalue("template_with_acme").name
    else:
        template = request.getfixturevalue("template")
    name = f"dcmon_test_{uuid.uuid4().hex[:12]}"
    _copy(server_url, template, name)
    yield _database(server_url, name)
    _administer(server_url, f"drop database {name} with (force)")


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on a migrated database of this test's own."""
    new_engine = db.engine(database_url)
    yield new_engine
    new_engine.dispose()


@pytest.fixture
def acme(database_url: str, template_with_acme: TemplateWithAcme) -> Acme:
    """An organization with a token, in this test's own database."""
    return template_with_acme.acme


@pytest.fixture
def org(acme: Acme) -> Organization:
    """An organization."""
    return acme.org


@pytest.fixture
def app(database_url: str, data_dir: Path) -> Iterator[App]:
    """An App on this test's database."""
    at_once = Evaluate(backfill_quiet=timedelta(), check_processes=1)
    settings = Settings(database_url=SecretStr(database_url), data_dir=data_dir, evaluate=at_once)
    with App(settings, Output(quiet=True)) as new_app:
        yield new_app

"""Fixtures for all tests: a PostgreSQL server per xdist worker, and a migrated database per test."""

import atexit
import gc
import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from itertools import groupby
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from dcmon import db
from dcmon.app import App
from dcmon.db import Organization, migrations
from dcmon.embedded import postgres, postgres_cluster, process
from dcmon.output import Output
from dcmon.settings import Evaluate, Settings
from dcmon.tenancy import provisioning
from tests.helpers import examples  # noqa: F401 - registers the profiles
from tests.helpers.directories import server_directory
from tests.helpers.ports import free_port
from tests.helpers.waiting import PATIENCE, eventually

# Each process that collects tests would wait for the grammars of this package, which jsonschema imports if it can.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]  # an import of it raises ImportError

for name in [name for name in os.environ if name.startswith("DCMON_") and not name.startswith("DCMON_TEST_")]:
    del os.environ[name]


# Paths of the tests that take ten seconds or more, the longest first.
SLOW = (
    "acceptance/test_demo.py", "chaos/test_chaos.py", "chaos/monitors/test_chaos.py", "acceptance/",
    "commands/test_monitor.py", "commands/test_ingest_files.py",
    "ingestion/test_audit_kafka.py", "ingestion/files/test_sources.py", "ingestion/test_crash_points.py",
    "ingestion/test_kafka_logs.py", "jobs/test_ingest.py", "checks/test_worker_pool.py", "checks/test_plugins.py",
    "monitoring/test_due_window_claims.py", "monitoring/test_late_labels.py", "jobs/test_notify.py",
    "storage/test_table_layout.py", "jobs/test_statement_counts.py", "jobs/test_evaluator_faults.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each worker an equal share of the slow tests at its start.

    Otherwise one worker may still run a slow test when all others have ended. `--dist worksteal` gives each worker a
    contiguous part of the tests, and workers that are done take tests from the end of another part. Slow tests that
    share what their module starts stay together, because each worker would start it anew.
    """
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    ranks = {item: _rank(item) for item in items}
    slow = sorted((item for item in items if ranks[item] < len(SLOW)), key=ranks.__getitem__)
    groups = [list(group) for _, group in groupby(slow, _shared_by)]
    fast, parts = [item for item in items if ranks[item] == len(SLOW)], list[pytest.Item]()
    for number in range(count):
        size = (len(items) - len(parts)) // (count - number)
        share = [item for group in groups[number::count] for item in group]
        rest = max(0, size - len(share))
        parts += share + fast[:rest]
        del fast[:rest]
    items[:] = parts


def _rank(item: pytest.Item) -> int:
    return next((rank for rank, path_part in enumerate(SLOW) if path_part in item.path.as_posix()), len(SLOW))


def _shared_by(item: pytest.Item) -> str:
    """Return the module of a test that shares a fixture of its module with others, else its own id."""
    module = item.nodeid.partition("::")[0]
    fixtures = [found[-1] for found in item._fixtureinfo.name2fixturedefs.values()]  # type: ignore[attr-defined]
    is_shared = any(fixture.baseid == module and fixture.scope in ("module", "session") for fixture in fixtures)
    return module if is_shared else item.nodeid


def pytest_collection_finish() -> None:
    """Exclude all imported objects from garbage collection, which took a sixth of the CPU time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


@pytest.fixture(scope="session")
def _empty_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("empty")


@pytest.fixture(scope="session")
def _shared_configuration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("configuration")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, _empty_directory: Path, _shared_configuration: Path
) -> Iterator[None]:
    """Give each test an empty data directory, so that no test uses the directory of the user.

    Tests without `tmp_path` share one that must stay empty: creating thousands takes long.
    """
    has_own = "tmp_path" in request.fixturenames
    directory: Path = request.getfixturevalue("tmp_path") if has_own else _empty_directory
    monkeypatch.chdir(directory)
    monkeypatch.setenv("DCMON_DATA_DIR", str(directory / "no-data"))
    # Libraries write below it too, matplotlib for one, so that it is not in the directory that must stay empty.
    configuration = directory / "configuration" if has_own else _shared_configuration
    monkeypatch.setenv("XDG_CONFIG_HOME", str(configuration))
    yield
    assert has_own or not any(directory.iterdir()), "The test writes files and needs the fixture tmp_path."


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Yield a data directory that an unprivileged PostgreSQL can enter, also when root runs the tests."""
    with server_directory() as path:
        yield path


@pytest.fixture(scope="session", autouse=True)
def _ports_are_chosen_safely() -> Iterator[None]:
    """Servers that are started in this process, and started again, find their port free."""
    original = process.free_port
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(process, "free_port", lambda preferred=None, *host: original(preferred or free_port(), *host))
        yield


# The data of this server may be lost in a crash. Servers that dcmon starts itself keep their durable settings.
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_wal_size": "128MB"}
FOR_TESTS = {"max_prepared_transactions": "2"}


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """Yield the URL of PostgreSQL: DCMON_TEST_DATABASE_URL, or an embedded server for the session."""
    if url_from_environment := os.environ.get("DCMON_TEST_DATABASE_URL"):
        yield url_from_environment
        return
    with server_directory() as path:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(postgres, "OPTIONS", postgres.OPTIONS | NOT_DURABLE | FOR_TESTS)
            # No superuser, as in an installation, but tests create databases, and a replication slot.
            patched.setattr(postgres_cluster, "ROLE_OPTIONS", f"{postgres_cluster.ROLE_OPTIONS} createdb replication")
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
    """Open one connection for the session; a connection per statement took a fifth of the time of a database."""
    connection = psycopg.connect(_database(url, "postgres"), autocommit=True)
    atexit.register(connection.close)
    return connection


def _copy(url: str, template: str, name: str) -> None:
    """Create a database from a template by copying files, which takes half the CPU time of copying through the log."""
    _administer(url, f"create database {name} template {template} strategy file_copy")


def drop_database(url: str, name: str) -> None:
    """Drop a database with its sessions.

    A session of autovacuum belongs to the superuser, so that only a later try succeeds: `force` may not end it.
    """

    def is_dropped() -> bool:
        try:
            _administer(url, f"drop database {name} with (force)")
        except psycopg.errors.InsufficientPrivilege:
            return False
        return True

    assert eventually(is_dropped, every=0.2), name


@contextmanager
def copied_database(server_url: str, template: str) -> Iterator[str]:
    """Yield the URL of a copy of a template database, and drop the copy at the end."""
    name = f"dcmon_test_{uuid.uuid4().hex[:12]}"
    _copy(server_url, template, name)
    yield _database(server_url, name)
    drop_database(server_url, name)


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
    """Create a migrated database that tests copy, and return its name."""
    name = f"dcmon_template_{uuid.uuid4().hex[:8]}"
    _administer(server_url, f"create database {name}")
    engine = db.engine(_database(server_url, name))
    migrations.upgrade_public(engine)
    engine.dispose()
    return name


@pytest.fixture(scope="session")
def template_with_acme(server_url: str, template: str) -> TemplateWithAcme:
    """Create a database with organization acme; creating the organization in each test takes three times as long."""
    name = f"{template}_acme"
    _administer(server_url, f"create database {name} template {template}")
    engine = db.engine(_database(server_url, name))
    created = provisioning.create_organization(engine, "acme", "owner@acme.example")
    engine.dispose()
    return TemplateWithAcme(name, Acme(created.organization, created.token))


@pytest.fixture
def empty_url(server_url: str) -> Iterator[str]:
    """Yield the URL of an empty database."""
    name = f"dcmon_test_{uuid.uuid4().hex[:12]}"
    _administer(server_url, f"create database {name}")
    yield _database(server_url, name)
    drop_database(server_url, name)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, server_url: str) -> Iterator[str]:
    """Yield the URL of this test's own migrated database; it has organization acme if the test uses fixture `acme`."""
    if "acme" in request.fixturenames:
        template: str = request.getfixturevalue("template_with_acme").name
    else:
        template = request.getfixturevalue("template")
    with copied_database(server_url, template) as url:
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Yield an engine of this test's own migrated database."""
    new_engine = db.engine(database_url)
    yield new_engine
    new_engine.dispose()


@pytest.fixture
def acme(database_url: str, template_with_acme: TemplateWithAcme) -> Acme:
    """Return an organization with a token in this test's own database."""
    return template_with_acme.acme


@pytest.fixture
def org(acme: Acme) -> Organization:
    """Return an organization."""
    return acme.org


@pytest.fixture
def app(database_url: str, data_dir: Path) -> Iterator[App]:
    """Yield an App on this test's database."""
    evaluate = Evaluate(backfill_quiet=timedelta(), last_window_quiet=timedelta(hours=1), check_processes=1)
    settings = Settings(database_url=SecretStr(database_url), data_dir=data_dir, evaluate=evaluate)
    with App(settings, Output(quiet=True)) as new_app:
        yield new_app

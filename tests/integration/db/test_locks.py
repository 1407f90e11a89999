"""Advisory locks: work of one organization never waits for another organization."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from dcmon import db, errors
from dcmon.app import App
from dcmon.db import locks, migrations
from dcmon.db.locks import LockSpace, SessionLock
from dcmon.db.tables.org import DataSource
from dcmon.ingestion import reference_loading, store
from dcmon.ingestion.files.scanner import Scanner
from dcmon.ingestion.reference_loading import LoadOptions, ReferenceTable
from dcmon.ingestion.row_batch import RowBatch
from dcmon.monitoring import manual_runs, results
from dcmon.notifications import notification_writer, outbox
from dcmon.notifications.notification_writer import AlertRenderer
from dcmon.settings import S3
from dcmon.storage import models, pruning, version_statistics, versions
from dcmon.storage.expiry import Terms
from dcmon.storage.models import NewModel
from dcmon.storage.pruning_transactions import Prune
from dcmon.tenancy import deletion, provisioning
from dcmon.windows import Window
from tests.helpers.waiting import eventually, is_waiting_for_a_lock
from tests.integration.conftest import Target, labels, new_target, rows

NOW = datetime(2026, 5, 1, tzinfo=UTC)
WINDOW = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
WAIT = timedelta(seconds=60)  # for a lock: who waits longer is held up
SHORT_WAIT = timedelta(seconds=0.3)  # where a lock is held up to the end
INSTALLATION = {LockSpace.LEADER, LockSpace.ORGANIZATION_NAMES, LockSpace.MIGRATION, LockSpace.IMPORT}
NAMED = {LockSpace.MANUAL_RUN, LockSpace.RESULTS, LockSpace.NAMES, LockSpace.FILE_SOURCE}
REFERENCE = ReferenceTable([msgspec.Raw(b'{"age": 1, "job": "j", "_dc_prediction": "1", "_dc_label": "1"}')])

Held = set[tuple[int, int, int]]


@pytest.fixture
def beta(target: Target) -> Target:
    """Create a second organization whose model, version and monitors have the same ids as those of acme."""
    created = provisioning.create_organization(target.engine, "beta", "owner@beta.example")
    beta_target = new_target(target.engine, created.organization)
    assert (beta_target.model_id, beta_target.version_id) == (target.model_id, target.version_id)
    return beta_target


def held_locks(engine: Engine) -> Held:
    """Return the advisory locks in the database: class, object and kind of key."""
    statement = text(
        "select classid::int8, objid::int8, objsubid from pg_locks where locktype = 'advisory'"
        " and database = (select oid from pg_database where datname = current_database())"
    )
    with engine.connect() as connection:
        return {tuple(row) for row in connection.execute(statement)}


@contextmanager
def working(app: App, target: Target) -> Iterator[None]:
    """Hold every lock that work in an organization takes, by the calls that take them."""
    org, engine = target.org, target.engine
    with ExitStack() as stack:
        stack.enter_context(pruning.exclusive(engine, org))
        stack.enter_context(manual_runs.exclusive_run(engine, org, "Age", 1, timedelta(), lambda _: None))
        stack.enter_context(Scanner(engine, org, S3())._exclusive(DataSource(id=1, name="lake")))
        session = stack.enter_context(db.org_session(engine, org, wait=WAIT))
        batch = RowBatch(rows(0, 10), NOW, "samples")
        store.store_samples(session, org, target.version_id, [batch])
        store.store_labels(session, target.model_id, [RowBatch(labels(0, 10), NOW, "labels")])
        models.create(session, NewModel("second", "binary"))
        model, version = versions.get(session, target.version_id)
        reference_loading.load(session, model, version, REFERENCE, LoadOptions(replace=True))
        version_statistics.refreshed(session, model, version)
        results.lock_newest(session, target.version_id, WINDOW, [1, 2])
        notification_writer.block_writers(session, org)
        outbox.claim(session, AlertRenderer(org, "", lambda *_: {}), app.settings.webhooks)
        yield


def test_two_organizations_work_without_a_common_lock(app: App, target: Target, beta: Target) -> None:
    with working(app, target):
        of_acme = held_locks(target.engine)
        with working(app, beta):
            of_beta = held_locks(beta.engine) - of_acme
    assert len(of_acme) == len(of_beta), "no lock of beta is one of acme"
    for held in (of_acme, of_beta):
        numbered = {LockSpace(space) for space, _, kind in held if kind == 2}
        assert numbered == set(LockSpace) - INSTALLATION - NAMED - {LockSpace.DECLARATIONS}  # of no worker
        assert len([kind for _, _, kind in held if kind == 1]) == len(NAMED) + 1, "two monitors, two locks"


def test_same_work_in_one_organization_waits(app: App, target: Target) -> None:
    """This confirms that the locks compared in the test above do exclude a second worker."""
    with working(app, target):
        with pytest.raises(errors.Locked), pruning.exclusive(target.engine, target.org):
            pass
        with pytest.raises(DBAPIError), db.org_session(target.engine, target.org, wait=SHORT_WAIT) as session:
            results.lock_newest(session, target.version_id, WINDOW, [2])
        with pytest.raises(DBAPIError), db.org_session(target.engine, target.org, wait=SHORT_WAIT) as session:
            models.create(session, NewModel("third", "binary"))


def test_migration_of_one_organization_holds_up_no_other(app: App, target: Target, beta: Target) -> None:
    with target.engine.begin() as migration:
        locks.acquire(migration, LockSpace.ORGANIZATION, target.org.id)
        with working(app, beta):
            pass
        migrations.upgrade_org(beta.engine, beta.org)


def test_prune_and_deletion_pass_another_reference_load(app: App, target: Target, beta: Target) -> None:
    """The lock of a load has the number of the version's tables, that of a prune the number of the organization."""
    for number in range(1, 30):  # whatever numbers the tables of acme have
        with target.engine.begin() as load:
            locks.acquire(load, LockSpace.REFERENCE, number)
            with pruning.exclusive(beta.engine, beta.org):
                pass
    with working(app, target):
        terms = Terms(timedelta(days=7), None, NOW)
        assert pruning.run(Prune(beta.engine, beta.org, terms, "tester")) == {}
        with db.org_session(beta.engine, beta.org) as session:
            model, version = versions.get(session, beta.version_id)
            assert reference_loading.load(session, model, version, REFERENCE, LoadOptions(replace=True)).total == 1
        with beta.engine.begin() as connection, app.public() as session:
            connection.execute(text("set local lock_timeout = '60s'"))
            deletion.drop(session, beta.org)


def test_session_lock_ends_with_its_connection(engine: Engine) -> None:
    with SessionLock(engine, LockSpace.LEADER, 0) as lock, SessionLock(engine, LockSpace.LEADER, 0) as second_lock:
        assert lock.try_acquire()
        assert lock.try_acquire(), "it is held already"
        assert not second_lock.try_acquire()
        with engine.begin() as connection:
            connection.execute(
                text("select pg_terminate_backend(pid, 300000) from pg_locks where locktype = 'advisory' and granted")
            )
        assert second_lock.try_acquire()
        assert not lock.is_held()
        assert not lock.try_acquire()


def test_named_locks_are_released_with_the_transaction(target: Target) -> None:
    done = threading.Event()

    def second() -> None:
        with db.org_session(target.engine, target.org) as session:
            locks.acquire_named(session, LockSpace.NAMES, ["models"])
            done.set()

    with db.org_session(target.engine, target.org) as session:
        locks.acquire_named(session, LockSpace.NAMES, ["models"])
        thread = threading.Thread(target=second)
        thread.start()
        assert eventually(lambda: is_waiting_for_a_lock(target.engine))
        assert not done.is_set()
    thread.join(300)
    assert done.is_set()

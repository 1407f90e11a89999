"""Measure the migration of many organizations by one revision, while transactions enter them; then what they cost idle.

python -m benchmarks.migrate     (ORGS=2000 PARALLEL=2)
"""

import os
import threading
import time
from collections.abc import Callable

from sqlalchemy import Engine, text

from benchmarks.installation import Installation, temporary_installation
from benchmarks.measurement import measure, print_figure, print_progress, seconds_of
from dcmon import db
from dcmon.db import Organization, locks, migrations
from dcmon.db.locks import LockSpace
from dcmon.health import status
from dcmon.jobs import health, prune, schedule
from dcmon.tenancy import schema_migration
from dcmon.tenancy.schema_migration import StepState

ORGS, PARALLEL = int(os.environ.get("ORGS", "2000")), int(os.environ.get("PARALLEL", "2"))
AT_ONCE = 20  # organizations of one transaction, because of the memory for locks


def main() -> None:
    """Print how long all organizations took, and the longest wait of a transaction in any of them."""
    with temporary_installation() as installation:
        engine = installation.app.engine
        _create(engine)
        print_progress(f"{ORGS} organizations, {PARALLEL} processes")
        waits, stop = list[float](), threading.Event()
        writer = threading.Thread(target=_enter_all, args=(engine, _organizations(installation), waits, stop))
        writer.start()
        steps = list[schema_migration.Step]()
        elapsed = seconds_of(lambda: steps.extend(schema_migration.migrate(engine, parallel=PARALLEL)))
        stop.set()
        writer.join()
        done = sum(step.state is StepState.MIGRATED for step in steps)
        print_figure(f"migration of {done} organizations", [elapsed], "s", "0.3 s for each", [0.3 * ORGS])
        print_figure("longest wait of a transaction in an organization", [max(waits)], "s", "the promise", [1.0])
        _measure_idle(installation)


def _measure_idle(installation: Installation) -> None:
    """Print the CPU time, of this process and PostgreSQL, of looks at all organizations that have nothing to do."""
    app = installation.app
    works: dict[str, Callable[[], object]] = {
        "migrate, nothing to do": lambda: schema_migration.migrate(app.engine),
        "a first health check": lambda: health.check_health(app),
        "status": lambda: status.collect(app.engine, app.settings, None),
        "the scheduler's sweep": lambda: schedule.sweep(app),
        "a scan of sources": lambda: schedule.scan_sources(app, threading.Event()),
        "a prune": lambda: prune.run(app, threading.Event()),
    }
    for name, work in works.items():
        cost = measure(work, installation.server)
        print_figure(f"{name}: CPU", [cost.cpu], "s", "by the clock", [cost.elapsed])


def _create(engine: Engine) -> None:
    """Create organizations that lack the newest revision: with its SQL, which takes a fifth of the time of Alembic."""
    older = f"{int(db.head('org')) - 1:04d}"
    script = migrations.upgrade_sql("org", None, to=older)
    for first in range(0, ORGS, AT_ONCE):
        with engine.begin() as connection:
            for number in range(first, min(ORGS, first + AT_ONCE)):
                _create_one(connection.exec_driver_sql, number + 1_000, script)
        print_progress(f"{min(ORGS, first + AT_ONCE)} organizations created")


def _create_one(run: Callable[[str], object], org_id: int, script: str) -> None:
    run(f"insert into public.organizations (id, name, schema_name) values ({org_id}, 'o{org_id}', 'org_{org_id}')")
    run(f"create schema org_{org_id}")
    run(f"set local search_path to org_{org_id}")
    run(script.replace("BEGIN;", "").replace("COMMIT;", "").replace("%", "%%"))
    run("set local search_path to public")


def _organizations(installation: Installation) -> list[Organization]:
    with installation.app.engine.connect() as connection:
        rows = connection.execute(text("select id, name, schema_name from organizations where id >= 1000 order by id"))
        return [Organization(*row) for row in rows]


def _enter_all(engine: Engine, orgs: list[Organization], waits: list[float], stop: threading.Event) -> None:
    """Take the lock that each transaction in an organization takes, in one after the other; measure the waits."""
    while not stop.is_set():
        for org in orgs[:: max(1, len(orgs) // 200)]:
            with engine.begin() as connection:
                started_at = time.perf_counter()
                locks.acquire(connection, LockSpace.ORGANIZATION, org.id, shared=True)
                waits.append(time.perf_counter() - started_at)
            if stop.is_set():
                return


if __name__ == "__main__":
    main()

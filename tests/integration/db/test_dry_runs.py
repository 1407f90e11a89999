"""A dry run leaves nothing behind, also of statements that are their own transactions."""

from sqlalchemy import Engine, text

from dcmon.db import dry_runs, work_queue
from dcmon.db.work_queue import Work
from tests.conftest import Acme


def test_a_dry_run_queues_no_work(engine: Engine, acme: Acme) -> None:
    def queued() -> int:
        with engine.connect() as connection:
            statement = text("select count(*) from work_queue where org_id = :id")
            return connection.execute(statement, {"id": acme.org.id}).scalar_one()

    with engine.begin() as connection:
        connection.execute(text("delete from work_queue"))
    dry = dry_runs.engine(engine.url.render_as_string(hide_password=False), dry_runs.Effects())
    try:
        work_queue.enqueue_now(dry, acme.org.id, Work.evaluate)
        assert queued() == 0
    finally:
        dry.dispose()
    work_queue.enqueue_now(engine, acme.org.id, Work.evaluate)
    assert queued() == 1

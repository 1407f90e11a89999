"""A deletion waits for a window of the version that is being stored, and can't deadlock with it."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon import db
from dcmon.ingestion import reference_loading
from dcmon.monitoring import due_windows, lifecycle, version_locks
from dcmon.monitoring.due_windows import VersionWindow
from dcmon.storage import models, versions
from dcmon.windows import Window
from tests.helpers.waiting import eventually, is_waiting_for_a_lock
from tests.integration.conftest import Target

START = datetime(2026, 3, 1, tzinfo=UTC)
LATER = START + timedelta(days=1)

Delete = Callable[[Session, Target], None]


def a_version(session: Session, target: Target) -> None:
    lifecycle.delete_version(session, *versions.get(session, target.version_id))


def a_model(session: Session, target: Target) -> None:
    lifecycle.delete_model(session, models.get(session, target.model_id))


def start(target: Target, delete: Delete) -> threading.Thread:
    def run() -> None:
        with db.org_session(target.engine, target.org) as session:
            delete(session, target)

    deletion = threading.Thread(target=run, daemon=True)
    deletion.start()
    return deletion


def use_version(session: Session, target: Target) -> None:
    """Lock the version as the insertion of a row that refers to it does."""
    session.execute(text("select 1 from versions where id = :id for key share"), {"id": target.version_id})


@pytest.mark.parametrize("delete", [a_version, a_model])
def test_deletion_waits_for_a_window_being_stored(target: Target, delete: Delete) -> None:
    with db.org_session(target.engine, target.org) as session:
        due_windows.add(session, [VersionWindow(target.version_id, Window(START, LATER))])
    with db.org_session(target.engine, target.org) as storing:
        storing.execute(text("select 1 from due_windows for update"))
        deletion = start(target, delete)
        assert eventually(lambda: is_waiting_for_a_lock(target.engine))
        use_version(storing, target)
    deletion.join()
    assert target.scalar("select count(*) from versions") == target.scalar("select count(*) from due_windows") == 0


@pytest.mark.parametrize("delete", [a_version, a_model])
def test_deletion_waits_for_a_reference_being_loaded(target: Target, delete: Delete) -> None:
    """The load locks the version's row last: a deletion that had the row, and waited for the table, would deadlock."""
    table = reference_loading.split_document(
        '{"columns": ["age", "job", "_dc_prediction"], "data": [[30, "clerk", "1"], [40, "cook", "0"]]}'
    )
    with db.org_session(target.engine, target.org) as loading:
        model, version = versions.get(loading, target.version_id)
        assert reference_loading.load(loading, model, version, table).stored == 2
        deletion = start(target, delete)
        assert eventually(lambda: is_waiting_for_a_lock(target.engine))
        assert reference_loading.begin_revision(loading, version) == 1
    deletion.join()
    assert target.scalar("select count(*) from versions") == 0


@pytest.mark.parametrize("delete", [a_version, a_model])
def test_deletion_waits_for_windows_being_made_due(
    target: Target, delete: Delete, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = list[bool]()
    try_lock = version_locks.try_lock
    monkeypatch.setattr(version_locks, "try_lock", lambda *args: tries.append(try_lock(*args)) or tries[-1])
    windows = [VersionWindow(target.version_id, Window(START, LATER))]
    with db.org_session(target.engine, target.org) as session:
        due_windows.add(session, windows)
    with db.org_session(target.engine, target.org) as expanding:
        use_version(expanding, target)
        deletion = start(target, delete)
        assert eventually(lambda: len(tries) > 1)
        due_windows.add(expanding, windows)
    deletion.join()
    assert tries[:2] == [False, False]
    assert tries[-1]
    assert target.scalar("select count(*) from versions") == 0

"""Dead letters of a real topic are listed, retried once and deleted, and the audit stays clean."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dcmon import db
from dcmon.app import App
from dcmon.ingestion import dead_letters, kafka
from dcmon.ingestion.dead_letter_retries import Retry
from dcmon.ingestion.dead_letters import DeadLetterFilter
from dcmon.ingestion.target_cache import TargetCache
from dcmon.jobs import ingest
from dcmon.storage import models, versions
from dcmon.storage.versions import NewVersion
from tests.helpers.command_line import dcmon
from tests.integration.conftest import Target, eventually, rows, running

pytestmark = pytest.mark.kafka


def message(target: Target, version_id: int, first: int, count: int) -> bytes:
    head = {"v": 1, "org": target.org.id, "kind": "samples", "target": version_id, "rows": []}
    return json.dumps(head)[:-2].encode() + b",".join(rows(first, count)) + b"]}"


def entries(app: App, **chosen: Any) -> list[dict[str, Any]]:
    with app.public() as session:
        return dead_letters.entries(session, DeadLetterFilter(**chosen))


@pytest.fixture
def letters(buffered: App, target: Target) -> list[dict[str, Any]]:
    """Send a message for a version that does not exist yet, two unreadable ones and a good one, through the broker."""
    topics = kafka.ensure_topics(buffered.settings.kafka)
    name = next(topic for topic in topics if topic.endswith(".samples"))
    late = message(target, target.version_id + 1, 0, 50)
    bodies = [late, b"not json", b'{"v": 2, "org": 1}', message(target, target.version_id, 0, 10)]
    buffered.producer.send(name, bodies)
    with running(ingest.run, buffered):
        assert eventually(lambda: target.samples == 10 and len(entries(buffered)) == 3)
    return entries(buffered)


def create_version(target: Target) -> int:
    with db.org_session(target.engine, target.org) as session:
        columns = NewVersion("v2", {"age": "numeric", "job": "categorical"}, classes=["0", "1"])
        return versions.create(session, models.get(session, target.model_id), columns).id


def stored_rows(target: Target, version_id: int) -> int:
    return Target(target.engine, target.org, target.model_id, version_id).samples


def test_retried_letters_are_stored_once(buffered: App, target: Target, letters: list[dict[str, Any]]) -> None:
    """Two operators retry the same letters at once; the audit counts each row and dead_letter."""
    late = next(dead_letter for dead_letter in letters if dead_letter["target"] == target.version_id + 1)
    retry = Retry(buffered.engine, TargetCache(buffered.engine), "ann")
    assert retry.retry(late["id"]).reason is not None  # the version does not exist yet
    version_id = create_version(target)
    planned = Retry(buffered.engine, TargetCache(buffered.engine), "ann", dry_run=True).retry(late["id"])
    assert (planned.stored, stored_rows(target, version_id)) == (50, 0)
    retries = [Retry(buffered.engine, TargetCache(buffered.engine), name) for name in ("ann", "bob")]
    with ThreadPoolExecutor(2) as pool:
        done = sorted(
            pool.map(lambda retry: retry.retry(late["id"]), retries), key=lambda dead_letter: dead_letter.stored
        )
    assert [dead_letter.stored for dead_letter in done] == [0, 50]
    assert stored_rows(target, version_id) == 50
    assert late["id"] not in [dead_letter["id"] for dead_letter in entries(buffered)]
    assert [dead_letter["state"] for dead_letter in entries(buffered, with_resolved=True)].count("stored") == 1


def test_commands_list_retry_and_delete(
    buffered: App, target: Target, letters: list[dict[str, Any]], data_dir: Path, database_url: str
) -> None:
    def run(*arguments: str) -> Any:
        done = dcmon("-o", "json", *arguments, data_dir=data_dir, url=database_url)
        return done.returncode, json.loads(done.stdout or "null"), done.stderr

    late = next(dead_letter["id"] for dead_letter in letters if dead_letter["target"] == target.version_id + 1)
    listed = run("dead-letter", "list")[1]
    ids = [dead_letter["id"] for dead_letter in listed]
    assert ids == sorted((dead_letter["id"] for dead_letter in letters), reverse=True)
    assert {dead_letter["org_id"] for dead_letter in listed} == {None, target.org.id}
    assert len(run("--org", "acme", "dead-letter", "list")[1]) == 2
    # The partitions are read in any order, so that the ids of the unreadable two are not known.
    bodies = {run("dead-letter", "show", str(id_))[1]["body"] for id_ in ids if id_ != late}
    assert bodies == {"not json", '{"v": 2, "org": 1}'}
    assert run("dead-letter", "show", "4711")[0] == 5
    code, refused, _ = run("dead-letter", "retry", "--all")
    assert (code, {row["state"] for row in refused}) == (3, {"refused"})
    version_id = create_version(target)
    code, planned, _ = run("dead-letter", "retry", "--all", "--dry-run")
    assert (code, sorted(row["stored"] for row in planned)) == (8, [0, 0, 50])
    assert run("dead-letter", "retry", str(late))[0] == 0
    assert stored_rows(target, version_id) == 50
    assert run("dead-letter", "delete", "--all")[0] == 2  # no terminal to ask on
    assert run("dead-letter", "delete", "--all", "--dry-run")[1] == {"dry_run": True, "deleted": 2, "bytes": 26}
    assert run("dead-letter", "delete", "--all", "--yes")[1]["deleted"] == 2
    assert run("dead-letter", "list")[1] == []
    resolved = [dead_letter["state"] for dead_letter in run("dead-letter", "list", "--all")[1]]
    assert sorted(resolved) == ["deleted", "deleted", "stored"]
    assert run("dead-letter", "retry")[0] == 2
    assert run("audit")[0] == 0

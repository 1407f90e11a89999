"""The log of changes: what triggers record of whom, and that it only grows."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dcmon import authors, db
from dcmon.app import App
from dcmon.authors import Author
from dcmon.db import Organization, change_log, migrations
from dcmon.db.tables import Org, Public
from dcmon.errors import InvalidInput, Unprocessable
from dcmon.jobs import prune
from dcmon.tenancy import audit_log, deletion, organizations, provisioning, tokens
from dcmon.tenancy.audit_log import EntryFilter
from tests.integration.conftest import Target, rows

ANN = Author("ann@acme.org", "http", "203.0.113.5", "dcm_AnnsToken1", "r-17")


def entries(engine: Engine, org: Organization, **wanted: Any) -> list[dict[str, Any]]:
    """Return the entries that match, the oldest first."""
    return audit_log.entries(engine, org, EntryFilter(**wanted), limit=1000).entries[::-1]


@contextmanager
def session_of(author: Author, target: Target) -> Iterator[Session]:
    with authors.acting(author), db.org_session(target.engine, target.org) as session:
        yield session


def trigger_definitions(session: Session) -> dict[str, str]:
    """Return the definition of each table's trigger, without the name of the schema."""
    listed = session.execute(
        text(
            "select c.relname, pg_get_triggerdef(t.oid) from pg_trigger t join pg_class c on c.oid = t.tgrelid"
            " where c.relnamespace = current_schema()::regnamespace and t.tgname = 'record_change'"
        )
    )
    return {row[0]: row[1] for row in listed}


def test_every_logged_table_has_a_trigger_on_each_column(engine: Engine, org: Organization) -> None:
    """A new column is recorded without a line of code, unless the table names it as state."""
    with db.org_session(engine, org) as session:
        of_org = trigger_definitions(session)
    with db.public_session(engine) as session:
        of_public = trigger_definitions(session)
    for base, definitions in ((Org, of_org), (Public, of_public)):
        logged = change_log.logged_tables(base)
        assert definitions.keys() == {table.name for table in logged}
        for table, how in logged.items():
            assert not {*how.state, *how.secret, *how.url} - {column.name for column in table.columns}
            if how.action is None:
                columns = [column.name for column in table.columns if column.name not in how.state]
                assert f"UPDATE OF {', '.join(columns)} ON" in definitions[table.name].replace('"', "")


def test_change_is_recorded_with_its_author_and_values(engine: Engine, target: Target) -> None:
    with session_of(ANN, target) as session:
        session.execute(text("update models set description = 'scores loans'"))
    (entry,) = entries(engine, target.org, author="ann@acme.org")
    assert datetime.now(UTC) - entry.pop("at") < timedelta(hours=1)
    assert entry.pop("id").isdecimal()
    assert entry == {
        "author": "ann@acme.org", "via": "http", "address": "203.0.113.5", "token": "dcm_AnnsToken1",
        "request_id": "r-17", "action": "change", "kind": "model", "object_id": str(target.model_id), "name": "credit",
        "before": {"description": None}, "after": {"description": "scores loans"},
    }  # fmt: skip


def test_change_is_recorded_only_if_it_is_committed(engine: Engine, target: Target) -> None:
    statement = text("update models set description = 'x', label_ratio = 1 / (id - id)")
    with pytest.raises(DBAPIError, match="division by zero"), session_of(ANN, target) as session:
        session.execute(statement)
    assert entries(engine, target.org, author="ann@acme.org") == []


def test_update_without_a_change_is_not_recorded(engine: Engine, target: Target) -> None:
    with session_of(ANN, target) as session:
        session.execute(text("update models set name = name"))
        session.execute(text("update versions set watermark = now(), features = features"))
    assert entries(engine, target.org, author="ann@acme.org") == []


def test_author_of_a_transaction_does_not_stay_on_its_connection(engine: Engine, target: Target) -> None:
    with session_of(ANN, target):
        pass
    with db.org_session(engine, target.org) as session:
        session.execute(text("update models set description = 'by hand'"))
    entry = entries(engine, target.org, kind="model")[-1]
    assert (entry["via"], entry["author"]) == ("sql", engine.url.username)


def test_secrets_are_masked_and_long_values_shortened(engine: Engine, target: Target) -> None:
    with session_of(ANN, target) as session:
        session.execute(
            text(
                "insert into webhooks (name, url, secret, severities, credentials) values"
                " ('team', 'https://user:pa55@hooks.example.org/T00/s3cret?key=s3cret', 's3cret', '[]', :secret)"
            ),
            {"secret": json.dumps({"routing_key": "s3cret"})},
        )
        session.execute(text("update webhooks set secret = 's3cret2', url = 'https://hooks.example.org/s3cret2'"))
        session.execute(text("update webhooks set url = 'https://hooks.example.com'"))
        session.execute(text("update models set description = repeat('long ', 1000)"))
    created, changed, bare, model = entries(engine, target.org, author="ann@acme.org")
    assert created["after"]["secret"] == created["after"]["credentials"] == "***"
    assert created["after"]["url"] == "https://hooks.example.org/…"
    assert changed["before"] == changed["after"] == {"secret": "***", "url": "https://hooks.example.org/…"}
    assert bare["after"] == {"url": "https://hooks.example.com/…"}
    assert model["after"]["description"].endswith("… (5002 characters)")
    assert len(model["after"]["description"]) < 1100
    assert "s3cret" not in str([created, changed])
    assert "pa55" not in str([created, changed])


def test_objects_deleted_with_a_model_have_entries(engine: Engine, target: Target) -> None:
    with session_of(ANN, target) as session:
        session.execute(text("delete from models"))
    deleted = entries(engine, target.org, author="ann@acme.org")
    assert sorted((entry["kind"], entry["name"]) for entry in deleted) == [("model", "credit"), ("version", "v1")]
    assert all(entry["action"] == "delete" and entry["after"] is None for entry in deleted)


def test_log_refuses_changes_and_deletions(engine: Engine, target: Target) -> None:
    statements = (
        "update audit_log set author = 'eve'", "delete from audit_log", "truncate audit_log",
        "select prune_audit_log(now() + interval '1 day', 10)",
    )  # fmt: skip
    before = entries(engine, target.org)
    for statement in statements:
        for opened in (lambda: db.org_session(engine, target.org), lambda: db.public_session(engine)):
            with pytest.raises(DBAPIError, match="can't be changed"), opened() as session:
                session.execute(text(statement))
    assert entries(engine, target.org) == before


def age_entries(engine: Engine, schema: str, kind: str) -> None:
    """Set the time of entries back by 500 days, as the owner of the database can."""
    with engine.begin() as connection:
        connection.execute(text(f"set local search_path = {schema}"))
        connection.execute(text("alter table audit_log disable trigger append_only"))
        connection.execute(
            text("update audit_log set at = at - interval '500 days' where kind = :kind"), {"kind": kind}
        )
        connection.execute(text("alter table audit_log enable trigger append_only"))


def test_prune_deletes_old_entries_and_records_it(app: App, target: Target) -> None:
    engine = app.engine
    age_entries(engine, target.org.schema, "model")
    age_entries(engine, "public", "member")
    assert {entry["kind"] for entry in entries(engine, target.org)} >= {"model", "member", "version", "token"}
    with authors.acting(Author("dcmon", "job prune")):
        (pruned,) = prune.prune(app, [target.org], "scheduler")
    assert pruned.skipped is None
    assert sum(pruned.removed.values()) == 1  # that of "public" is no organization's
    left = entries(engine, target.org)
    assert not {entry["kind"] for entry in left} & {"model", "member"}
    records = [entry for entry in left if entry["action"] == "prune"]
    assert [(entry["kind"], entry["via"], entry["before"]["entries"]) for entry in records] == [
        ("audit log", "job prune", 1), ("audit log", "job prune", 1)
    ]  # fmt: skip


def test_prune_of_public_is_of_no_organization(app: App, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is done once in a run, and its rows are counted for none of the organizations."""
    other = provisioning.create_organization(app.engine, "other", "eve@other.org").organization
    age_entries(app.engine, "public", "member")
    counts, prune_public = list[int](), audit_log.prune_public

    def count(*arguments: Any) -> int:
        counts.append(prune_public(*arguments))
        return counts[-1]

    monkeypatch.setattr(audit_log, "prune_public", count)
    pruned = prune.prune(app, [target.org, other], "scheduler")
    assert counts == [2]
    assert [sum(each.removed.values()) for each in pruned] == [0, 0]


def test_organization_tokens_and_members_are_in_its_log(engine: Engine, org: Organization) -> None:
    other = provisioning.create_organization(engine, "other", "eve@other.org").organization
    with authors.acting(ANN), db.public_session(engine) as session:
        owner = organizations.owner(session, org.id)
        token = tokens.create(session, org.id, owner.id, "scoring")
        tokens.revoke(session, org.id, token)
        organizations.set_terms(session, org, timedelta(days=90), timedelta(days=730))
    created, revoked, changed = entries(engine, org, author="ann@acme.org")
    assert (created["kind"], created["name"], created["after"]["digest"]) == ("token", "scoring", "***")
    assert token[15:] not in str(created)
    assert revoked["before"] == {"revoked_at": None}
    assert changed["after"]["retention"] == "90 days"
    assert entries(engine, other, author="ann@acme.org") == []
    with authors.acting(ANN):
        deletion.delete(engine, other)
    with db.public_session(engine) as session:
        deleted = session.scalar(
            text("select name from audit_log where action = 'delete' and kind = 'organization' and author = :ann"),
            {"ann": "ann@acme.org"},
        )
    assert deleted == "other"


def test_entry_of_an_unknown_kind_is_refused(engine: Engine, target: Target) -> None:
    """No filter would find it."""
    with session_of(ANN, target) as session:
        with pytest.raises(Unprocessable, match="'spaceship'"):
            audit_log.record(session, "spaceship", "launch", {})
        audit_log.record(session, "notification", "retry", {"retried": 1})
    assert [entry["action"] for entry in entries(engine, target.org, kind="notification")] == ["retry"]


def test_pages_have_every_entry_once_in_order(engine: Engine, target: Target) -> None:
    with session_of(ANN, target) as session:
        for number in range(7):
            session.execute(text("update models set description = :text"), {"text": str(number)})
    everything = audit_log.entries(engine, target.org, EntryFilter(), limit=1000)
    assert everything.next is None
    for size in (1, 2, 3, len(everything.entries)):
        collected, position = list[dict[str, Any]](), None
        while True:
            page = audit_log.entries(engine, target.org, EntryFilter(), limit=size, before=position)
            collected += page.entries
            if (position := page.next) is None:
                break
        assert collected == everything.entries
    with pytest.raises(InvalidInput, match="no position"):
        audit_log.entries(engine, target.org, EntryFilter(), before="yesterday~3")


def test_operators_changes_of_rows_and_alerts_are_recorded(app: App, target: Target) -> None:
    """The histories of rows and alerts have lines of dcmon itself, too, which are not recorded."""
    app.ingestion.ingest_samples(target.org, target.version_id, rows(0, 5))
    assert entries(app.engine, target.org, kind="rows") == []
    with session_of(ANN, target) as session:
        session.execute(
            text(
                "insert into batches (action, kind, source, model_id, version_id, taken, stored, duplicates,"
                " quarantined, removed, by, note) values ('delete', 'samples', 'deletion', 1, 1, 0, -5, 0, 0, 5,"
                " 'ann', 'wrong unit')"
            )
        )
    (entry,) = entries(app.engine, target.org, kind="rows")
    assert (entry["action"], entry["author"], entry["after"]["removed"]) == ("delete", "ann@acme.org", 5)


def test_triggers_survive_a_second_migration(engine: Engine, target: Target) -> None:
    migrations.upgrade_org(engine, target.org)
    migrations.upgrade_public(engine)
    with session_of(ANN, target) as session:
        session.execute(text("update models set description = 'x'"))
    assert len(entries(engine, target.org, author="ann@acme.org")) == 1


def test_prune_of_results_is_recorded_by_table(app: App, target: Target) -> None:
    """The ledger has lines of rows only."""
    app.ingestion.ingest_samples(target.org, target.version_id, rows(0, 5))  # of March 2026
    with db.public_session(app.engine) as session:
        organizations.set_terms(session, target.org, timedelta(days=30), timedelta(days=30))
    with authors.acting(Author("root", "cli", "box")):
        (pruned,) = prune.prune(app, [target.org], "root")
    assert pruned.skipped is None
    (entry,) = entries(app.engine, target.org, kind="retention")
    assert (entry["author"], entry["via"], entry["address"], entry["action"]) == ("root", "cli", "box", "prune")
    assert entry["after"]["samples"] == 5

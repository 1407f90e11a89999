"""What reads many organizations: it enters those that have rows, with connections that forget the others."""

import threading

import pytest
from sqlalchemy import Engine, text

from dcmon import db
from dcmon.app import App
from dcmon.commands.shared import lists
from dcmon.db import Organization, connections, filled_tables, session
from dcmon.jobs import schedule
from dcmon.tenancy import provisioning
from tests.helpers.statements import recorded_statements


def test_only_schemas_with_rows_are_filled(engine: Engine, org: Organization) -> None:
    other = provisioning.create_organization(engine, "other", "o@other.example").organization

    def schemas(*tables: str) -> set[str]:
        with db.public_session(engine) as public:
            return filled_tables.schemas_with(public, *tables)

    assert schemas("sources", "webhooks") == set()
    with db.org_session(engine, other) as entered:
        entered.execute(text("insert into webhooks (name, url, secret, severities) values ('w', 'u', 'x', '[]')"))
    assert schemas("sources", "webhooks") == {other.schema}


def test_jobs_do_not_enter_organizations_without_rows(app: App, org: Organization) -> None:
    stop = threading.Event()
    schedule.scan_sources(app, stop)  # a first connection asks PostgreSQL for its version
    with recorded_statements() as recorded:
        schedule.scan_sources(app, stop)
        schedule.merge_ledger_lines(app, stop)
    assert recorded.by_sender == {"jobs/schedule.py: _organizations": 2, "tenancy/organizations.py: entries": 2}


def test_connection_that_peeked_into_many_is_replaced(
    engine: Engine, org: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = provisioning.create_organization(engine, "other", "o@other.example").organization
    monkeypatch.setattr(session, "MOST_PEEKED", 1)
    with db.peeking(engine) as peek:
        rows = [peek(entered, "select pg_backend_pid(), current_schema()") for entered in (org, org, other, other, org)]
    assert [schema for _, schema in rows] == [org.schema] * 2 + [other.schema] * 2 + [org.schema]
    assert rows[0] == rows[1]
    assert rows[2] == rows[3]
    assert len({pid for pid, _ in rows}) == 3


def test_connection_that_entered_many_is_replaced(
    engine: Engine, org: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = provisioning.create_organization(engine, "other", "o@other.example").organization
    engine.dispose()

    def pid(entered: Organization) -> int:
        with db.org_session(engine, entered) as opened:
            return int(opened.scalar(text("select pg_backend_pid()")) or 0)

    monkeypatch.setattr(connections, "MOST_SCHEMAS", 1)
    first = pid(org)
    assert [pid(org), pid(other)] == [first, first]
    second = pid(org)
    assert second != first
    assert pid(org) == second


def test_list_of_all_orgs_enters_those_with_rows(app: App, engine: Engine, org: Organization) -> None:
    other = provisioning.create_organization(engine, "other", "o@other.example").organization

    def names(table: str | None) -> list[str]:
        return [entered.name for entered in lists._organizations_with(app, table)]

    assert names("webhooks") == ["acme"]  # it says that the list is empty
    with db.org_session(engine, other) as entered:
        entered.execute(text("insert into webhooks (name, url, secret, severities) values ('w', 'u', 'x', '[]')"))
    assert names("webhooks") == ["other"]
    assert names(None) == ["acme", "other"]

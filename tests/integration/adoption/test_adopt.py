"""An organization of the old system comes into dcmon with its rows, and its database is only read."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import psycopg
import pytest
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import ProgrammingError

from dcmon import db, errors
from dcmon.adoption import adopt, old_database, people, verification
from dcmon.adoption.adopt import Adoption
from dcmon.adoption.summary import Summary
from dcmon.app import App
from dcmon.db import Organization
from dcmon.ingestion import audit_reader
from dcmon.tenancy import imported_tokens, organizations, tokens
from dcmon.tenancy.permissions import Role
from tests.conftest import Acme
from tests.helpers import old_system
from tests.helpers.waiting import eventually

TOKEN = "YW5uQGFjbWUuZXhhbXBsZQ==.0123456789abcdefghijkl"


@pytest.fixture
def old_url(empty_url: str, server_url: str) -> Iterator[str]:
    """Yield the URL of a filled database of the old system, for a role that may only read."""
    hashed = bcrypt.hashpw(TOKEN.partition(".")[2].encode(), bcrypt.gensalt(4)).decode()
    old_system.create(empty_url, hashed=hashed)
    role = f"reader_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(empty_url, autocommit=True) as owner:
        owner.execute(f"create role {role} login password 'reads'".encode())
        for schema in ("public", old_system.SCHEMA):
            owner.execute(f"grant usage on schema {schema} to {role}".encode())
            owner.execute(f"grant select on all tables in schema {schema} to {role}".encode())
    yield make_url(empty_url).set(username=role, password="reads").render_as_string(hide_password=False)
    with psycopg.connect(empty_url, autocommit=True) as owner:
        owner.execute(f"grant {role} to current_user".encode())
        owner.execute(f"drop owned by {role}".encode())
        owner.execute(f"drop role {role}".encode())


def moved(summary: Summary) -> dict[str, tuple[int, int]]:
    return {kind: (entry.total, entry.adopted) for kind, entry in summary.kinds.items()}


def run(app: App, url: str, *, dry_run: bool = False) -> Summary:
    (summary,) = adopt.run(Adoption(app.engine, app.settings, lambda _: None), url, dry_run=dry_run)
    return summary


def names(engine: Engine) -> list[str]:
    with db.public_session(engine) as session:
        return [org.name for org in organizations.entries(session)]


def adopted(engine: Engine) -> Organization:
    with db.public_session(engine) as session:
        return organizations.find(session, "acme")


def schemas(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.scalars(text("select nspname from pg_namespace where nspname ~ '^org_'")))


def assert_complete(app: App) -> None:
    org = adopted(app.engine)
    with db.org_session(app.engine, org) as session:

        def scalar(statement: str) -> object:
            return session.execute(text(statement)).scalar_one()

        relation = scalar("select relation from versions where id = 5")
        assert scalar(f"select count(*) from samples_{relation}") == 499
        assert scalar(f"select count(label) from labels_{relation}") == 250
        assert scalar(f"select count(*) from reference_{relation}") == 200
        assert scalar(f"select age is null from samples_{relation} where _dc_sample_id = 's''3'")
        assert scalar("select count(*) from quarantine") == 1
        assert scalar("select array_agg(id) from monitors where check_id = 7") == [9]
        assert scalar("select threshold from alert_rules where id = 21") == 0.3
        assert scalar("select severities::text from webhooks where id = 2") == '["critical"]'
        assert scalar("select count(*) from model_members") == 2
    with db.public_session(app.engine) as session:
        bearer = tokens.authenticate(session, TOKEN)
    assert (bearer.email, bearer.role, bearer.organization.id) == ("ann@acme.example", "owner", org.id)
    findings = [finding for result in audit_reader.run_audit(app.engine, [org]) for finding in result.findings]
    assert findings == []


def test_organization_is_adopted_with_its_rows_and_ids(app: App, old_url: str, empty_url: str) -> None:
    before = old_system.digest(empty_url)
    summary = run(app, old_url)

    assert_complete(app)
    assert moved(summary) == {
        "models": (1, 1), "versions": (1, 1), "checks": (2, 1), "members of models": (2, 2), "samples": (500, 499),
        "labels": (250, 250), "reference rows": (200, 200), "monitors": (2, 1), "rules": (2, 1), "receivers": (1, 1),
        "data-ingestion rules": (1, 1), "users": (2, 2), "tokens": (1, 1), "alerts": (2, 0),
    }  # fmt: skip
    assert "OwnCheck" in str(summary.kinds["checks"].reasons)
    assert old_system.digest(empty_url) == before


def test_dry_run_counts_and_leaves_nothing(app: App, old_url: str) -> None:
    summary = run(app, old_url, dry_run=True)
    assert moved(summary)["samples"] == (500, 500)
    assert moved(summary)["rules"] == (2, 1)
    assert (names(app.engine), schemas(app.engine)) == ([], [])


@pytest.mark.parametrize("where", ["members", "comparison"])
def test_adoption_that_was_killed_goes_on(app: App, old_url: str, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Nothing is visible after a kill -9, and what was stored is not stored twice."""
    with monkeypatch.context() as patched:
        if where == "members":
            patched.setattr(people, "ids", lambda *_: 1 / 0)
        else:
            patched.setattr(verification, "compare", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(app, old_url)
    assert (names(app.engine), len(schemas(app.engine))) == ([], 1)

    run(app, old_url)

    assert_complete(app)
    assert len(schemas(app.engine)) == 1
    repeated = run(app, old_url)
    assert moved(repeated) == {"organization": (1, 1)}
    assert "an earlier run" in str(repeated.kinds["organization"].reasons)


def test_object_that_can_not_be_read_stops_nothing(app: App, old_url: str, empty_url: str) -> None:
    """Each is counted with its reason: unknown words, missing numbers, a token whose hash is too costly."""
    costly = "$2b$13$" + "a" * 53
    with psycopg.connect(empty_url) as owner:
        owner.execute("set search_path to org_acme, public")
        owner.execute("insert into alert_webhooks (id, name, kind) values (5, 'bird', 'PIGEON')")
        owner.execute(
            "insert into alert_webhooks (id, name, kind, http_url, notification_levels)"
            " values (6, 'loud', 'STANDARD', 'https://hooks.example/x', '[\"LOUD\"]')"
        )
        owner.execute("insert into models (id, name, task_type) values (4, 'empty', 'BINARY')")
        owner.execute("insert into model_versions (id, model_id, name) values (6, 4, 'v1')")
        owner.execute("insert into checks values (14, 3, 'Nameless', '{}'), (15, 3, 'Void', null)")
        owner.execute("insert into data_ingestion_alert_rules (id, model_id, name) values (2, 3, 'void')")
        owner.execute("update public.users set api_secret_hash = %s where id = 12", [costly])

    tried = moved(run(app, old_url, dry_run=True))
    summary = run(app, old_url)

    assert_complete(app)
    expected = {
        "models": (2, 1), "versions": (2, 1), "checks": (4, 1), "receivers": (3, 1), "data-ingestion rules": (2, 1),
        "tokens": (2, 1),
    }  # fmt: skip
    assert {kind: moved(summary)[kind] for kind in expected} == expected
    assert {kind: tried[kind] for kind in expected} == expected
    reasons = " ".join(str(entry.reasons) for entry in summary.kinds.values())
    for reason in ("PIGEON", "not a valid Severity", "Nameless", "bob@acme.example: its hash", "void"):
        assert reason in reasons


def test_token_of_another_organization_is_not_adopted(app: App, old_url: str, acme: Acme) -> None:
    """It opens the other organization, as before."""
    with app.public() as session:
        organizations.rename(session, acme.org, "other")
        line = f"ann@acme.example,$2b$04${'a' * 53}"
        (imported,) = imported_tokens.import_lines(session, acme.org.id, [line], Role.MEMBER)
        assert imported.outcome == "imported"
    summary = run(app, old_url)
    assert moved(summary)["tokens"] == (1, 0)
    assert "ann@acme.example: It opens another organization already." in summary.kinds["tokens"].reasons


def test_error_of_the_own_database_is_not_of_the_old(app: App, old_url: str) -> None:
    with old_database.reading(old_url) as old:
        with pytest.raises(ProgrammingError), app.engine.connect() as connection:
            connection.execute(text("select nonsense"))
        with pytest.raises(errors.DcmonError, match="The old database at"):
            old.scalar("select nonsense")


def test_row_that_is_missing_is_noticed(app: App, old_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification.OldDatabase, "count", lambda *_: 501)
    with pytest.raises(errors.DcmonError, match="credit/v1 differs"):
        run(app, old_url)
    assert (names(app.engine), schemas(app.engine)) == ([], [])


def test_rows_that_came_after_an_interruption_are_moved(
    app: App, old_url: str, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second run goes on after the last id, and the new row has a smaller one: so the third begins again."""
    with monkeypatch.context() as patched:
        patched.setattr(verification, "compare", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(app, old_url)
    with psycopg.connect(empty_url) as owner:
        table = "org_acme.model_3_monitor_data_5"
        owner.execute(f"insert into {table} select 'a', _dc_time, _dc_prediction from {table} limit 1".encode())
    with pytest.raises(verification.Differs, match="type the command again"):
        run(app, old_url)

    assert moved(run(app, old_url))["samples"] == (501, 500)


def test_adoption_that_is_killed_with_9_goes_on(
    app: App, old_url: str, empty_url: str, database_url: str, tmp_path: Path
) -> None:
    """A real process, when the samples are stored and the labels are read."""
    own = {"DCMON_DATABASE_URL": database_url, "DCMON_DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "dcmon", "adopt", "--from", old_url]
    with psycopg.connect(empty_url) as owner:
        owner.execute("lock table org_acme.model_3_sample_labels in access exclusive mode")
        adopting = subprocess.Popen(command, env={**os.environ, **own})
        waiting = "select exists (select from pg_locks where not granted)"
        assert eventually(lambda: owner.execute(waiting).fetchone() == (True,))
        adopting.kill()
        adopting.wait()
    assert (names(app.engine), len(schemas(app.engine))) == ([], 1)

    assert subprocess.run(command, env={**os.environ, **own}, check=False).returncode == 8
    assert_complete(app)


def test_database_of_another_shape_is_refused(app: App, database_url: str) -> None:
    with pytest.raises(errors.InvalidInput, match="organization_id"):
        run(app, database_url)
    with pytest.raises(errors.InvalidInput, match="URL"):
        run(app, "nonsense")
    with pytest.raises(errors.Unreachable):
        run(app, "postgresql://u:p@127.0.0.1:1/old")


def test_kinds_of_objects_are_shown_as_rows() -> None:
    summary = Summary("acme")
    summary.add("rules", adopted=2)
    summary.add("rules", left=1, reason="x")
    assert summary.rows() == [
        {"org": "acme", "kind": "rules", "total": 3, "adopted": 2, "not_adopted": 1, "reason": "1: x"}
    ]

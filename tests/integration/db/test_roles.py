"""The second wall between organizations: a role of PostgreSQL for each, entered with its schema."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.db import Organization, migrations, roles
from dcmon.db import session as session_module
from dcmon.db.connections import sqlstate
from dcmon.ingestion.intake import Direct
from dcmon.tenancy import deletion, missing_roles, organizations, provisioning, schema_migration
from tests.conftest import Acme, drop_database
from tests.integration.conftest import Target, labels, new_target, rows

OBJECTS = text("""
    select c.relname, c.relkind from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = :schema and c.relkind in ('r', 'p', 'S') order by 1
""")
READABLE_IN_PUBLIC = {"committed_offsets"}


@pytest.fixture
def other(engine: Engine, target: Target) -> Target:
    """Return a filled model version of a second organization."""
    created = provisioning.create_organization(engine, "other", "owner@other.example")
    filled = new_target(engine, created.organization)
    intake = Direct(engine)
    intake.ingest_samples(filled.org, filled.version_id, rows(0, 20))
    intake.ingest_labels(filled.org, filled.model_id, labels(0, 20))
    return filled


def objects(engine: Engine, schema: str) -> list[tuple[str, str]]:
    with engine.connect() as connection:
        return [(name, kind) for name, kind in connection.execute(OBJECTS, {"schema": schema})]


def refusal(session: Session, statement: str) -> str | None:
    """Run a statement in a savepoint; return the SQLSTATE of its error."""
    try:
        with session.begin_nested():
            session.execute(text(statement))
    except DBAPIError as error:
        return sqlstate(error)
    return None


def owners(engine: Engine, schema: str) -> set[str]:
    statement = text("""
        select pg_get_userbyid(nspowner) from pg_namespace where nspname = :schema
        union select pg_get_userbyid(relowner) from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname = :schema
        union select pg_get_userbyid(proowner) from pg_proc p join pg_namespace n on n.oid = p.pronamespace
         where n.nspname = :schema
    """)
    with engine.connect() as connection:
        return set(connection.scalars(statement, {"schema": schema}))


def test_everything_in_another_schema_is_refused(engine: Engine, target: Target, other: Target) -> None:
    """Tables of migrations, tables made at run time, their partitions, and sequences."""
    found = objects(engine, other.org.schema)
    assert {kind for _, kind in found} == {"r", "p", "S"}
    assert {re.sub(r"\d.*", "", name) for name, _ in found} >= {"samples_", "labels_", "reference_", "ids_", "models"}
    assert any(re.fullmatch(r"samples_\d+_.+", name) for name, _ in found), "a partition"
    with db.org_session(engine, target.org) as session:
        for name, kind in found:
            place = f"{other.org.schema}.{name}"
            statements = [f"select * from {place}"]
            statements += (
                [f"select nextval('{place}')"]
                if kind == "S"
                else [f"insert into {place} default values", f"delete from {place}", f"drop table {place}",
                      f"update {place} set ctid = ctid", f"truncate {place}", f"copy {place} to stdout"]
            )  # fmt: skip
            assert {refusal(session, statement) for statement in statements} == {"42501"}, name
        assert refusal(session, f"create table {other.org.schema}.mine (a int)") == "42501"
        assert refusal(session, f"drop schema {other.org.schema} cascade") == "42501"


def test_public_is_closed_but_for_what_is_needed(engine: Engine, target: Target) -> None:
    with db.org_session(engine, target.org) as session:
        for name, kind in objects(engine, "public"):
            if kind == "S":
                continue
            expected = None if name in READABLE_IN_PUBLIC else "42501"
            assert refusal(session, f"select * from public.{name}") == expected, name
            assert refusal(session, f"delete from public.{name}") == "42501", name
        assert refusal(session, "select nextval('public.relation_numbers')") is None
        assert refusal(session, "create table public.mine (a int)") == "42501"


def test_functions_that_act_as_their_owner_are_refused(engine: Engine, target: Target) -> None:
    """The log in "public" has entries of all organizations: a role may neither prune it nor write into it."""
    definers = text("select proname, oidvectortypes(proargtypes), prorettype::regtype::text"
                    " from pg_proc where prosecdef and pronamespace = 'public'::regnamespace")  # fmt: skip
    with engine.connect() as connection:
        functions = [(f"public.{name}({of})", kind) for name, of, kind in connection.execute(definers)]
    assert len(functions) >= 3
    with db.org_session(engine, target.org) as session:
        session.execute(text("create table mine (a int)"))
        assert refusal(session, "select public.prune_audit_log(now() - interval '31 days', 10)") == "42501"
        for name, kind in functions:
            assert not session.scalar(text("select has_function_privilege(:name, 'execute')"), {"name": name}), name
            create = f"create trigger forged after insert on mine for each row execute function {name}"
            assert kind != "trigger" or refusal(session, create) == "42501", name


def test_role_owns_all_that_its_organization_makes(engine: Engine, other: Target) -> None:
    """It may make and drop tables at run time, and no other role owns anything in its schema."""
    assert len(owners(engine, other.org.schema)) == 1
    with db.org_session(engine, other.org) as session:
        assert session.scalar(text("select current_user")) in owners(engine, other.org.schema)
        assert refusal(session, "create table made (id int)") is None
        assert refusal(session, "drop table made") is None
    assert other.samples == 20
    assert other.labels == 20


@contextmanager
def single_connection(engine: Engine) -> Iterator[Engine]:
    """Yield an engine with one connection, which all transactions use in turn."""
    url = engine.url.set(drivername="postgresql+psycopg")
    single = create_engine(url, pool_size=1, max_overflow=0, connect_args={"prepare_threshold": None})
    yield single
    single.dispose()


def test_connection_of_the_pool_carries_no_role_over(engine: Engine, target: Target, other: Target) -> None:
    """Organizations take turns on one connection, after commits, errors, savepoints and cancelled statements."""
    failures = ["select 1 / 0", "select * from missing", f"select * from {other.org.schema}.models"]
    with single_connection(engine) as single:
        for number in range(12):
            org = (target.org, other.org)[number % 2]
            with db.org_session(single, org) as session:
                with session.begin_nested():
                    session.execute(text("select count(*) from models"))
                assert session.scalar(text("select current_schema()")) == org.schema
                assert {session.scalar(text("select current_user"))} == owners(engine, org.schema)
            with pytest.raises(DBAPIError), db.org_session(single, org) as session:
                session.execute(text(failures[number % 3] if org is target.org else failures[0]))
            with pytest.raises(DBAPIError, match="timeout"), db.org_session(single, org) as session:
                session.execute(text("set local statement_timeout = 20; select pg_sleep(600)"))
            with db.peeking(single) as peek:
                assert peek(org, "select current_user, current_schema()")[1] == org.schema
                with pytest.raises(errors.Unavailable):
                    peek(org, f"select * from {other.org.schema}.models" if org is target.org else "select x")
            with single.connect() as connection:
                row = connection.execute(text("select current_user, session_user, current_schema()")).one()
                assert row == (engine.url.username, engine.url.username, "public")


def test_roles_are_made_for_an_older_database(engine: Engine, other: Target, target: Target) -> None:
    """Tables that the connecting role owns, as in older releases, go to the role at the next `dcmon migrate`."""
    with engine.begin() as connection:
        role = roles.owner(connection, other.org.schema)
        connection.exec_driver_sql(f"alter schema {other.org.schema} owner to {engine.url.username}")
        for name, kind in objects(engine, other.org.schema):
            if kind != "S":
                connection.exec_driver_sql(f"alter table {other.org.schema}.{name} owner to {engine.url.username}")
        functions = text(
            "select cast(oid as regprocedure) from pg_proc where pronamespace = cast(:schema as regnamespace)"
        )
        for function in connection.scalars(functions, {"schema": other.org.schema}).all():
            connection.exec_driver_sql(f"alter routine {function} owner to {engine.url.username}")
    session_module._KNOWN_ROLES.clear()  # as in a new process
    assert other.samples == 20  # without a role of its own the organization works as before
    with engine.connect() as connection:
        assert [org.name for org in roles.without(connection)] == ["other"]

    schema_migration.migrate(engine)

    assert owners(engine, other.org.schema) == {role}
    assert (other.samples, target.samples) == (20, 0)
    assert missing_roles.read(engine).statements == []


def test_stray_table_is_usable_and_repaired(engine: Engine, org: Organization) -> None:
    """A process of an older release makes a table without entering the role."""
    with engine.begin() as connection:
        connection.exec_driver_sql(f"create table {org.schema}.stray (a int)")
    with db.org_session(engine, org) as session:
        session.execute(text("insert into stray values (1)"))

    schema_migration.migrate(engine)

    assert len(owners(engine, org.schema)) == 1
    with db.org_session(engine, org) as session:
        session.execute(text("drop table stray"))


def test_deleted_organization_leaves_no_role(engine: Engine, target: Target, other: Target) -> None:
    [role] = owners(engine, other.org.schema)

    deletion.delete(engine, other.org)

    with engine.connect() as connection:
        assert connection.scalar(text("select count(*) from pg_roles where rolname = :role"), {"role": role}) == 0
    with pytest.raises(errors.OrganizationNotFound), db.org_session(engine, other.org):
        pass
    assert target.samples == 0


def test_copy_of_a_database_keeps_the_shared_role(engine: Engine, acme: Acme) -> None:
    """Acme's role is shared with the template of this database: its schema there stays usable."""
    [role] = owners(engine, acme.org.schema)

    deletion.delete(engine, acme.org)

    with engine.connect() as connection:
        assert connection.scalar(text("select count(*) from pg_roles where rolname = :role"), {"role": role}) == 1


def count_missing(engine: Engine) -> int:
    with db.public_session(engine) as session:
        return missing_roles.count(session)


@pytest.fixture
def plain_engine(engine: Engine, server_url: str) -> Iterator[Engine]:
    """Yield an engine of a role that owns a database of its own and may not create roles."""
    name = f"plain_{make_url(engine.url).database}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"create role {name} login createdb password 'x'".encode())
        connection.execute(f"grant {name} to current_user".encode())
        connection.execute(f"create database {name} owner {name}".encode())
    plain = db.engine(make_url(server_url).set(username=name, password="x", database=name).render_as_string(False))
    yield plain
    plain.dispose()
    drop_database(server_url, name)
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"drop role {name}".encode())


def test_role_that_may_not_create_roles_works(engine: Engine, plain_engine: Engine) -> None:
    """The organization works without the wall; an administrator runs the printed SQL; `migrate` builds the wall."""
    schema_migration.migrate(plain_engine)
    org = provisioning.create_organization(plain_engine, "acme", "owner@acme.example").organization
    target = new_target(plain_engine, org)
    Direct(plain_engine).ingest_samples(org, target.version_id, rows(0, 10))
    missing = missing_roles.read(plain_engine)
    assert (missing.organizations, missing.connecting_role) == (1, plain_engine.url.username)
    assert count_missing(plain_engine) == 1

    with engine.begin() as connection:
        for statement in missing.statements:
            connection.exec_driver_sql(statement)
    schema_migration.migrate(plain_engine)

    assert count_missing(plain_engine) == 0
    assert owners(plain_engine, org.schema) != {plain_engine.url.username}
    assert target.samples == 10
    with db.org_session(plain_engine, org) as session:
        assert refusal(session, "select * from public.tokens") == "42501"
    [role] = owners(plain_engine, org.schema)
    deletion.delete(plain_engine, org)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"drop role {role}")


def test_role_that_can_not_be_entered_is_named(engine: Engine, org: Organization) -> None:
    with engine.begin() as connection:
        role = roles.owner(connection, org.schema)
        connection.exec_driver_sql(f"revoke {role} from {engine.url.username}")
        try:
            with pytest.raises(errors.RoleUnusable, match="permission denied to set role"):
                db.enter(connection, org)
        finally:
            connection.rollback()


def test_interrupted_creation_of_roles_is_continued(
    engine: Engine, target: Target, other: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill after the first organization leaves the second as it was."""
    with engine.begin() as connection:
        for org in (target.org, other.org):
            connection.exec_driver_sql(f"alter schema {org.schema} owner to {engine.url.username}")
    session_module._KNOWN_ROLES.clear()
    create = migrations.create_role

    def killed_at_the_second(engine: Engine, org: Organization) -> bool:
        if org.name == "other":
            raise KeyboardInterrupt
        return create(engine, org)

    monkeypatch.setattr(migrations, "create_role", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        schema_migration.migrate(engine)
    with engine.connect() as connection:
        assert [org.name for org in roles.without(connection)] == ["other"]
    assert other.samples == 20

    monkeypatch.undo()
    schema_migration.migrate(engine)

    assert count_missing(engine) == 0


def test_organization_in_use_delays_no_other_role(
    engine: Engine, target: Target, other: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy organization is a failed step; the next one gets its role. With `only`, no other gets one."""
    monkeypatch.setattr(migrations, "MAX_TRIES", 1)
    with engine.begin() as connection:
        for org in (target.org, other.org):
            connection.exec_driver_sql(f"alter schema {org.schema} owner to {engine.url.username}")
    session_module._KNOWN_ROLES.clear()

    with db.org_session(engine, target.org):
        only = schema_migration.migrate(engine, only=target.org.name)
        assert count_missing(engine) == 2
        steps = schema_migration.migrate(engine)

    assert [step.state for step in only] == ["current", "failed"]
    assert [step.state for step in steps] == ["current", "failed", "current"]
    assert "is in use" in str(steps[1].detail)
    with engine.connect() as connection:
        assert [org.id for org in roles.without(connection)] == [target.org.id]


def test_error_of_postgresql_shows_no_values(engine: Engine, org: Organization) -> None:
    """Neither parameters nor the DETAIL of the server are in the text of an error."""
    with db.org_session(engine, org) as session:
        session.execute(text("create table unique_names (name text primary key)"))
    insert = text("insert into unique_names values (:name), (:name)")
    with pytest.raises(DBAPIError) as raised, db.org_session(engine, org) as session:
        session.execute(insert, {"name": "top-secret"})
    assert "duplicate key" in str(raised.value)
    assert "top-secret" not in f"{raised.value} {raised.value.orig}"
    with pytest.raises(ProgrammingError), db.org_session(engine, org) as session:
        session.execute(text("select missing from models where name = :name"), {"name": "top-secret"})
    with db.public_session(engine) as session:
        assert organizations.find(session, org.name) == org

"""Move organizations of the old system: each into a schema that no process sees until all of it is there and checked.

A run that was killed goes on in the same schema: what is there already is neither created nor stored again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, text

from dcmon import db, errors
from dcmon.adoption import old_database, people, rows, verification
from dcmon.adoption.definitions import Definitions, continue_ids
from dcmon.adoption.old_database import LEFT_OUT, OldDatabase, OldOrganization
from dcmon.adoption.rows import Rows
from dcmon.adoption.summary import Summary
from dcmon.alerting.change_context import Actor
from dcmon.db import Organization, locks, migrations, work_queue
from dcmon.db.locks import LockSpace
from dcmon.db.work_queue import Work
from dcmon.settings import Settings
from dcmon.tenancy import deletion, organizations

MARKED = text("select nspname from pg_namespace where obj_description(oid, 'pg_namespace') = :mark")
COMPLETE = text("""
    select from organizations o join pg_namespace n on n.nspname = o.schema_name
     where obj_description(n.oid, 'pg_namespace') = :mark and o.deleted_at is null
""")
IS_RUNNING = "Another adoption, import or restore runs in this database. Repeat the command when it has ended."


@dataclass(frozen=True)
class Adoption:
    """Where organizations are moved to. `show` gets what is moved now."""

    engine: Engine
    settings: Settings
    show: Callable[[str], None]


def run(adoption: Adoption, url: str, only: Sequence[str] = (), *, dry_run: bool = False) -> list[Summary]:
    """Move all organizations, or only some; return what became of each kind of object.

    With `dry_run`, definitions are created in a schema that is dropped again, and rows are only counted. Raises
    InvalidInput when the old database has another shape, OrganizationNotFound, Unreachable or Locked.
    """
    with (
        old_database.reading(url) as old,
        locks.exclusive(adoption.engine, LockSpace.IMPORT, 0, refusal=IS_RUNNING),
    ):
        existing = old.organizations()
        for name in only:
            if name not in {org.name for org in existing}:
                raise errors.OrganizationNotFound(name=name, known=[org.name for org in existing])
        chosen = [org for org in existing if not only or org.name in only]
        for org in chosen:
            old.require_shape(org)
        return [_move(adoption, old, org, dry_run=dry_run) for org in chosen]


def _move(adoption: Adoption, old: OldDatabase, source: OldOrganization, *, dry_run: bool) -> Summary:
    summary = Summary(source.name)
    if _is_complete(adoption.engine, source):
        summary.add("organization", adopted=1, reason="an earlier run moved it")
        return summary
    if (reason := _reason_to_skip(adoption.engine, source)) is not None:
        summary.add("organization", left=1, reason=reason)
        return summary
    adoption.show(f"{source.name}: definitions")
    org = _schema(adoption.engine, source, is_new=dry_run)
    try:
        _fill(adoption, old, source, org, summary, dry_run=dry_run)
    except verification.Differs:  # a run that goes on would differ again
        _remove(adoption.engine, org)
        raise
    finally:
        if dry_run:
            _remove(adoption.engine, org)
    for table, reason in LEFT_OUT.items():
        schema = source.schema if old.has(source.schema, table) else "public"
        count = old.count(source.schema, table) if schema == source.schema else 0
        if count:
            summary.add(table.replace("_", " "), left=count, reason=reason)
    return summary


def _fill(
    adoption: Adoption, old: OldDatabase, source: OldOrganization, org: Organization, summary: Summary, *, dry_run: bool
) -> None:
    engine = adoption.engine
    of_people = people.read(old, source)
    if not dry_run:
        people.create_users(engine, of_people)
    with db.org_session(engine, org) as session:
        definitions = Definitions(old, source, session, summary)
        definitions.move_models()
        if not dry_run:
            definitions.move_members(people.ids(engine, of_people))
    if dry_run:
        for kind, table in rows.tables_of(old, source):
            summary.add(kind, adopted=old.count(source.schema, table))
    else:
        adoption.show(f"{source.name}: rows")
        Rows(old, source, engine, org, summary).move()
    with db.org_session(engine, org) as session:
        definitions = Definitions(old, source, session, summary)
        definitions.move_monitors()
        definitions.move_receivers(adoption.settings.webhooks)
        continue_ids(session, "models", "versions", "checks", "monitors", "alert_rules", "webhooks")
        definitions.move_ingestion_rules(Actor.from_settings(org, "adoption", adoption.settings))
    refused: dict[str, str] = {}
    if not dry_run:
        adoption.show(f"{source.name}: comparison")
        verification.compare(old, source, engine, org)
        refused = _publish(engine, source, org, of_people)
    people.count(of_people, refused, summary)


def _reason_to_skip(engine: Engine, source: OldOrganization) -> str | None:
    try:
        organizations.require_name(source.name)
        with db.public_session(engine) as session:
            organizations.require_free_name(session, source.name)
    except errors.InvalidInput as error:
        return str(error)
    except errors.Conflict:
        return "another organization of this name exists already"
    return None


def _is_complete(engine: Engine, source: OldOrganization) -> bool:
    """Return whether an earlier run has moved an organization. It may have another name now."""
    with db.public_session(engine) as session:
        return session.execute(COMPLETE, {"mark": _complete_mark(source)}).first() is not None


def _schema(engine: Engine, source: OldOrganization, *, is_new: bool) -> Organization:
    """Return the schema of an interrupted run, or a new one that is marked as unfinished."""
    mark = f"dcmon: adoption of {source.schema} is not finished"
    if not is_new:
        with engine.connect() as connection:
            schema = connection.scalar(MARKED, {"mark": mark})
        if schema is not None:
            org = Organization(int(schema.removeprefix("org_")), source.name, schema)
            migrations.finish_unlisted(engine, org)  # the run may have ended before
            return org
    with db.public_session(engine) as session:
        org_id = session.execute(text("select nextval('organizations_id_seq')")).scalar_one()
    org = Organization(org_id, source.name, f"org_{org_id}")
    migrations.create_unlisted(engine, org, db.head("org"), migrations.UNFINISHED if is_new else mark)
    migrations.finish_unlisted(engine, org)
    return org


def _remove(engine: Engine, org: Organization) -> None:
    deletion.drop_tables(engine, org)
    with db.public_session(engine) as session:
        deletion.drop(session, org)


def _publish(
    engine: Engine, source: OldOrganization, org: Organization, of_people: Sequence[people.Person]
) -> dict[str, str]:
    """Make an organization visible, with its members and tokens, in one transaction. Returns what `people.add` does."""
    values: dict[str, Any] = {"id": org.id, "name": org.name, "schema": org.schema}
    with db.public_session(engine) as session:
        organizations.require_free_name(session, org.name)
        session.execute(text("insert into organizations (id, name, schema_name) values (:id, :name, :schema)"), values)
        refused = people.add(session, org, of_people)
        # The value of a comment can't be a parameter; the mark may have an apostrophe of a schema's name.
        mark = _complete_mark(source).replace("'", "''")
        session.connection().exec_driver_sql(f"comment on schema {org.schema} is '{mark}'".replace("%", "%%"))
        for work in Work:
            work_queue.enqueue(session, org.id, work)
    return refused


def _complete_mark(source: OldOrganization) -> str:
    return f"dcmon: adopted from {source.schema}, organization {source.id}"

"""Migrate the schemas of all organizations: one that fails delays no other."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from dcmon import db, errors
from dcmon.db import Organization, migrations, roles
from dcmon.db.migrations import MigrationState, SchemaState
from dcmon.tenancy import deletion


class StepState(StrEnum):
    """What became of a schema. AHEAD: a newer dcmon has migrated it. FAILED: it stays as it was, or gets no role."""

    CURRENT = "current"
    TO_MIGRATE = "to migrate"
    MIGRATED = "migrated"
    AHEAD = "ahead"
    FAILED = "failed"


BAD_STATES = (StepState.AHEAD, StepState.FAILED)


@dataclass(frozen=True)
class Step:
    """The migration of a schema. `org`: None for "public". `detail`: why it is not current."""

    lineage: str
    org: str | None
    schema: str
    before: str | None
    head: str
    state: StepState
    detail: str | None = None

    def row(self) -> dict[str, Any]:
        """Return the step as a row."""
        row = asdict(self)
        row["from"], row["to"] = row.pop("before"), row.pop("head")
        return row


@dataclass(frozen=True)
class PendingSql:
    """The SQL of a lineage's revisions after `before` (None: all) up to `head`, for each of these schemas."""

    lineage: str
    before: str | None
    head: str
    schemas: list[str]
    sql: str


def states(engine: Engine, *, only: str | None = None) -> list[SchemaState]:
    """Return the state of "public" and of every organization's schema, or only of one. Raises OrganizationNotFound."""
    return migrations.states(engine, chosen(engine, only))


def chosen(engine: Engine, only: str | None) -> Sequence[Organization]:
    """Return all organizations, or only one, at each revision of "public". Raises OrganizationNotFound."""
    return _chosen(_organizations(engine), only)


def migrate(
    engine: Engine,
    *,
    only: str | None = None,
    dry_run: bool = False,
    parallel: int = 1,
    show: Callable[[int, int], None] | None = None,
) -> list[Step]:
    """Upgrade "public", then the organizations, or only one; return what became of each schema.

    A schema that is ahead of this code, or that can't be migrated, stays as it is, and the others follow. Interrupted
    deletions are finished first; an organization that is deleted meanwhile has no step. After an interruption, run it
    again to continue. `parallel`: how many processes migrate organizations, each with one connection. `show` gets how
    many organizations are done, and how many there are.
    Raises SchemaTooNew, before any change, when "public" is ahead, and OrganizationNotFound.
    """
    public = migrations.states(engine, [])[0]
    if public.state == MigrationState.AHEAD:
        raise errors.SchemaTooNew(schema=public.schema, found=public.current)
    steps = [_step(public, None, dry_run=dry_run)]
    if not dry_run:
        migrations.upgrade_public(engine)
        deletion.finish_all(engine)
    chosen = _chosen(_organizations(engine), only)
    states_of = list(zip(chosen, migrations.states(engine, chosen)[1:], strict=True))
    if dry_run:
        done: Iterator[Step | None] = (_step(state, org, dry_run=True) for org, state in states_of)
    else:
        done = _upgrade_all(engine, states_of, parallel)
    for number, step in enumerate(done, 1):
        steps += [] if step is None else [step]
        if show is not None:
            show(number, len(chosen))
    return steps if dry_run else _with_roles(engine, chosen, steps)


def pending_sql(engine: Engine, *, only: str | None = None) -> list[PendingSql]:
    """Return the SQL that `migrate` would run, once for all schemas of a lineage that have the same revision.

    Raises OrganizationNotFound.
    """
    chosen = _chosen(_organizations(engine), only)
    by_revision: dict[tuple[str, str | None], list[SchemaState]] = {}
    for state in migrations.states(engine, chosen):
        if state.state in (MigrationState.ABSENT, MigrationState.BEHIND):
            by_revision.setdefault((state.lineage, state.current), []).append(state)
    return [
        PendingSql(
            first.lineage, first.current, first.head, [state.schema for state in of_revision],
            migrations.upgrade_sql(first.lineage, first.current),
        )
        for of_revision in by_revision.values()
        for first in of_revision[:1]
    ]  # fmt: skip


def _upgrade_all(
    engine: Engine, states_of: Sequence[tuple[Organization, SchemaState]], parallel: int
) -> Iterator[Step | None]:
    """Upgrade organizations one after the other, or in several processes, because Alembic can't use threads."""
    waiting = sum(state.state in (MigrationState.ABSENT, MigrationState.BEHIND) for _, state in states_of)
    if min(parallel, waiting) <= 1:
        yield from (_upgrade(engine, org, state) for org, state in states_of)
        return
    url = engine.url.render_as_string(hide_password=False)
    spawn = multiprocessing.get_context("spawn")
    processes = ProcessPoolExecutor(min(parallel, waiting), spawn, initializer=_open, initargs=(url,))
    try:
        yield from processes.map(_upgrade_in_process, states_of)
    except BrokenProcessPool as error:
        raise errors.DcmonError(
            'A process of the migration was killed. Organizations that are done stay so: type "dcmon migrate" again.'
        ) from error
    finally:
        processes.shutdown(cancel_futures=True)


_engine: list[Engine] = []  # of a process of _upgrade_all


def _open(url: str) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _engine[:] = [db.engine(url, pool_size=1)]


def _end_with_parent() -> None:
    """End this process when the command is killed: it would wait for work for ever, with a connection to PostgreSQL."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)  # PostgreSQL rolls back what it was doing


def _upgrade_in_process(item: tuple[Organization, SchemaState]) -> Step | None:
    return _upgrade(_engine[0], *item)


def _upgrade(engine: Engine, org: Organization, state: SchemaState) -> Step | None:
    """Upgrade an organization unless it is current or ahead. An error becomes a part of the step.

    Returns None for an organization that was deleted meanwhile.
    """
    step = _step(state, org, dry_run=False)
    if step.state is not StepState.MIGRATED:
        return step
    try:
        migrations.upgrade_org(engine, org)
    except errors.OrganizationNotFound:
        return None
    except (errors.DcmonError, SQLAlchemyError) as error:
        return _failed(step, error)
    return step


def _failed(step: Step, error: Exception) -> Step:
    return replace(step, state=StepState.FAILED, detail=str(error).splitlines()[0])


def _step(state: SchemaState, org: Organization | None, *, dry_run: bool) -> Step:
    outcome, detail = StepState.TO_MIGRATE if dry_run else StepState.MIGRATED, None
    if state.state == MigrationState.CURRENT:
        outcome = StepState.CURRENT
    elif state.state == MigrationState.AHEAD:
        outcome, detail = StepState.AHEAD, "a newer dcmon has migrated it: use that one"
    name = None if org is None else org.name
    return Step(state.lineage, name, state.schema, state.current, state.head, outcome, detail)


def _with_roles(engine: Engine, chosen: Sequence[Organization], steps: Sequence[Step]) -> list[Step]:
    """Give each chosen organization that has none a role. An error becomes a part of the organization's step."""
    failures = _create_roles(engine, {org.id for org in chosen})
    return [
        _failed(step, failures[step.schema]) if step.schema in failures and step.state not in BAD_STATES else step
        for step in steps
    ]


def _create_roles(engine: Engine, chosen: Set[int]) -> dict[str, Exception]:
    """Create the missing roles; stop at the first that is not allowed. Return the other errors by schema."""
    failures = dict[str, Exception]()
    with engine.connect() as connection:
        organizations = [org for org in roles.without(connection) if org.id in chosen]
    for org in organizations:
        try:
            if not migrations.create_role(engine, org):
                break
        except errors.OrganizationNotFound:  # it was deleted meanwhile
            continue
        except (errors.DcmonError, SQLAlchemyError) as error:
            failures[org.schema] = error
    return failures


def _chosen(organizations: Sequence[Organization], only: str | None) -> Sequence[Organization]:
    if only is None:
        return organizations
    chosen = [org for org in organizations if org.name == only]
    if not chosen:
        raise errors.OrganizationNotFound(name=only, known=[org.name for org in organizations])
    return chosen


def _organizations(engine: Engine) -> Sequence[Organization]:
    """Return all organizations, at each revision of "public"; an empty list before the first migration."""
    with engine.connect() as connection:
        if db.revision(connection, "public") is None:
            return []
        rows = connection.execute(
            text("select id, name, schema_name from public.organizations where deleted_at is null order by id")
        )
        return [Organization(*row) for row in rows]

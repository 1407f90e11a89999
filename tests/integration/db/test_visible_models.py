"""Transactions that are held to the models of a member find nothing of other models, by any statement."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, text, true
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, aliased

from dcmon import db, errors
from dcmon.db import Organization, visible_models
from dcmon.db.tables.org import Check, Model, ModelMember, Monitor, Version
from dcmon.storage import models, versions
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion

USER = 7


@pytest.fixture
def seen(engine: Engine, org: Organization) -> int:
    """Create models "seen" and "hidden" with a version each; return the id of the one that the user is a member of."""
    with db.org_session(engine, org) as session:
        for name in ("seen", "hidden"):
            model = models.create(session, NewModel(name, "binary"))
            versions.create(session, model, NewVersion(f"of {name}", {"age": "numeric"}, classes=["0", "1"]))
            given = {
                "module_name": "m",
                "class_name": "C",
                "params": {},
                "needs_labels": False,
                "needs_reference": False,
            }
            session.add(Check(model_id=model.id, name=name, **given))
        seen = models.find(session, "seen").id
        session.add(ModelMember(model_id=seen, user_id=USER))
        return seen


@contextmanager
def _member(engine: Engine, org: Organization) -> Iterator[Session]:
    with db.org_session(engine, org, member=USER) as session:
        yield session


STATEMENTS: list[Any] = [
    select(Model.name),
    select(Model.name).with_for_update(),
    select(aliased(Model).name),
    select(Model.name).join(Version, Version.model_id == Model.id),
    select(Model.name).where(Model.id.in_(select(Version.model_id))),
    select(func.substr(Version.name, 4)),
    select(Model.__table__.c.name),
    select(Check.name),
    select(Model.name).join(Check).group_by(Model.id).having(func.count(Check.id) == 1),
    select(aliased(Model, select(Model).where(Model.id > 0).lateral("newest")).name),
    text("select name from models"),
    text(" with named as (select m.name from models m) select name from named"),
    text("with recursive named as (select name from models) select * from named"),
    text("select m.name from versions v join models m on m.id = v.model_id order by 1"),
    text("select c.name from checks c where exists (select 1 from models)"),
    select(text("name")).select_from(text("models")),
]


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: " ".join(str(statement).split())[:40])
def test_statement_of_member_finds_only_own_models(
    engine: Engine, org: Organization, seen: int, statement: Any
) -> None:
    with _member(engine, org) as session:
        assert list(session.scalars(statement)) == ["seen"]
    with db.org_session(engine, org) as session:
        assert sorted(session.scalars(statement)) == ["hidden", "seen"]


def test_cursor_of_member_finds_only_own_models(engine: Engine, org: Organization, seen: int) -> None:
    with _member(engine, org) as session:
        assert db.fetch(session, "select name from models where id > %(first)b", {"first": 0}) == [("seen",)]
        assert list(db.stream(session, "select name from models", {})) == [("seen",)]
        assert session.connection().execute(text("select count(*) from versions")).scalar() == 1


def test_member_counts_and_gets_only_own_models(engine: Engine, org: Organization, seen: int) -> None:
    with _member(engine, org) as session:
        assert session.scalar(select(func.count()).select_from(Version)) == 1
        assert models.get(session, seen).name == "seen"
        assert session.get(Model, seen + 1) is None
        with pytest.raises(errors.NotFound):
            models.find(session, "hidden")


def test_member_changes_only_own_models(engine: Engine, org: Organization, seen: int) -> None:
    with _member(engine, org) as session:
        models.get(session, seen).description = "changed"
        session.flush()
        session.refresh(models.get(session, seen), with_for_update=True)
        session.query(Version).update({"label_map": {"0": "no"}})
    with db.org_session(engine, org) as session:
        assert session.execute(select(Model.description).order_by(Model.id)).all() == [("changed",), (None,)]
        assert session.scalars(select(Version.label_map).order_by(Version.id)).all() == [{"0": "no"}, None]


def test_alias_of_lateral_subquery_finds_only_own_rows(engine: Engine, org: Organization, seen: int) -> None:
    """An outer join to such an alias was refused by PostgreSQL: its filter named the table itself."""
    newest = aliased(Version, select(Version).where(Version.model_id == Model.id).correlate(Model).lateral("newest"))
    statement = select(Model.name, newest.name).outerjoin(newest, true()).order_by(Model.id)
    with _member(engine, org) as session:
        assert session.execute(statement).all() == [("seen", "of seen")]


def test_locking_read_of_member_locks_the_row(engine: Engine, org: Organization, seen: int) -> None:
    locking = select(Model).where(Model.id == seen).with_for_update()
    with _member(engine, org) as session:
        session.scalars(locking).one()
        with pytest.raises(OperationalError, match="could not obtain lock"), _member(engine, org) as second:
            second.scalars(locking.with_for_update(nowait=True)).one()


LOCKING: list[Any] = [
    text("select name from models for update"),
    text("with named as (select name from models for no  key update) select name from named"),
    text("select c.name from checks c for share of c"),
    select(Model.__table__.c.name).with_for_update(key_share=True, read=True),
]


@pytest.mark.parametrize("statement", LOCKING, ids=lambda statement: " ".join(str(statement).split())[:40])
def test_text_of_member_that_locks_nothing_is_refused(
    engine: Engine, org: Organization, seen: int, statement: Any
) -> None:
    """PostgreSQL takes no locks in a common table expression, and does not say so."""
    with pytest.raises(RuntimeError, match="would lock no rows"), _member(engine, org) as session:
        session.execute(statement)
    with db.org_session(engine, org) as session:
        assert session.execute(statement).all()


def test_next_transaction_of_connection_sees_all(engine: Engine, org: Organization, seen: int) -> None:
    with _member(engine, org) as session:
        connection = session.connection().connection.driver_connection
    with db.org_session(engine, org) as session:
        assert session.connection().connection.driver_connection is connection
        assert session.scalar(text("select count(*) from models")) == 2


def test_all_tables_of_models_are_filtered() -> None:
    """A table that leads to no model is a decision: add it here, or give it a column model_id."""
    free = {"mute_times", "webhooks", "silences", "ingest_offsets", "dashboards"}
    free |= {"idempotency_keys", "receiver_probes", "receiver_tests", "chosen_levels", "store_keys"}
    free.add("audit_log")  # only administrators read it, who see all models
    assert set(Model.metadata.tables) - set(visible_models._links()) <= free
    assert Monitor.__tablename__ in visible_models._links()

"""Many rows are written in one statement, in their order and with all kinds of values."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, delete, select
from sqlalchemy.orm.exc import StaleDataError

from dcmon import db
from dcmon.db import Organization, bulk
from dcmon.db.tables.org import Model, ModelNote, Silence
from tests.helpers.statements import recorded_statements

START = datetime(2026, 3, 2, tzinfo=UTC)


def insert_silences(engine: Engine, org: Organization, count: int) -> list[int]:
    with db.org_session(engine, org) as session:
        rows = [
            {
                "matchers": ["model=credit", f"rule={number}"],
                "starts_at": START,
                "ends_at": START + timedelta(days=number),
                "reason": f"a 'reason' with {{braces}}, \"quotes\" and a comma: {number}",
                "by": "ann",
            }
            for number in range(count)
        ]
        return bulk.insert_numbered(session, Silence, rows)


def test_rows_get_their_ids_in_order(engine: Engine, org: Organization) -> None:
    ids = insert_silences(engine, org, 30)
    with db.org_session(engine, org) as session:
        stored = session.scalars(select(Silence).order_by(Silence.id)).all()
        assert [silence.id for silence in stored] == ids
        assert [silence.ends_at - START for silence in stored] == [timedelta(days=number) for number in range(30)]
        assert stored[7].matchers == ["model=credit", "rule=7"]
        assert stored[7].reason == "a 'reason' with {braces}, \"quotes\" and a comma: 7"


def test_json_is_stored_as_it_is(engine: Engine, org: Organization) -> None:
    """Each value of a JSON column stays what it is, in its order, also with characters that SQL or JSON quotes."""
    texts = [
        'a "quote"',
        "back\\slash",
        "{brace,comma}",
        "null",
        "",
        "snow \u2603, \U0001f600",
        "line\nbreak",
        "\u200frtl",
    ]
    times = {"starts_at": START, "ends_at": START, "reason": "", "by": "ann"}
    with db.org_session(engine, org) as session:
        bulk.insert(session, Silence, [{"matchers": [text, *texts], **times} for text in texts])
    with db.org_session(engine, org) as session:
        stored = session.scalars(select(Silence).order_by(Silence.id)).all()
        assert [silence.matchers for silence in stored] == [[text, *texts] for text in texts]


def test_update_writes_the_changed_attributes_at_once(engine: Engine, org: Organization) -> None:
    insert_silences(engine, org, 3)
    with db.org_session(engine, org) as session:
        first, second, third = session.scalars(select(Silence).order_by(Silence.id)).all()
        first.matchers, second.reason = ["model=other"], "changed"
        third.reason = str(third.reason)  # the same value
        assert [bulk.changed_attributes(silence) for silence in (first, second, third)] == [
            ["matchers"],
            ["reason"],
            [],
        ]
        with recorded_statements() as recorded:
            bulk.update(session, [first, second, third])
            session.flush()
        assert len(recorded) == 1, str(recorded)
        assert bulk.changed_attributes(first) == bulk.changed_attributes(second) == []
    with db.org_session(engine, org) as session:
        stored = session.scalars(select(Silence).order_by(Silence.id)).all()
        assert [silence.matchers[0] for silence in stored] == ["model=other", "model=credit", "model=credit"]
        assert stored[1].reason == "changed"
        assert stored[2].reason == third.reason


def test_update_without_changes_sends_nothing(engine: Engine, org: Organization) -> None:
    insert_silences(engine, org, 2)
    with db.org_session(engine, org) as session:
        silences = session.scalars(select(Silence)).all()
        with recorded_statements() as recorded:
            bulk.update(session, silences)
            bulk.update(session, [])
            bulk.insert(session, Silence, [])
        assert recorded.statements == []


def test_null_is_stored_as_null(engine: Engine, org: Organization) -> None:
    with db.org_session(engine, org) as session:
        model = Model(name="m", task_type="binary", label_delay=timedelta(days=1), relation=1)
        session.add(model)
        session.flush()
        notes = [{"model_id": model.id, "title": "a", "text": None}, {"model_id": model.id, "title": "b", "text": "t"}]
        bulk.insert(session, ModelNote, notes)
        stored = session.scalars(select(ModelNote).order_by(ModelNote.id)).all()
        assert [(note.title, note.text) for note in stored] == [("a", None), ("b", "t")]


def test_update_of_a_deleted_row_is_refused(engine: Engine, org: Organization) -> None:
    insert_silences(engine, org, 2)
    with db.org_session(engine, org) as session:
        first, second = session.scalars(select(Silence).order_by(Silence.id)).all()
        session.connection().execute(delete(Silence).where(Silence.id == first.id))
        first.reason = second.reason = "changed"
        with pytest.raises(StaleDataError):
            bulk.update(session, [first, second])
        session.expunge(first)

"""Labels and samples come in any order: all versions have the label that was logged last."""

import itertools
import json
import random
import threading
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import text

from dcmon import db
from dcmon.db import transactions
from dcmon.db.tables.org import Version
from dcmon.ingestion import store
from dcmon.ingestion.row_batch import RowBatch
from dcmon.ingestion.store import RETRY_POLICY
from dcmon.storage import models, versions
from dcmon.storage.ledger import Outcome
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from dcmon.windows import quarter_hour_start
from tests.integration.conftest import Target, rows

START = datetime(2026, 3, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def second_version(target: Target) -> Target:
    with db.org_session(target.engine, target.org) as session:
        columns = NewVersion("v2", {"age": "numeric", "job": "categorical"}, classes=["0", "1"])
        version = versions.create(session, models.get(session, target.model_id), columns)
        return Target(target.engine, target.org, target.model_id, version.id)


def log(target: Target, first: int, count: int) -> None:
    with db.org_session(target.engine, target.org) as session:
        model, version = versions.get(session, target.version_id)
        store.restore_samples(session, model, version, [RowBatch(rows(first, count), NOW, "s")])


def send_label(target: Target, sample_id: str, label: object, hours: float = 0) -> Outcome:
    row = json.dumps({"_dc_sample_id": sample_id, "_dc_label": label}).encode()
    at = NOW + timedelta(hours=hours)
    with db.org_session(target.engine, target.org) as session:
        return store.restore_labels(session, models.get(session, target.model_id), [RowBatch([row], at, f"l{hours}")])


def stored_labels(target: Target) -> dict[str, object]:
    """Return the labels of a version's samples."""
    with db.org_session(target.engine, target.org) as session:
        relation = session.get_one(Version, target.version_id).relation
        label_rows = session.execute(
            text(
                f"select s._dc_sample_id, l.label from samples_{relation} s left join labels_{relation} l"
                " on (l.lvl, l.ts, l.h, l.k) = (s._dc_level, s._dc_time, s._dc_hash, s._dc_key)"
            )
        )
        return {row[0]: row[1] for row in label_rows}


def require_true_counts(target: Target) -> None:
    """Check that quarter hours count the rows and labelled rows that the tables have."""
    with db.org_session(target.engine, target.org) as session:
        relation = session.get_one(Version, target.version_id).relation
        held = session.execute(
            text(
                "select date_bin('15 minutes', s._dc_time, timestamptz '2000-01-01 00:00+00') as at, count(*),"
                f" count(l.label) from samples_{relation} s left join labels_{relation} l"
                " on (l.lvl, l.ts, l.h, l.k) = (s._dc_level, s._dc_time, s._dc_hash, s._dc_key) group by 1 order by 1"
            )
        ).all()
        counted = session.execute(
            text("select at, n, n_labelled from quarter_hours where version_id = :version order by at"),
            {"version": target.version_id},
        ).all()
    assert [tuple(row) for row in counted] == [tuple(row) for row in held]


def test_label_repeated_later_wins_over_one_in_between(target: Target) -> None:
    for order in itertools.permutations(range(3)):
        own = new_model(target, str(order))["v1"]
        log(own, 0, 1)
        for number in order:
            send_label(own, "s0", ["a", "b", "a"][number], number)
            send_label(own, "s9", ["a", "b", "a"][number], number)
        log(own, 9, 1)

        assert stored_labels(own) == {"s0": "a", "s9": "a"}, order
        require_true_counts(own)


STEPS = ("sample of v1", "sample of v2", "first label", "last label")


def test_versions_with_same_sample_get_the_same_label(target: Target) -> None:
    for order in itertools.permutations(STEPS):
        both = new_model(target, ", ".join(order))
        steps = {
            "sample of v1": partial(log, both["v1"], 0, 1),
            "sample of v2": partial(log, both["v2"], 0, 1),
            "first label": partial(send_label, both["v1"], "s0", "old", 0),
            "last label": partial(send_label, both["v1"], "s0", "new", 1),
        }
        for step in order:
            steps[step]()

        assert [stored_labels(stored_in) for stored_in in both.values()] == [{"s0": "new"}, {"s0": "new"}], order
        for stored_in in both.values():
            require_true_counts(stored_in)


def test_same_label_again_is_a_duplicate(target: Target) -> None:
    log(target, 0, 1)
    for sample_id in ("s0", "waits"):
        assert send_label(target, sample_id, "a") == Outcome(1, 1, 0, 0)
        assert send_label(target, sample_id, "a") == Outcome(1, 0, 1, 0)
        assert send_label(target, sample_id, "a", 1) == Outcome(1, 0, 1, 0)
        assert send_label(target, sample_id, "b", 0.5) == Outcome(1, 0, 1, 0)
        assert send_label(target, sample_id, "b", 2) == Outcome(1, 1, 0, 0)
    assert target.scalar("select labels_revision from quarter_hours") == 2


def test_null_label_counts_as_unlabelled(target: Target) -> None:
    log(target, 0, 2)
    send_label(target, "s0", None)
    assert target.scalar("select n_labelled from quarter_hours") == 0
    send_label(target, "s0", "1", 1)
    assert target.scalar("select n_labelled from quarter_hours") == 1
    send_label(target, "s0", None, 2)
    assert target.scalar("select n_labelled from quarter_hours") == 0
    require_true_counts(target)


def test_class_label_is_stored_as_text(target: Target) -> None:
    log(target, 0, 5)
    for number, label in enumerate([1, 1.0, 1.5, "1.0", 2**70]):
        send_label(target, f"s{number}", label)
    assert stored_labels(target) == {"s0": "1", "s1": "1", "s2": "1.5", "s3": "1", "s4": str(2**70)}


def test_regression_label_is_stored_as_number(target: Target) -> None:
    with db.org_session(target.engine, target.org) as session:
        model = models.create(session, NewModel("price", "regression"))
        version = versions.create(session, model, NewVersion("v1", {"age": "numeric", "job": "categorical"}))
        own = Target(target.engine, target.org, model.id, version.id)
        row = json.loads(rows(0, 1)[0]) | {"_dc_prediction": 1.5}
        del row["_dc_prediction_probabilities"]
        store.restore_samples(session, model, version, [RowBatch([json.dumps(row).encode()], NOW, "s")])
    send_label(own, "s0", 2)
    assert stored_labels(own) == {"s0": 2.0}
    assert send_label(own, "s0", "two", 1).quarantined == 1
    send_label(own, "s0", "2.5", 2)
    assert stored_labels(own) == {"s0": 2.5}


def test_bad_label_is_quarantined_alone_and_once(target: Target) -> None:
    good, bad = (
        b'{"_dc_sample_id": "s0", "_dc_label": 1}',
        b'{"_dc_sample_id": "s1", "_dc_label": "\\u0000", "a\\u0000": 1}',
    )
    log(target, 0, 1)
    for _ in range(2):
        with db.org_session(target.engine, target.org) as session:
            model = models.get(session, target.model_id)
            store.restore_labels(session, model, [RowBatch([good, bad, b"[]"], NOW, "l", 7)])
    assert stored_labels(target) == {"s0": "1"}
    assert target.scalar("select array_agg(position order by position) from quarantine where kind = 'labels'") == [8, 9]


def test_labels_and_samples_at_once_always_match(target: Target) -> None:
    other = second_version(target)
    work = [lambda f=first: transactions.retry(lambda: log(target, f, 40), RETRY_POLICY) for first in range(0, 200, 20)]
    work += [lambda f=first: transactions.retry(lambda: log(other, f, 40), RETRY_POLICY) for first in range(0, 200, 20)]
    work += [
        lambda n=number: [send_label(target, f"s{index}", "x") for index in range(n, 220, 10)] for number in range(10)
    ]
    random.Random(3).shuffle(work)
    threads = [threading.Thread(target=lambda part=part: [step() for step in part]) for part in (work[::2], work[1::2])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for stored_in in (target, other):
        assert stored_labels(stored_in) == {f"s{number}": "x" for number in range(220)}
        require_true_counts(stored_in)


def test_labels_in_any_order_end_the_same(target: Target) -> None:
    chance = random.Random(5)
    # The order of storing decides between two labels of the same time, so no two have the same time here.
    operations = [("label", f"s{chance.randrange(5)}", chance.choice(["a", "b", None]), hour) for hour in range(12)]
    operations += [(name, f"s{number}", None, 0) for name in ("v1", "v2") for number in range(5)]
    ends = []
    for number in range(5):
        chance.shuffle(operations)
        both = new_model(target, f"turn {number}")
        for kind, sample_id, label, hour in operations:
            if kind == "label":
                send_label(both["v1"], sample_id, label, hour)
            else:
                log(both[kind], int(sample_id[1:]), 1)
        for stored_in in both.values():
            require_true_counts(stored_in)
        ends.append([stored_labels(stored_in) for stored_in in both.values()])
    assert all(end == ends[0] for end in ends)


def new_model(target: Target, name: str) -> dict[str, Target]:
    """Create a model with two versions, and return these by name."""
    with db.org_session(target.engine, target.org) as session:
        model = models.create(session, NewModel(name, "binary"))
        columns = {"age": "numeric", "job": "categorical"}
        version = [versions.create(session, model, NewVersion(v, columns, classes=["0", "1"])) for v in ("v1", "v2")]
        return {row.name: Target(target.engine, target.org, model.id, row.id) for row in version}


def test_quarter_hour_does_not_depend_on_the_time_zone() -> None:
    time = datetime.fromisoformat("2026-01-01T10:44:59.999999+05:45")
    assert quarter_hour_start(time) == datetime(2026, 1, 1, 4, 45, tzinfo=UTC)

"""Samples and labels are stored exactly once, in any order, and read back unchanged."""

import json
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import Raw
from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon import db
from dcmon.db.tables.org import Model, Version
from dcmon.errors import InvalidInput
from dcmon.ingestion import intake, row_batch, sample_counts, store
from dcmon.monitoring import lifecycle
from dcmon.storage import ledger, models, references, sample_ids, sample_tables, sampling, versions
from dcmon.storage.columns import TYPES
from dcmon.storage.models import NewModel
from dcmon.storage.sampling import RowSelection
from dcmon.storage.versions import NewVersion
from dcmon.windows import Window
from tests.integration import conftest
from tests.integration.conftest import Target

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def take(target: Target, rows: Sequence[Any], source: str = "s", logged_at: datetime = NOW) -> ledger.Outcome:
    with db.org_session(target.engine, target.org) as session:
        model, version = versions.get(session, target.version_id)
        return store.restore_samples(session, model, version, [row_batch.RowBatch(rows, logged_at, source)])


def label(target: Target, rows: Sequence[Any], logged_at: datetime = NOW, source: str = "l") -> ledger.Outcome:
    with db.org_session(target.engine, target.org) as session:
        return store.restore_labels(
            session, models.get(session, target.model_id), [row_batch.RowBatch(rows, logged_at, source)]
        )


def label_row(sample_id: str, value: object) -> bytes:
    return json.dumps({"_dc_sample_id": sample_id, "_dc_label": value}).encode()


def label_of(target: Target, sample_id: str) -> object:
    with db.org_session(target.engine, target.org) as session:
        model, version = versions.get(session, target.version_id)
        sample = sampling.rows(
            session, Window(datetime(1970, 1, 1, tzinfo=UTC), NOW), RowSelection(model, version, 10_000)
        )
        return next(row["_dc_label"] for row in sample if row["_dc_sample_id"] == sample_id)


def require_true_counts(target: Target) -> None:
    """Check that quarter hours count the rows that the tables have."""
    with db.org_session(target.engine, target.org) as session:
        _, version = versions.get(session, target.version_id)
        counted = session.execute(
            text("select coalesce(sum(n), 0), coalesce(sum(n_labelled), 0) from quarter_hours")
        ).one()
        held = sample_counts.window_counts(session, version, datetime(1970, 1, 1, tzinfo=UTC), NOW + timedelta(days=9))
    assert tuple(counted) == held


def test_same_rows_again_are_duplicates(target: Target) -> None:
    assert take(target, conftest.rows(0, 100)) == ledger.Outcome(100, 100, 0, 0)
    assert take(target, list(reversed(conftest.rows(50, 100)))) == ledger.Outcome(100, 50, 50, 0)
    assert take(target, [*conftest.rows(500, 2), *conftest.rows(500, 2)]) == ledger.Outcome(4, 2, 2, 0)
    assert target.samples == 152
    require_true_counts(target)


def test_same_row_in_other_json_is_a_duplicate(target: Target) -> None:
    row = conftest.rows(7, 1)[0]
    turned = json.dumps(dict(reversed(json.loads(row).items())), indent=2).replace('"age": 7', '"age": 7.0').encode()
    take(target, [row])
    assert take(target, [turned]).duplicates == 1


def test_other_content_under_same_id_is_a_conflict(target: Target) -> None:
    row = conftest.rows(1, 1)[0]
    other = row.replace(b'"age": 1', b'"age": 2')
    take(target, [row])
    assert take(target, [other]).quarantined == 1
    assert take(target, [conftest.rows(2, 1)[0], conftest.rows(2, 1)[0].replace(b"j2", b"j9")], "t").quarantined == 1
    assert target.scalar("select string_agg(distinct reason, ',') from quarantine") == "conflict"
    assert target.samples == 2


def test_stored_row_after_other_content_is_no_conflict(target: Target) -> None:
    """In one batch, a row with the same id and other content comes before the stored one."""
    stored = conftest.rows(1, 1)[0]
    first, last = (stored.replace(b'"age": 1', f'"age": {age}'.encode()) for age in (2, 3))
    take(target, [stored])
    assert take(target, [first, stored, last, stored], "again") == ledger.Outcome(4, 0, 2, 2)
    assert target.scalar("select array_agg(row order by row) from quarantine") == [first, last]


def test_bad_row_is_quarantined_alone_and_once(target: Target) -> None:
    bad = [b'{"_dc_sample_id": "x"}', b"null", conftest.rows(3, 1)[0].replace(b'"age": 3', b'"age": "\\u0000"')]
    for _ in range(2):
        take(target, [*conftest.rows(0, 3), *bad], "same source")
    assert target.samples == 3
    assert target.scalar("select count(*) from quarantine") == 3
    assert target.scalar("select row from quarantine where position = 4") == b"null"


def test_bad_row_in_another_request_is_a_duplicate(target: Target) -> None:
    bad = [b'{"_dc_sample_id": "x"}', b"null", b'{"_dc_sample_id": "y"}']
    assert take(target, bad, "first") == ledger.Outcome(3, 0, 0, 3)
    assert take(target, [*conftest.rows(0, 2), *bad[1:], *bad[1:]], "again") == ledger.Outcome(6, 2, 4, 0)
    assert label(target, bad[:1], source="label") == ledger.Outcome(1, 0, 0, 1), "a label is another kind of row"
    assert target.scalar("select array_agg(source order by id) from quarantine") == ["first"] * 3 + ["label"]


def test_same_bad_rows_at_once_are_quarantined_once(target: Target) -> None:
    bad = [f'{{"_dc_sample_id": "x{number}"}}'.encode() for number in range(300)]
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda n: take(target, bad[:: 1 if n % 2 else -1], f"request {n}"), range(4)))
    assert sum(outcome.quarantined for outcome in outcomes) == 300
    assert target.scalar("select count(*) from quarantine") == 300


def test_times_in_future_or_far_past_are_quarantined(target: Target) -> None:
    row = conftest.rows(0, 1)[0].replace(b"2026-03-01", b"2026-11-24")
    assert take(target, [row], logged_at=datetime(2026, 11, 23, 23, 54, tzinfo=UTC)).quarantined == 1
    assert take(target, [row], logged_at=datetime(2026, 11, 23, 23, 56, tzinfo=UTC)).stored == 1
    for year in (b"0001", b"1969", b"9999"):
        assert take(target, [conftest.rows(5, 1)[0].replace(b"2026", year)], year.decode()).quarantined == 1


def test_two_writers_with_same_ids_store_each_once(target: Target) -> None:
    batches = [conftest.rows(first, 300) for first in (0, 100, 200, 0, 300, 150)]
    for batch in batches:
        random.Random(4).shuffle(batch)
    direct = intake.Direct(target.engine)
    with ThreadPoolExecutor(len(batches)) as pool:
        futures = [
            pool.submit(direct.ingest_samples, target.org, target.version_id, [Raw(row) for row in batch])
            for batch in batches
        ]
    for future in futures:
        future.result()
    assert target.samples == 600
    require_true_counts(target)


def test_values_of_every_type_are_read_back_unchanged(target: Target) -> None:
    values = {
        "numeric": -1.5e300, "integer": -(2**31), "bigint": 2**63 - 1, "categorical": 'é"\\\n', "text": "x" * 10_000,
        "boolean": False, "array_float": [1.5, -2.0], "array_float_2d": [[1.0, 2.0], [3.0, 4.0]],
        "datetime": "2020-02-29T23:59:59.123456+00:00",
    }  # fmt: skip
    columns = {f"{kind} %s:x\"'": kind for kind in TYPES}
    with db.org_session(target.engine, target.org) as session:
        version = versions.create(session, models.get(session, target.model_id), NewVersion("types", columns))
    row = {"_dc_sample_id": "1", "_dc_time": "2026-01-01T00:00:00Z", "_dc_prediction": "1"}
    full = row | {name: values[kind] for name, kind in columns.items()}
    own = Target(target.engine, target.org, target.model_id, version.id)
    empty = row | {"_dc_sample_id": "2"} | dict.fromkeys(columns)
    assert take(own, [json.dumps(full).encode(), json.dumps(empty).encode()]).stored == 2
    with db.org_session(target.engine, target.org) as session:
        model, version = versions.get(session, version.id)
        sample = sampling.rows(session, Window(datetime(2025, 1, 1, tzinfo=UTC), NOW), RowSelection(model, version, 10))
    one, two = sorted(sample, key=lambda row: str(row["_dc_sample_id"]))
    expected = {**values, "datetime": datetime(2020, 2, 29, 23, 59, 59, 123456, tzinfo=UTC)}
    assert {kind: one[name] for name, kind in columns.items()} == expected
    assert {two[name] for name in columns} == {None}


def test_labels_before_or_after_sample_end_the_same(target: Target) -> None:
    label(target, [label_row("s0", 1), label_row("s1", "0")])
    take(target, conftest.rows(0, 4))
    label(target, [label_row("s2", 1.0), label_row("s1", "0")], source="m")
    assert [label_of(target, f"s{number}") for number in range(4)] == ["1", "0", "1", None]
    require_true_counts(target)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_last_label_by_logging_time_wins(target: Target, order: list[int]) -> None:
    take(target, conftest.rows(0, 1))
    for number in order:
        label(target, [label_row("s0", f"label {number}")], NOW + timedelta(hours=number), str(number))
    assert label_of(target, "s0") == "label 2"
    require_true_counts(target)


def test_null_label_removes_a_label(target: Target) -> None:
    take(target, conftest.rows(0, 2))
    label(target, conftest.labels(0, 2))
    label(target, [label_row("s0", None)], NOW + timedelta(hours=1), "m")
    assert label_of(target, "s0") is None
    assert target.scalar("select sum(n_labelled) from quarter_hours") == 1
    require_true_counts(target)


def test_label_reaches_every_version_with_the_sample(target: Target) -> None:
    with db.org_session(target.engine, target.org) as session:
        columns = NewVersion("v2", {"age": "numeric", "job": "categorical"}, classes=["0", "1"])
        second = versions.create(session, models.get(session, target.model_id), columns)
    other = Target(target.engine, target.org, target.model_id, second.id)
    for logged_to in (target, other):
        take(logged_to, conftest.rows(0, 1), str(logged_to.version_id))
    label(target, [label_row("s0", 1)])
    assert [label_of(logged_to, "s0") for logged_to in (target, other)] == ["1", "1"]


def test_shuffled_and_repeated_rows_end_the_same(target: Target) -> None:
    generator = random.Random(7)
    work = [("samples", conftest.rows(first, 50)) for first in range(0, 300, 50)] * 2
    work += [("labels", conftest.labels(first, 60)) for first in range(0, 300, 60)] * 2
    generator.shuffle(work)
    for number, (kind, batch) in enumerate(work):
        generator.shuffle(batch)
        (take if kind == "samples" else label)(target, batch, source=str(number))
    assert (target.samples, target.labels) == (300, 300)
    assert [label_of(target, f"s{number}") for number in (0, 1, 299)] == ["0", "1", "1"]
    require_true_counts(target)


def bottom(target: Target, limit: int, *, labelled: bool) -> list[Any]:
    with db.org_session(target.engine, target.org) as session:
        model, version = versions.get(session, target.version_id)
        start, end = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC)
        statistics = sampling.window_statistics(session, version.id, start, end)
        sample = sampling.sample_rows(
            session, Window(start, end), RowSelection(model, version, limit, labelled), statistics
        )
        return [dict(zip(sample.names, row, strict=True))["age"] for row in sample.rows]


@pytest.mark.parametrize("labelled", [False, True])
def test_deterministic_sample_of_window_has_lowest_hashes(target: Target, labelled: bool) -> None:
    take(target, conftest.rows(0, 9_000))
    label(target, [row for number, row in enumerate(conftest.labels(0, 9_000)) if number % 3])
    in_window = [number for number in range(9_000) if number < 2 * 2_880 and (not labelled or number % 3)]
    expected = sorted(in_window, key=lambda number: sample_ids.levels_of([sample_ids.key_of(f"s{number}")])[0][0])[:200]
    assert bottom(target, 200, labelled=labelled) == [number % 90 for number in expected]


def test_filters_apply_before_the_limit(target: Target) -> None:
    take(target, conftest.rows(0, 500))
    wanted = {"filters": [{"column": "age", "operator": "greater_than", "value": 80},
                          {"column": "job", "operator": "in", "value": ["j0", "j1"]}]}  # fmt: skip
    with db.org_session(target.engine, target.org) as session:
        model, version = versions.get(session, target.version_id)
        sample = sampling.rows(
            session, Window(datetime(2026, 1, 1, tzinfo=UTC), NOW), RowSelection(model, version, 1000, filters=wanted)
        )
        for bad in ({"column": "nope", "operator": "equals"}, {"column": "age", "operator": "like"}):
            with pytest.raises(InvalidInput):
                sampling.rows(session, Window(NOW, NOW), RowSelection(model, version, 1, filters={"filters": [bad]}))
    assert {(row["age"] > 80, row["job"] in ("j0", "j1")) for row in sample} == {(True, True)}
    assert len(sample) == sum(number % 90 > 80 and number % 4 in (0, 1) for number in range(500))


def upload(session: Session, target: Target, document: object) -> int:
    return lifecycle.append_reference(session, *versions.get(session, target.version_id), json.dumps(document).encode())


def test_reference_is_stored_whole_or_not_at_all(target: Target) -> None:
    good = {"columns": ["age", "job", "_dc_prediction", "_dc_label"], "data": [[1, "a", "1", None]] * 10}
    bad = {**good, "data": [[1, "a", "1", "0"], ["x", "a", "1", "0"]]}
    with db.org_session(target.engine, target.org) as session:
        assert upload(session, target, good) == 10
    for wrong, sentence in (
        (bad, "Row 1"),
        ({**good, "columns": ["age", "job", "_dc_prediction", "z"]}, "'z'"),
        ({**good, "columns": ["age", "job", "_dc_label", "_dc_label"]}, "_dc_prediction"),
        ({"columns": 5}, "reference"),
    ):
        with pytest.raises(InvalidInput, match=sentence), db.org_session(target.engine, target.org) as session:
            upload(session, target, wrong)
    with db.org_session(target.engine, target.org) as session:
        model, version = versions.get(session, target.version_id)
        assert references.count(session, version) == 10
        assert version.reference_revision == 1
        assert len(references.rows(session, RowSelection(model, version, 3))) == 3


def test_ids_of_deleted_version_can_be_logged_again(target: Target) -> None:
    take(target, conftest.rows(0, 10))
    with db.org_session(target.engine, target.org) as session:
        model, version = versions.get(session, target.version_id)
        lifecycle.delete_version(session, model, version)
    with db.org_session(target.engine, target.org) as session:
        columns = NewVersion("v1", {"age": "numeric", "job": "categorical"}, classes=["0", "1"])
        again = versions.create(session, models.get(session, target.model_id), columns)
    fresh = Target(target.engine, target.org, target.model_id, again.id)
    assert take(fresh, conftest.rows(0, 10), "again").stored == 10


def test_deleted_model_drops_its_tables(target: Target) -> None:
    take(target, conftest.rows(0, 10))
    with db.org_session(target.engine, target.org) as session:
        lifecycle.delete_model(session, models.get(session, target.model_id))
    tables = "select count(*) from pg_class where relnamespace = current_schema()::regnamespace and relname ~ '_[0-9]+'"
    assert target.scalar(tables.replace(":", "\\:")) == 0


def test_tables_of_two_organizations_differ_in_name(target: Target) -> None:
    with db.org_session(target.engine, target.org) as session:
        numbers = {sample_tables.next_relation(session) for _ in range(3)}
        used = set(session.scalars(text("select relation from models union select relation from versions")))
    assert not numbers & used
    assert (Model.__tablename__, Version.__tablename__) == ("models", "versions")
    with db.org_session(target.engine, target.org) as session:
        assert models.create(session, NewModel("credit", "binary")).id == target.model_id


def test_rows_twice_in_one_transaction_are_stored_once(target: Target) -> None:
    """Two partitions of a topic may have the same ids in one batch."""
    first, second = (
        row_batch.RowBatch(conftest.rows(0, 60), NOW, "p0"),
        row_batch.RowBatch(conftest.rows(40, 60), NOW, "p1"),
    )
    take(target, conftest.rows(90, 20))
    with db.org_session(target.engine, target.org) as session:
        model, version = versions.get(session, target.version_id)
        outcomes = [store.restore_samples(session, model, version, [batch]) for batch in (first, second, first)]

    assert outcomes == [ledger.Outcome(60, 60, 0, 0), ledger.Outcome(60, 30, 30, 0), ledger.Outcome(60, 0, 60, 0)]
    assert target.samples == 110

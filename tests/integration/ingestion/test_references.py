"""References are stored completely or not, get a revision by each upload, and are read by hash."""

import json
import threading
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from dcmon import db
from dcmon.errors import InvalidInput
from dcmon.ingestion import reference_loading, store
from dcmon.ingestion.reference_loading import LoadOptions, ReferenceLoad, ReferenceTable, split_document
from dcmon.ingestion.row_batch import RowBatch
from dcmon.monitoring import default_monitors, lifecycle
from dcmon.storage import references, sample_tables, versions
from dcmon.storage.columns import LABEL, PREDICTION, PROBABILITIES
from dcmon.storage.sampling import RowSelection
from dcmon.windows import Frequency
from tests.integration.conftest import Target, rows

NOW = datetime(2026, 4, 1, tzinfo=UTC)
NAMES = ["job", "age", PREDICTION, PROBABILITIES, LABEL]


def document(data: list[list[Any]], names: list[str] = NAMES) -> bytes:
    return json.dumps({"columns": names, "data": data}).encode()


def upload(target: Target, body: bytes) -> int:
    with db.org_session(target.engine, target.org) as session:
        return lifecycle.append_reference(session, *versions.get(session, target.version_id), body)


def reference_rows(count: int, first: int = 0) -> list[list[Any]]:
    return [[f"j{n % 4}", n, "1", [0.5, 0.5], str(n % 2) if n % 3 else None] for n in range(first, first + count)]


def state(target: Target) -> tuple[int, int]:
    """Return the number of rows and the revision."""
    with db.org_session(target.engine, target.org) as session:
        _, version = versions.get(session, target.version_id)
        return references.count(session, version), version.reference_revision


GOOD = ["j1", 1, "1", [0.5, 0.5], "0"]


BAD: list[tuple[Any, str]] = [
    (["\0", 1, "1", [0.5, 0.5], "0"], "NUL"),
    (["j", "x", "1", [0.5, 0.5], "0"], "age: Expected a number, got 'x'"),
    (["j", 1, None, [0.5, 0.5], "0"], "null"),
    (["j", 1, "1", [0.2, 0.3, 0.5], "0"], "_dc_prediction_probabilities: Expected 2 prob"),
    (["j", 1, "1", [0.5, 0.5]], "5 values"),
    ({"job": "j"}, "5 values"),
    (5, "5 values"),
]


def test_bad_row_refuses_the_whole_reference(target: Target) -> None:
    for bad, problem in BAD:
        with pytest.raises(InvalidInput, match=rf"Row 2 .*{problem}"):
            upload(target, document([GOOD, GOOD, bad, GOOD]))

    assert state(target) == (0, 0)


NO_DOCUMENTS = [
    *(b"", b"[]", b"\xff", b'{"columns": ["age"]}', b'{"columns": ["age", "age"], "data": []}'),
    *(b'{"columns": [], "data": [1]}', b'{"columns": ["age"], "data": ' + b"[" * 100_000),
]


def test_invalid_reference_document_is_refused(target: Target) -> None:
    for body in NO_DOCUMENTS:
        with pytest.raises(InvalidInput):
            upload(target, body)


def test_column_given_twice_is_refused(target: Target) -> None:
    with pytest.raises(InvalidInput, match="twice"):
        upload(target, document([[*GOOD, 1]], [*NAMES, "age"]))


def test_uploads_append_rows_and_make_revisions(target: Target) -> None:
    assert upload(target, document(reference_rows(10))) == 10
    assert upload(target, document(reference_rows(5, 10))) == 5
    assert state(target) == (15, 2)


def test_two_uploads_at_once_are_both_stored(target: Target) -> None:
    threads = [threading.Thread(target=upload, args=(target, document(reference_rows(200, n * 200)))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert state(target) == (800, 4)


def load(target: Target, table: ReferenceTable, **options: Any) -> ReferenceLoad:
    with db.org_session(target.engine, target.org) as session:
        return lifecycle.load_reference(
            session, *versions.get(session, target.version_id), table, LoadOptions(**options)
        )


def test_rows_over_the_limit_store_nothing(target: Target) -> None:
    upload(target, document(reference_rows(10)))
    with pytest.raises(InvalidInput, match="has 10 rows, and at most 12 are allowed"):
        load(target, split_document(document(reference_rows(3))), max_rows=12)
    assert state(target) == (10, 1)

    load(target, split_document(document(reference_rows(2))), max_rows=12)
    load(target, split_document(document(reference_rows(12))), max_rows=12, replace=True)
    assert state(target) == (12, 3)


def test_replacement_replaces_all_rows_or_none(target: Target) -> None:
    upload(target, document(reference_rows(10)))
    with pytest.raises(InvalidInput, match="Row 4 "):
        load(target, split_document(document([*reference_rows(4), ["j"]])), replace=True)
    assert state(target) == (10, 1)

    assert load(target, split_document(document(reference_rows(4, 100))), replace=True) == ReferenceLoad(4, 10, 4, 2)
    with db.org_session(target.engine, target.org) as session:
        model, version = versions.get(session, target.version_id)
        assert {row["age"] for row in references.rows(session, RowSelection(model, version, 100))} == {
            100,
            101,
            102,
            103,
        }
    with db.org_session(target.engine, target.org) as session:
        assert lifecycle.clear_reference(session, versions.get(session, target.version_id)[1]) == ReferenceLoad(
            0, 4, 0, 3
        )
    assert state(target) == (0, 3)


def test_snapshot_during_replacement_has_old_reference(target: Target) -> None:
    upload(target, document(reference_rows(10)))
    with db.org_session(target.engine, target.org, snapshot=True) as session:
        _, version = versions.get(session, target.version_id)
        load(target, split_document(document(reference_rows(3))), replace=True)
        assert (references.count(session, version), version.reference_revision) == (10, 1)


def test_dry_run_counts_and_stores_nothing(target: Target) -> None:
    upload(target, document(reference_rows(10)))
    for replace, wanted in ((False, ReferenceLoad(5, 0, 15, 2)), (True, ReferenceLoad(5, 10, 5, 2))):
        assert load(target, split_document(document(reference_rows(5))), dry_run=True, replace=replace) == wanted
        with pytest.raises(InvalidInput, match="Row 1 "):
            load(target, split_document(document([*reference_rows(1), 5])), dry_run=True, replace=replace)
    assert state(target) == (10, 1)
    assert load(target, split_document(document(reference_rows(5)))) == ReferenceLoad(5, 0, 15, 2)


def test_reference_rows_may_be_objects(target: Target) -> None:
    first = b'{"job": "a", "age": 1, "_dc_prediction": "1"}'
    second = b'{"age": 2, "job": null, "_dc_prediction": "0", "_dc_label": "1"}'
    assert load(target, ReferenceTable(msgspec.Raw(row) for row in (first, second))).total == 2
    for bad, problem in ((b'{"age": 1, "_dc_prediction": "1"}', "'job' is missing"), (b"NaN", "malformed")):
        with pytest.raises(InvalidInput, match=f"Row 1 .*{problem}"):
            load(target, ReferenceTable(msgspec.Raw(row) for row in (first, bad)))
    assert state(target) == (2, 1)


def test_unknown_class_is_refused_as_prediction_only(target: Target) -> None:
    """A label may be a class that the version does not have."""
    upload(target, document([["j", 1, "1", [0.5, 0.5], "7"]]))
    with pytest.raises(InvalidInput, match="'7' is not one of the version's classes"):
        upload(target, document([["j", 1, "7", [0.5, 0.5], "1"]]))


def test_new_reference_makes_last_windows_due(target: Target) -> None:
    def due() -> list[bool]:
        with db.org_session(target.engine, target.org) as session:
            return list(session.scalars(text("select due_at > now() from due_windows")))

    with db.org_session(target.engine, target.org) as session:
        sample_rows = [msgspec.Raw(row) for row in rows(0, 6000)]
        store.restore_samples(session, *versions.get(session, target.version_id), [RowBatch(sample_rows, NOW, "test")])
    upload(target, document(reference_rows(10)))
    assert due() == []  # no monitor exists

    with db.org_session(target.engine, target.org) as session:
        default_monitors.create_defaults(session, versions.get(session, target.version_id)[0], Frequency.DAY)
        session.execute(text("delete from due_windows"))
    upload(target, document(reference_rows(10)))
    assert due() == [True] * 3


@pytest.mark.parametrize("labelled", [False, True])
def test_deterministic_sample_has_the_lowest_hashes(target: Target, labelled: bool) -> None:
    """Filters apply before the limit."""
    upload(target, document(reference_rows(500)))
    filters = {"filters": [{"column": "job", "operator": "equals", "value": "j1"}]}
    with db.org_session(target.engine, target.org) as session:
        model, version = versions.get(session, target.version_id)
        sample = references.sample_rows(session, RowSelection(model, version, 30, labelled, filters))
        assert set(sample.names) == {*sample_tables.columns(model, version).all}
    ages = [dict(zip(sample.names, row, strict=True))["age"] for row in sample.rows]
    wanted = [n for n in range(500) if n % 4 == 1 and (n % 3 or not labelled)]

    assert ages == sorted(wanted, key=reference_loading._hash)[:30]


def test_split_json_of_pandas_is_accepted(target: Target) -> None:
    import pandas as pd

    frame = pd.DataFrame({"age": [1.0, None], "job": ["a", None], PREDICTION: ["0", "1"], LABEL: ["1", None]})

    assert upload(target, frame.to_json(orient="split", index=False).encode()) == 2


@pytest.mark.parametrize(
    ("labels", "is_unbalanced"),
    [
        ({"1": 40, "1.0": 57, "0": 2, "0.0": 1}, True),
        ({"1": 60, "True": 30, "False": 5, "0": 5}, False),
        ({"1": 50, "1.0": 50}, False),
        ({"1": 97, "0": 2, "2": 1}, False),
    ],
)
def test_spellings_of_earlier_releases_are_one_class(
    target: Target, labels: dict[str, int], is_unbalanced: bool
) -> None:
    """Earlier releases stored labels as they were sent; a class is rare by the count of all its spellings."""
    written = [label for label, n in labels.items() for _ in range(n)]
    upload(target, document([["j", 1, "1", [0.5, 0.5], f"old {number}"] for number in range(len(written))]))
    with db.org_session(target.engine, target.org) as session:
        _, version = versions.get(session, target.version_id)
        version.classes = ["0", "1"]
        for number, label in enumerate(written):
            session.execute(
                text(f"update reference_{version.relation} set {LABEL} = :new where {LABEL} = :old"),
                {"new": label, "old": f"old {number}"},
            )
        assert references.is_unbalanced(session, version) == is_unbalanced

"""Columnar samples equal the rows, for all column values, any number of blocks, and gaps."""

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from dcmon.app import App
from dcmon.db import Organization
from dcmon.monitoring import lifecycle
from dcmon.storage import models, packing, references, sampling, versions
from dcmon.storage.column_blocks import TooManyRows
from dcmon.storage.models import NewModel
from dcmon.storage.sampling import RowSelection
from dcmon.storage.versions import NewVersion
from dcmon.windows import Window
from tests.helpers.examples import examples

START, END = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
FEATURES = {
    "n": "numeric", "i": "integer", "big": "bigint", "c": "categorical", "t: 100 % \"x\"": "text", "yes": "boolean",
    "list": "array_float", "table": "array_float_2d", "when": "datetime",
}  # fmt: skip
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
numbers = st.floats(allow_nan=False, allow_infinity=False)
values = st.fixed_dictionaries(
    {
        "n": st.none() | numbers,
        "i": st.none() | st.integers(-(2**31), 2**31 - 1),
        "big": st.none() | st.integers(-(2**63), 2**63 - 1),
        "c": st.none() | words,
        't: 100 % "x"': st.none() | words,
        "yes": st.none() | st.booleans(),
        "list": st.none() | st.lists(numbers, max_size=4),
        "table": st.none() | st.lists(st.lists(numbers, min_size=2, max_size=2), min_size=1, max_size=3),
        "when": st.none()
        | st.datetimes(datetime(1, 1, 2), datetime(9998, 12, 30)).map(lambda at: f"{at.isoformat()}Z"),  # noqa: DTZ001
        "_dc_prediction_probabilities": st.none() | st.just([0.25, 0.75]),
    }
)


def same(left: Any, right: Any) -> bool:
    """Compare values; a missing number is NaN in a column of numbers."""
    is_missing = [value is None or (isinstance(value, float) and math.isnan(value)) for value in (left, right)]
    return all(is_missing) or bool(left == right)


def logged(app: App, org: Organization, rows: Sequence[dict[str, Any]]) -> int:
    with app.org(org) as session:
        model = models.create(session, NewModel(f"m{datetime.now(UTC).timestamp()}", "binary"))
        version = versions.create(session, model, NewVersion("v1", FEATURES, {"more": "numeric"}, classes=["0", "1"]))
        model_id, version_id = model.id, version.id
    samples, labels = [], []
    for number, row in enumerate(rows):
        sample_id, time = f"s{number}", (START + timedelta(hours=number)).isoformat()
        own = {"_dc_sample_id": sample_id, "_dc_time": time, "_dc_prediction": str(number % 2), **row}
        samples.append(json.dumps(own).encode())
        if number % 3:
            labels.append(json.dumps({"_dc_sample_id": sample_id, "_dc_label": "1"}).encode())
    app.ingestion.ingest_samples(org, version_id, samples)
    app.ingestion.ingest_labels(org, model_id, labels)
    return version_id


WINDOW = Window(START, END)


def all_rows(session: Session, version_id: int) -> RowSelection:
    return RowSelection(*versions.get(session, version_id), limit=None)


def compare(app: App, org: Organization, version_id: int, n: int, limit: int | None, labelled: bool) -> None:
    with app.org(org) as session:
        model, version = versions.get(session, version_id)
        rows = sampling.sample_rows(session, WINDOW, RowSelection(model, version, limit or 10**6, labelled))
        block = sampling.sample_columns(
            session, WINDOW, RowSelection(model, version, limit, labelled), [*FEATURES, "gone"]
        )
    if not rows.rows:
        assert block is None
        return
    assert block is not None
    assert len(block) == len(rows.rows) <= n
    for position, name in enumerate(rows.names):
        if name == "more":
            continue
        expected, column = [row[position] for row in rows.rows], list(block.column(name))
        assert all(map(same, expected, column)), (name, expected, column)


@settings(max_examples=examples(15))
@given(st.lists(values, min_size=1, max_size=12), st.booleans())
def test_columns_equal_the_rows(app: App, org: Organization, rows: list[dict[str, Any]], in_one_block: bool) -> None:
    version_id = logged(app, org, rows)
    for labelled in (False, True):
        compare(app, org, version_id, len(rows), None if in_one_block else 8, labelled)


@pytest.mark.parametrize("limit", [None, 100, 95])
def test_many_blocks_make_one_sample(app: App, org: Organization, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(packing, "BLOCK", 7)
    row = {"n": 0.5, "i": None, "big": 2**60, "c": "c", 't: 100 % "x"': "t", "yes": True, "list": [1.5], "table": None,
           "when": None}  # fmt: skip
    version_id = logged(app, org, [{**row, "n": number / 2} for number in range(100)])

    compare(app, org, version_id, limit or 100, limit, False)


def test_integers_stay_integers_unless_one_is_missing(app: App, org: Organization) -> None:
    row = dict.fromkeys(FEATURES)
    version_id = logged(app, org, [{**row, "i": 1, "big": 2**62 + 1}, {**row, "i": None, "big": 2}])
    with app.org(org) as session:
        block = sampling.sample_columns(session, WINDOW, all_rows(session, version_id), ["i", "big"])
    assert block is not None
    assert sorted(block.column("big").tolist()) == [2, 2**62 + 1]
    assert block.column("i").dtype == float


def test_rows_that_need_too_much_memory_are_refused_unread(app: App, org: Organization) -> None:
    """They are refused before they are read."""
    version_id = logged(app, org, [dict.fromkeys(FEATURES)] * 30)
    with app.org(org) as session, pytest.raises(TooManyRows, match="The rows take more than 300 bytes"):
        sampling.sample_columns(session, WINDOW, all_rows(session, version_id), ["n"], max_bytes=300)


def test_reference_without_rows_has_no_column_block(app: App, org: Organization) -> None:
    version_id = logged(app, org, [dict.fromkeys(FEATURES)])
    with app.org(org) as session:
        assert references.sample_columns(session, all_rows(session, version_id), ["n"]) is None


@pytest.mark.parametrize("limit", [None, 40, 400])
def test_reference_is_read_in_the_order_of_loading(app: App, org: Organization, limit: int | None) -> None:
    """All rows, or those with the smallest hashes: a sample has the same order as the whole reference."""
    version_id = logged(app, org, [dict.fromkeys(FEATURES)])
    with app.org(org) as session:
        model, version = versions.get(session, version_id)
        data = [[*(number if name == "n" else None for name in FEATURES), "1"] for number in range(300)]
        document = json.dumps({"columns": [*FEATURES, "_dc_prediction"], "data": data}).encode()
        lifecycle.append_reference(session, model, version, document)
        selection = RowSelection(model, version, limit)
        sample = references.sample_columns(session, selection, ["n"])
    assert sample is not None
    numbers = sample.column("n")
    assert list(numbers) == sorted(numbers)
    assert len(numbers) == min(limit or 300, 300)


def test_more_packed_columns_than_a_result_has_are_read(app: App, org: Organization) -> None:
    """Each bigint is packed into two columns, and PostgreSQL allows 1,664 in the result of a statement."""
    features = dict.fromkeys([f"i{number}" for number in range(900)], "bigint")
    with app.org(org) as session:
        model = models.create(session, NewModel("integers", "binary"))
        version_id = versions.create(session, model, NewVersion("v1", features)).id
    own = {name: number for number, name in enumerate(features)}
    rows = [
        {"_dc_sample_id": f"s{number}", "_dc_time": START.isoformat(), "_dc_prediction": "1", **own, "i7": None}
        for number in range(3)
    ]
    app.ingestion.ingest_samples(org, version_id, [json.dumps(row).encode() for row in rows])
    with app.org(org) as session:
        for limit in (None, 100):
            selection = RowSelection(*versions.get(session, version_id), limit=limit)
            block = sampling.sample_columns(session, WINDOW, selection, list(features))
            assert block is not None
            assert [block.column(name).tolist() for name in ("i0", "i899")] == [[0] * 3, [899] * 3]
            assert all(map(math.isnan, block.column("i7")))

"""A version's rows are the same however its columns are stored: in columns of their own, or in arrays."""

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon.app import App
from dcmon.db import Organization
from dcmon.ingestion import sample_deletion
from dcmon.monitoring import lifecycle
from dcmon.storage import (
    categories,
    models,
    packing,
    references,
    sample_lookup,
    sampling,
    table_layout,
    versions,
)
from dcmon.storage.column_blocks import ColumnarSample
from dcmon.storage.models import NewModel
from dcmon.storage.sampling import RowSelection
from dcmon.storage.table_layout import Layout
from dcmon.storage.versions import NewVersion
from dcmon.windows import Window
from tests.helpers.examples import examples

START, END = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
WINDOW = Window(START, END)
FEATURES = {
    "n": "numeric", "c": "categorical", "i": "integer", "yes": "boolean", "t: 100 % \"x\"": "text", "big": "bigint",
    "xmin": "numeric", "list": "array_float", "when": "datetime", "ä" * 40: "numeric", "no": "boolean",
    "c2": "categorical", "i2": "integer", "table": "array_float_2d",
}  # fmt: skip
ADDITIONAL = {"more": "numeric", "words": "text", "NaN": "categorical"}
COLUMNS = {**FEATURES, **ADDITIONAL}
words = st.sampled_from(["NaN", "null", "", "false", "1.0", "Oslo", '"', "\\", "é\u0001"]) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12
)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-3, 3).map(float)
VALUES: Mapping[str, st.SearchStrategy[Any]] = {
    "numeric": numbers,
    "integer": st.integers(-(2**31), 2**31 - 1) | st.integers(-1, 1),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "boolean": st.booleans(),
    "categorical": words,
    "text": words,
    "array_float": st.lists(numbers, max_size=3),
    "array_float_2d": st.lists(st.lists(numbers, min_size=2, max_size=2), min_size=1, max_size=2),
    "datetime": st.datetimes(datetime(1, 1, 2), datetime(9998, 12, 30)).map(lambda at: f"{at.isoformat()}Z"),  # noqa: DTZ001
}
rows = st.fixed_dictionaries(
    {name: st.none() | VALUES[kind] for name, kind in FEATURES.items()},
    optional={name: st.none() | VALUES[kind] for name, kind in ADDITIONAL.items()},
)
COMPARABLE = [name for name, kind in COLUMNS.items() if not kind.startswith("array")]
Row = dict[str, Any]
model_names = (f"m{number}" for number in itertools.count())


@dataclass(frozen=True)
class Stored:
    """A version of each layout, all of one model."""

    app: App
    org: Organization
    model_id: int
    by_layout: Mapping[Layout, int]

    def ingest(self, samples: Sequence[Row]) -> None:
        for version_id in self.by_layout.values():
            self.app.ingestion.ingest_samples(self.org, version_id, [json.dumps(row).encode() for row in samples])

    def selections(self, session: Session, filters: Any = None, limit: int | None = 1_000) -> Iterator[RowSelection]:
        for version_id in self.by_layout.values():
            yield RowSelection(*versions.get(session, version_id), limit, filters=filters)


def create(app: App, org: Organization) -> Stored:
    created = dict[Layout, int]()
    with app.org(org) as session:
        model = models.create(session, NewModel(next(model_names), "binary"))
        for layout in Layout:
            with mock.patch.object(table_layout, "choose", return_value=layout):
                new = NewVersion(f"layout {layout}", FEATURES, ADDITIONAL, classes=["0", "1"])
                created[layout] = versions.create(session, model, new).id
        return Stored(app, org, model.id, created)


def sample(number: int, own: Row) -> Row:
    time = (START + timedelta(hours=number)).isoformat()
    return {"_dc_sample_id": f"s{number}", "_dc_time": time, "_dc_prediction": str(number % 2), **own}


def as_stored(name: str, value: Any) -> Any:
    """Return a sent value as it is stored: `false` is `False` in a category."""
    return categories.normalize(value) if COLUMNS[name] == "categorical" and value is not None else value


def plain(values: Any) -> Any:
    """Return a column so that equal columns compare equal: a missing number is None."""
    return [None if isinstance(value, float) and math.isnan(value) else value for value in values]


def require_same(results: Sequence[Any]) -> None:
    assert len(results) == len(Layout)
    assert all(repr(result) == repr(results[0]) for result in results), results


def decoded(block: ColumnarSample | None) -> Any:
    """Return the columns of a block in each way in which they are read."""
    if block is None:
        return None
    columns = {name: (type(block.column(name)), plain(block.column(name))) for name in block.column_types}
    counted = [name for name, kind in block.column_types.items() if kind in ("categorical", "text", "boolean")]
    counts = {name: block.counts(name) for name in counted}
    codes = {name: block.codes(name) for name in counted if block.column_types[name] != "boolean"}
    return len(block), columns, counts, {name: (found.codes.tolist(), found.names) for name, found in codes.items()}


def read_columns(session: Session, stored: Stored, features: Sequence[str], limit: int | None = None) -> list[Any]:
    """Return the columns of samples and of the reference, for each layout."""
    return [
        [
            decoded(sampling.sample_columns(session, WINDOW, selection, features)),
            decoded(references.sample_columns(session, selection, features)),
        ]
        for selection in stored.selections(session, limit=limit)
    ]


@settings(max_examples=examples(12))
@given(st.lists(rows, min_size=1, max_size=8), st.data())
def test_rows_of_each_layout_are_the_same(app: App, org: Organization, own: list[Row], data: st.DataObject) -> None:
    stored = create(app, org)
    samples = [sample(number, row) for number, row in enumerate(own)]
    stored.ingest(samples)
    table = {
        "columns": ["_dc_label", *COLUMNS, "_dc_prediction"],
        "data": [["1", *(row.get(name) for name in COLUMNS), "0"] for row in own],
    }
    features = data.draw(st.lists(st.sampled_from(list(FEATURES)), unique=True))
    with app.org(org) as session:
        for selection in stored.selections(session):
            lifecycle.append_reference(session, selection.model, selection.version, json.dumps(table).encode())
    with app.org(org) as session:
        require_same([sampling.rows(session, WINDOW, selection) for selection in stored.selections(session)])
        require_same([sampling.sample_rows(session, WINDOW, selection) for selection in stored.selections(session)])
        require_same([references.sample_rows(session, selection) for selection in stored.selections(session)])
        (first, *_) = stored.selections(session)
        found = {row["_dc_sample_id"]: row for row in sampling.rows(session, WINDOW, first)}
        numeric = [name for name, kind in COLUMNS.items() if kind not in ("datetime",)]
        for row in samples:
            assert {name: found[row["_dc_sample_id"]][name] for name in numeric} == {
                name: as_stored(name, row.get(name)) for name in numeric
            }
        for most in (0, 2, 8):
            with mock.patch.object(packing, "MAX_ELEMENTS", most):
                require_same(read_columns(session, stored, features))
                require_same(read_columns(session, stored, list(FEATURES)))
        for row in samples:
            found_rows = sample_lookup.find(session, first.model, row["_dc_sample_id"])
            require_same([dict(sorted(place["row"].items())) for place in found_rows])


@settings(max_examples=examples(15))
@given(st.lists(rows, min_size=3, max_size=8), st.data())
def test_filters_select_the_same_rows_in_each_layout(
    app: App, org: Organization, own: list[Row], data: st.DataObject
) -> None:
    stored = create(app, org)
    stored.ingest([sample(number, row) for number, row in enumerate(own)])
    with app.org(org) as session:
        for name in COMPARABLE:
            value = data.draw(st.sampled_from([row.get(name) for row in own]))
            comparisons = ["equals", "not_equals", "in"] + (
                ["less_than", "greater_than_equals"] if value is not None else []
            )
            for comparison in comparisons:
                wanted = {"filters": [{"column": name, "operator": comparison, "value": value}]}
                results = [
                    (sampling.rows(session, WINDOW, selection), sampling.sample_rows(session, WINDOW, selection).rows)
                    for selection in stored.selections(session, wanted)
                ]
                require_same(results)
                assert comparison != "equals" or results[0][0], (name, value)


def test_corrections_and_quarantine_are_the_same_in_each_layout(app: App, org: Organization) -> None:
    """Rows are sent twice, changed, bad, deleted and sent again."""
    stored = create(app, org)
    empty = dict.fromkeys(FEATURES)
    good = [sample(number, {**empty, "n": number / 4, "i": number, "c": f"c{number}"}) for number in range(6)]
    bad: list[Row] = [
        sample(10, {**empty, "n": "x"}), sample(11, {**empty, "i": 2**31}), sample(12, {**empty, "c": "a\0b"}),
        sample(13, {**empty, "yes": 2}), sample(14, {**empty, "other": 1}), sample(15, {"n": 1}),
    ]  # fmt: skip
    stored.ingest(good)
    stored.ingest(good)
    for column, value in (("n", 7.5), ("i", 70), ("yes", True), ("c2", "other"), ("xmin", 0.0)):
        stored.ingest([{**good[1], column: value}])
    stored.ingest(bad)
    stored.ingest([{**good[0], "NaN": "NaN"}, {**good[0], "NaN": None}])
    with app.org(org) as session:
        reasons = Counter(map(tuple, session.execute(text("select version_id, reason from quarantine"))))
        counted = [
            {reason: n for (version_id, reason), n in sorted(reasons.items()) if version_id == own}
            for own in stored.by_layout.values()
        ]
        require_same(counted)
        assert counted[0]["conflict"] == 6
        assert sum(counted[0].values()) == 6 + len(bad)
        ranges = [
            sample_deletion.sample_ranges(
                session, selection.model, selection.version.name, START, START + timedelta(hours=3)
            )
            for selection in stored.selections(session)
        ]
    for (part,) in (named.values() for named in ranges):
        assert sample_deletion.delete_samples(app.engine, org, part, "tester").samples == 3
    stored.ingest([{**good[1], "n": 99.0, "no": False, "words": "again"}])
    with app.org(org) as session:
        remaining = [sampling.rows(session, WINDOW, selection) for selection in stored.selections(session)]
    require_same(remaining)
    assert {row["_dc_sample_id"]: row["n"] for row in remaining[0]} == {"s1": 99.0, "s3": 0.75, "s4": 1.0, "s5": 1.25}


@pytest.mark.parametrize("limit", [None, 100, 95])
def test_wide_rows_in_many_blocks_make_one_sample(
    app: App, org: Organization, monkeypatch: pytest.MonkeyPatch, limit: int | None
) -> None:
    monkeypatch.setattr(packing, "BLOCK", 7)
    monkeypatch.setattr(packing, "MAX_ELEMENTS", 0)
    stored, empty = create(app, org), dict.fromkeys(FEATURES)
    stored.ingest([sample(number, {**empty, "n": number / 2, "c": str(number % 9)}) for number in range(100)])
    with app.org(org) as session:
        results = read_columns(session, stored, list(FEATURES), limit)
    require_same(results)
    assert results[0][0][0] == (limit or 100)

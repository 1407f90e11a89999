"""Filters in SQL select the same rows as equal filters in Python, in production and in the reference."""

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.app import App
from dcmon.db import Organization
from dcmon.monitoring import lifecycle
from dcmon.storage import filter_parser, models, references, sampling, versions
from dcmon.storage.columns import LABEL, PREDICTION, TIME
from dcmon.storage.filters import KNOWN_OPERATORS
from dcmon.storage.models import NewModel
from dcmon.storage.sampling import RowSelection
from dcmon.storage.versions import NewVersion
from dcmon.windows import Window
from tests.helpers.examples import examples

START = datetime(2026, 3, 1, tzinfo=UTC)
COLUMNS = {
    "n": "numeric", "i": "integer", "b": "bigint", "c": "categorical", "t": "text", "f": "boolean", "d": "datetime",
    "v": "array_float",
}  # fmt: skip
POOL: Mapping[str, Sequence[Any]] = {
    "n": [None, -1.5, 0.0, 0.1, 30.0, 1e300, -1e-300],
    "i": [None, -(2**31), 0, 1, 30, 2**31 - 1],
    "b": [None, -(2**63), 0, 2**53, 2**53 + 1, 2**63 - 1],
    "c": [None, "", "Oslo", "oslo", "Zürich", "null", "1", "a,b", "it's", "🏔"],
    "t": [None, "", "B", "a", "b", "ä", "long text"],
    "f": [None, True, False],
    "d": [None, "2026-03-01T00:00:00Z", "2026-03-29T01:00:00+00:00", "1969-12-31T23:59:59.999999Z"],
    "v": [None, [1.0, 2.0]],
    PREDICTION: ["0", "1"],
    LABEL: [None, "0", "1"],
    TIME: [(START + timedelta(minutes=minutes)).isoformat() for minutes in (0, 7, 59)],
}
COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "greater_than": operator.gt,
    "greater_than_equals": operator.ge,
    "less_than": operator.lt,
    "less_than_equals": operator.le,
    "equals": operator.eq,
    "not_equals": operator.ne,
}


def converted(column: str, value: Any) -> Any:
    """Convert a filter value to the column's type: text of a time becomes a datetime."""
    is_time = column in ("d", TIME) and isinstance(value, str)
    return datetime.fromisoformat(value) if is_time else value


def fits(row: Mapping[str, Any], column: str, comparison: str, value: Any) -> bool:
    filter_value = converted(column, row[column])
    if comparison == "in":
        return filter_value in [converted(column, item) for item in value]
    wanted = converted(column, value)
    if filter_value is None or wanted is None:
        return comparison in ("equals", "not_equals") and COMPARED[comparison](filter_value, wanted)
    return COMPARED[comparison](filter_value, wanted)


def row(number: int) -> dict[str, Any]:
    own = {name: POOL[name][number % len(POOL[name])] for name in COLUMNS}
    return {
        "_dc_sample_id": f"s{number}",
        TIME: (START + timedelta(minutes=number)).isoformat(),
        PREDICTION: str(number % 2),
        **own,
    }


ROWS = [row(number) for number in range(60)]
LABELS = {record["_dc_sample_id"]: POOL[LABEL][number % 3] for number, record in enumerate(ROWS)}


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    column = draw(st.sampled_from([*COLUMNS, PREDICTION, LABEL, TIME]))
    comparison = draw(st.sampled_from(KNOWN_OPERATORS))
    values = st.sampled_from(POOL[column] if column != "v" else [None])
    if comparison == "in":
        return {"column": column, "operator": "in", "value": draw(st.lists(values, min_size=1, max_size=3))}
    value = draw(values)
    if value is None and "than" in comparison:
        comparison = "equals"
    return {"column": column, "operator": comparison, "value": value}


@pytest.fixture
def filled(app: App, org: Organization) -> tuple[int, int]:
    """Create a version with rows of every type in production and in its reference."""
    with app.org(org) as session:
        model = models.create(session, NewModel("types", "binary"))
        version = versions.create(session, model, NewVersion("v1", COLUMNS, classes=["0", "1"]))
        version_id, model_id = version.id, model.id
        names = [*COLUMNS, PREDICTION, LABEL]
        table = [[{**entry, LABEL: LABELS[entry["_dc_sample_id"]]}[name] for name in names] for entry in ROWS]
        lifecycle.append_reference(session, model, version, json.dumps({"columns": names, "data": table}).encode())
    app.ingestion.ingest_samples(org, version_id, [json.dumps(record).encode() for record in ROWS])
    message = [{"_dc_sample_id": name, LABEL: label} for name, label in LABELS.items()]
    app.ingestion.ingest_labels(org, model_id, [json.dumps(record).encode() for record in message])
    return model_id, version_id


def test_sql_and_python_filters_choose_the_same_rows(app: App, org: Organization, filled: tuple[int, int]) -> None:
    end = START + timedelta(hours=1)
    with app.org(org) as session:
        model, version = versions.get(session, filled[1])
        every = sampling.rows(session, Window(START, end), RowSelection(model, version, 100))
        assert len(every) == len(ROWS)
        encoded = [{**row, "d": row["d"] and row["d"].isoformat(), TIME: row[TIME].isoformat()} for row in every]
        names = sampling.sample_rows(session, Window(START, end), RowSelection(model, version, 100)).names
        compared = references.sample_rows(session, RowSelection(model, version, 100))

        @settings(max_examples=examples(300))
        @given(st.lists(conditions(), max_size=3), st.integers(1, 70))
        def agree(chosen: list[dict[str, Any]], limit: int) -> None:
            filters = {"filters": chosen}
            for given_filters in (filters, filter_parser.parse([filter_parser.write(filters)]) if chosen else filters):
                selection = RowSelection(model, version, limit, filters=given_filters)
                sample = sampling.sample_rows(session, Window(START, end), selection).rows
                expected = [
                    tuple(row[name] for name in names)
                    for row, plain in zip(every, encoded, strict=True)
                    if all(fits(plain, *condition.values()) for condition in chosen)
                ][:limit]
                assert sample == expected
                no_time = [condition for condition in chosen if condition["column"] != TIME]
                remaining = [
                    row for row in compared.rows if all(
                        fits(plain_reference(compared.names, row), *condition.values())
                        for condition in no_time
                    )
                ]  # fmt: skip
                of_reference = references.sample_rows(session, selection)
                assert of_reference.rows == remaining[:limit]

        agree()


def plain_reference(names: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    named = dict(zip(names, row, strict=True))
    return {**named, "d": named["d"] and named["d"].isoformat()}


def test_labelled_rows_are_filtered_before_the_limit(app: App, org: Organization, filled: tuple[int, int]) -> None:
    end = START + timedelta(hours=1)
    only = {"filters": [{"column": "c", "operator": "equals", "value": "Oslo"}]}
    with app.org(org) as session:
        model, version = versions.get(session, filled[1])
        sample = sampling.sample_rows(session, Window(START, end), RowSelection(model, version, 3, True, only))
    rows = [dict(zip(sample.names, row, strict=True)) for row in sample.rows]
    assert len(rows) == 3
    assert all(row["c"] == "Oslo" and row[LABEL] is not None for row in rows)

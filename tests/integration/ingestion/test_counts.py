"""The counts that a sender gets add up to the rows that were sent, for any rows in any batches."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from dcmon import db
from dcmon.errors import InvalidInput
from dcmon.ingestion.intake import Direct
from dcmon.ingestion.intake_results import StoredRows
from dcmon.ingestion.reference_loading import LoadOptions, split_document
from dcmon.monitoring import lifecycle
from dcmon.storage import references, versions
from tests.helpers.examples import examples
from tests.integration.conftest import Target

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
IDS = st.sampled_from([f"s{number}" for number in range(12)]) | st.integers(0, 12) | JSON
TIMES = st.sampled_from(["2026-03-01T12:00:00Z", "2026-03-01T12:00:00", 1772366400, "2999-01-01T00:00:00Z"]) | JSON
CLASSES = st.sampled_from(["0", "1", 1, 1.0, True, "2"]) | JSON
PROBABILITIES = st.sampled_from([[0.2, 0.8], [0.8], 0.8, {"0": 0.2, "1": 0.8}, [20, 80], [0.1]]) | JSON
VALUES: dict[str, Any] = {
    "_dc_sample_id": IDS, "_dc_time": TIMES, "_dc_prediction": CLASSES, "job": JSON, "age": st.integers() | JSON,
}  # fmt: skip
ROWS = st.fixed_dictionaries(VALUES, optional={"_dc_prediction_probabilities": PROBABILITIES, "more": JSON})
SAMPLES = (ROWS | st.fixed_dictionaries({}, optional=VALUES) | JSON).map(json.dumps) | st.just('{"job": ')
LABELS = (st.fixed_dictionaries({"_dc_sample_id": IDS, "_dc_label": CLASSES}) | JSON).map(json.dumps) | st.just("{")


def require_sum(result: StoredRows, sent: int) -> None:
    done = result.stored + result.duplicates + result.replaced
    assert result.received == sent == done + sum(result.quarantined.values())
    assert min(result.stored, result.duplicates, result.replaced, *result.quarantined.values(), 0) == 0
    assert result.quarantined.keys() == result.first.keys()
    assert result.waiting <= result.stored + result.duplicates
    assert all(0 <= example.row < sent and example.detail for example in result.first.values())


def raw(batch: list[str]) -> list[Raw]:
    return [Raw(row.encode()) for row in batch]


@given(st.lists(st.tuples(st.booleans(), st.lists(SAMPLES, max_size=8), st.lists(LABELS, max_size=8)), max_size=5))
@settings(max_examples=examples(25))
def test_counts_of_samples_and_labels_add_up(target: Target, batches: list[tuple[bool, list[str], list[str]]]) -> None:
    """Batches may be repeated; what is stored is what the answers say."""
    direct, before = Direct(target.engine), target.samples
    quarantined = target.scalar("select count(*) from quarantine")
    stored = bad = 0
    for is_repeated, samples, labels in batches:
        for _ in range(1 + is_repeated):
            if samples:
                result = direct.ingest_samples(target.org, target.version_id, raw(samples))
                require_sum(result, len(samples))
                stored, bad = stored + result.stored, bad + sum(result.quarantined.values())
            if labels:
                result = direct.ingest_labels(target.org, target.model_id, raw(labels))
                require_sum(result, len(labels))
                bad += sum(result.quarantined.values())

    assert target.samples == before + stored
    assert target.scalar("select count(*) from quarantine") <= quarantined + bad


@given(st.lists(st.tuples(JSON, st.integers() | JSON, CLASSES, PROBABILITIES, CLASSES), min_size=1, max_size=8))
@settings(max_examples=examples(25))
def test_counts_of_a_reference_add_up(target: Target, rows: list[tuple[Any, ...]]) -> None:
    """All rows are stored, or none, and then the counts of the error say how many can't be."""
    names = ["job", "age", "_dc_prediction", "_dc_prediction_probabilities", "_dc_label"]
    document = json.dumps({"columns": names, "data": rows}).encode()
    with db.org_session(target.engine, target.org) as session:
        model, version = versions.get(session, target.version_id)
        before = references.count(session, version)
        try:
            table = split_document(document)
        except InvalidInput:  # NaN, or half of a surrogate pair
            return
        told: dict[str, Any] = {}
        try:
            load = lifecycle.load_reference(session, model, version, table, LoadOptions())
        except InvalidInput as refused:
            told = refused.details["information"]
    if not told:
        assert (load.stored, load.total) == (len(rows), before + len(rows))
        return
    assert (told["received"], told["stored"]) == (len(rows), 0)
    assert 0 < sum(told["rejected"].values()) <= len(rows)
    assert told["rejected"].keys() == told["first"].keys()

"""The same rows over HTTP and in files are stored once, and a reference in each format has the same categories."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dcmon import db, errors
from dcmon.app import App
from dcmon.ingestion.files import file_target, manual_load, reference_file
from dcmon.ingestion.files.manual_load import LoadRequest
from dcmon.ingestion.reference_loading import LoadOptions
from dcmon.monitoring import lifecycle
from dcmon.storage import models, references, sample_tables, versions
from dcmon.storage.models import NewModel
from dcmon.storage.sampling import RowSelection
from dcmon.storage.versions import NewVersion
from tests.conftest import Acme
from tests.helpers.endpoint import serving
from tests.integration.conftest import Target

FEATURES = {"zone": "categorical", "is_new": "boolean", "visits": "integer"}
ZONES = [1, 2, None, 0, -3, 2, 10**16, 1, 0.5]
WANTED = {"1": 2, "2": 2, None: 1, "0": 1, "-3": 1, "10000000000000000": 1, "0.5": 1}
FRAME = pd.DataFrame(
    {
        "_dc_sample_id": [f"s{number}" for number in range(len(ZONES))],
        "_dc_time": pd.date_range("2026-03-01", periods=len(ZONES), freq="h", tz="UTC"),
        "_dc_prediction": [0, 1, 1, 0, 1, 0, 1, 1, 0],
        "_dc_prediction_probabilities": [0.2, 0.8] * 4 + [0.4],
        "zone": ZONES,
        "is_new": [0, 1, None, 1, 0, 0, 1, 1, None],
        "visits": [1, None, 3, 4, 5, 6, 7, 8, 9],
    }
)
WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    "a.csv": lambda frame, path: frame.to_csv(path, index=False),
    "a.parquet": lambda frame, path: frame.to_parquet(path),
    "a.jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True),
}


@pytest.fixture
def zones(app: App, acme: Acme) -> Target:
    with app.org(acme.org) as session:
        model = models.create(session, NewModel("zones", "binary"))
        version = versions.create(session, model, NewVersion("v1", FEATURES, classes=["0", "1"]))
        return Target(app.engine, acme.org, model.id, version.id)


def test_rows_of_http_and_files_are_the_same(app: App, acme: Acme, zones: Target, tmp_path: Path) -> None:
    """Rows with the same ids are duplicates in each format, and not conflicts."""
    rows = json.loads(FRAME.assign(_dc_time=FRAME["_dc_time"].astype(str)).to_json(orient="records"))
    with serving(app, acme.token) as client:
        response = client.samples(zones.version_id, [json.dumps(row).encode() for row in rows])
    answer = json.loads(response.data)
    assert (answer["stored"], answer["quarantined"]) == (len(FRAME), {})

    for name, write in WRITERS.items():
        write(FRAME, tmp_path / name)
        with db.org_session(zones.engine, zones.org) as session:
            target = file_target.find(session, "zones", None, "samples", {})
        result = manual_load.load(zones.engine, zones.org, target, LoadRequest(str(tmp_path / name))).result
        assert (result.outcome.stored, result.outcome.duplicates, result.reasons) == (0, len(FRAME), {}), name


def test_reference_has_the_same_categories_in_each_format(zones: Target, tmp_path: Path) -> None:
    frame = FRAME.drop(columns=["_dc_sample_id", "_dc_time"])
    writers = {**WRITERS, "a.json": lambda frame, path: frame.to_json(path, orient="split", index=False)}
    collected: list[list[Any]] = []
    for name, write in writers.items():
        write(frame, tmp_path / name)
        with db.org_session(zones.engine, zones.org) as session:
            model, version = versions.get(session, zones.version_id)
            columns = sample_tables.columns(model, version)
            with reference_file.opened_table(tmp_path / name, columns, {}) as table:
                lifecycle.load_reference(session, model, version, table, LoadOptions(replace=True))
            selection = RowSelection(model, version, 100)
            collected.append(references.rows(session, selection))
            sample = references.sample_columns(session, selection, list(FEATURES), max_bytes=10**6)
        assert sample is not None
        assert sample.counts("zone") == WANTED, name

    assert all(rows == collected[0] for rows in collected)
    probabilities = {tuple(row["_dc_prediction_probabilities"]) for row in collected[0]}
    assert probabilities == {(0.8, 0.2), (0.2, 0.8), (0.6, 0.4)}  # one number is that of the second class


def test_classes_that_are_one_value_are_refused(app: App, acme: Acme) -> None:
    """A prediction 1 could be either of them."""
    with app.org(acme.org) as session:
        model = models.create(session, NewModel("twice", "binary"))
        for classes in (["1", "1.0"], ["True", "true"]):
            with pytest.raises(errors.InvalidInput, match="spellings of one"):
                versions.create(session, model, NewVersion("v1", FEATURES, classes=classes))

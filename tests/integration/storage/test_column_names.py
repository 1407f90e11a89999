"""Features whose names PostgreSQL or dcmon's tables have already, from creation to the rows that are read back."""

import json
from datetime import UTC, datetime

from dcmon.app import App
from dcmon.storage import references, sample_lookup, sampling, versions
from dcmon.storage.columns import TAKEN_NAMES
from dcmon.storage.sampling import RowSelection
from dcmon.windows import Window
from tests.conftest import Acme
from tests.helpers.endpoint import serving
from tests.helpers.odd_names import ODD_NAMES

# `s` and `r` are aliases of tables in dcmon's statements.
NAMES = [
    *sorted(TAKEN_NAMES), "s", "r", "block", "XMIN", "oid", "ä" * 60, *ODD_NAMES,
]  # fmt: skip
START, END = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)


def row(number: int) -> dict[str, object]:
    """Return a sample; a filter on any feature tells the samples apart."""
    own = {name: float(number * 100 + position) for position, name in enumerate(NAMES)}
    return {
        "_dc_sample_id": f"s{number}", "_dc_time": f"2026-03-0{number}T00:00:00Z", "_dc_prediction": "1", **own,
    }  # fmt: skip


def test_taken_names_work_over_http_and_are_read_back(app: App, acme: Acme) -> None:
    with serving(app, acme.token) as client:
        headers = {"content-type": "application/json"}
        new_model = json.dumps({"name": "odd", "task_type": "binary"}).encode()
        created = client.request("POST", "models", new_model, **headers)
        assert created.status == 200, created.data
        model_id = json.loads(created.data)["id"]
        new_version = {"name": "v1", "features": dict.fromkeys(NAMES, "numeric"), "additional_data": {}}
        created = client.request("POST", f"models/{model_id}/version", json.dumps(new_version).encode(), **headers)
        assert created.status == 200, created.data
        version_id = json.loads(created.data)["id"]
        assert client.samples(version_id, [json.dumps(row(number)).encode() for number in (1, 2, 3)]).status == 200
        reference = {"columns": [*NAMES, "_dc_prediction"], "data": [[*range(len(NAMES)), "0"]]}
        assert client.reference(version_id, json.dumps(reference).encode()).status == 200

    with app.org(acme.org) as session:
        model, version = versions.get(session, version_id)
        for name in NAMES:
            wanted = {"filters": [{"column": name, "operator": "equals", "value": row(2)[name]}]}
            selection = RowSelection(model, version, 10, filters=wanted)
            (found,) = sampling.rows(session, Window(START, END), selection)
            assert {name: found[name] for name in NAMES} == {name: row(2)[name] for name in NAMES}
            block = sampling.sample_columns(session, Window(START, END), selection, [name])
            assert block is not None
            assert block.column(name).tolist() == [row(2)[name]]
        (stored,) = references.rows(session, RowSelection(model, version, 10))
        assert [stored[name] for name in NAMES] == list(range(len(NAMES)))
        (location,) = sample_lookup.find(session, model, "s1")
        assert {name: location["row"][name] for name in NAMES} == {name: row(1)[name] for name in NAMES}

"""Texts that PostgreSQL can't store are refused with a sentence, wherever a client puts them."""

import json
from typing import Any

import pytest

from dcmon.app import App
from tests.conftest import Acme
from tests.helpers.endpoint import error_message, serving
from tests.integration.conftest import Target

NUL, HALF = "a\0b", "a\ud83db"
COLUMNS = {"features": {"age": "numeric"}, "additional_data": {}}


def bodies(text: str) -> dict[str, Any]:
    """Return requests of all kinds in which a user chooses a name or a value: path to body."""
    return {
        "models": {"name": text, "task_type": "binary"},
        "models?": {"name": "other", "task_type": "binary", "description": text},
        "models??": {"name": "third", "task_type": text},
        "models/{model}/version": {**COLUMNS, "name": text},
        "models/{model}/version?": {"name": "v2", "features": {text: "numeric"}, "additional_data": {}},
        "models/{model}/version??": {"name": "v2", "features": {"age": text}, "additional_data": {}},
        "models/{model}/version???": {**COLUMNS, "name": "v3", "classes": ["a", text]},
        "models/{model}/version????": {**COLUMNS, "name": "v4", "label_map": {text: "b"}},
        "models/{model}/notes": [{"title": text, "text": text}],
        "models/{model}/checks": [
            {"name": text, "config": {"class_name": "FeatureDrift", "module_name": "deepchecks", "params": {}}}
        ],
        "model-versions/{version}/get-ref-data": {
            "filter": {"filters": [{"column": "job", "operator": "equals", "value": text}]}
        },
    }


@pytest.mark.parametrize("text", [NUL, HALF], ids=["nul", "half"])
def test_unstorable_text_is_refused_with_a_sentence(app: App, acme: Acme, target: Target, text: str) -> None:
    with serving(app, acme.token) as client:
        for path, body in bodies(text).items():
            address = path.rstrip("?").format(model=target.model_id, version=target.version_id)
            response = client.request(
                "POST", address, json.dumps(body).encode(), **{"content-type": "application/json"}
            )
            assert response.status in (400, 422), (path, response.status, response.data)
            assert error_message(response), path

        for path in ("models/a%00b?identifier_kind=name", "models/a%00b/model-versions/a", "models/a%00b"):
            response = client.request("GET", path)
            assert response.status == 422, (path, response.data)
            assert error_message(response), path


def test_rows_with_unstorable_names_are_quarantined_and_shown(app: App, acme: Acme, target: Target) -> None:
    bad = [{"a\ud83d": 1}, {"a\0": 1}, {"\ud83d": float("nan")}, {"_dc_sample_id": "\ud83d"}, {"job": ["\ud83d"]}]
    with serving(app, acme.token) as client:
        response = client.samples(target.version_id, [json.dumps(row).encode() for row in bad])
        assert response.status == 200
        told = json.loads(response.data)
        assert (told["stored"], sum(told["quarantined"].values())) == (0, len(bad))
        labels = client.labels(target.model_id, [b'{"_dc_sample_id": "a", "_dc_label": "\\ud83d"}'])
        assert (labels.status, json.loads(labels.data)["quarantined"]) == (200, {"malformed": 1})
        names = json.dumps({"columns": ["a\ud83d", "a\0"], "data": [[1, 2]]}).encode()
        reference = client.reference(target.version_id, names)
        assert reference.status == 400
    assert target.scalar("select count(*) from quarantine") == len(bad) + 1

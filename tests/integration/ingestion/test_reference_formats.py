"""References come by HTTP, in a body of limited size, and by file."""

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import urllib3

from dcmon import db
from dcmon.app import App
from dcmon.settings import Http, Reference
from dcmon.storage import references, versions
from dcmon.storage.sampling import RowSelection
from tests.conftest import Acme
from tests.helpers.command_line import dcmon
from tests.helpers.endpoint import Endpoint, error_message, serving
from tests.integration.commands.test_exit_codes import require_refused
from tests.integration.conftest import Target
from tests.integration.ingestion.test_references import document, reference_rows, state


@pytest.fixture
def client(app: App, acme: Acme) -> Iterator[Endpoint]:
    with serving(app, acme.token) as client:
        yield client


def test_upload_returns_row_count_and_revision(client: Endpoint, target: Target) -> None:
    responses = [
        client.reference(target.version_id, document(reference_rows(n)), query)
        for n, query in ((10, ""), (5, ""), (3, "?replace=true"))
    ]
    assert [json.loads(response.data) for response in responses] == [
        {"received": n, "stored": n, "rows": n, "reference_count": total, "reference_revision": revision}
        for n, total, revision in ((10, 10, 1), (5, 15, 2), (3, 3, 3))
    ]


def test_refused_upload_counts_the_rows_that_are_wrong(client: Endpoint, target: Target) -> None:
    rows = reference_rows(50)
    for number in (7, 8, 30):
        rows[number][1] = ["old"]
    rows[9][2] = "maybe"

    response = client.reference(target.version_id, document(rows))

    assert response.status == 400
    assert error_message(response).startswith("Row 7 of the reference can't be used: ")
    assert error_message(response).endswith(
        "Nothing was stored. 4 of 50 rows can't be used: wrong_type 3, unknown_class 1."
    )
    told = json.loads(response.data)["additional_information"]
    assert (told["received"], told["stored"], told["rejected"]) == (50, 0, {"wrong_type": 3, "unknown_class": 1})
    first = {reason: (row["row"], row["field"], row["value"]) for reason, row in told["first"].items()}
    assert first == {"wrong_type": (7, "age", ["old"]), "unknown_class": (9, "_dc_prediction", "maybe")}
    assert state(target) == (0, 0)


def test_invalid_upload_is_refused_with_a_reason(client: Endpoint, target: Target) -> None:
    path = f"model-versions/{target.version_id}/reference"
    form = {"content-type": "multipart/form-data; boundary=x"}
    for body, headers in (
        (b"{}", {"content-type": "application/json"}),
        (b"", {}),
        (b"--x\r\nrubbish", form),
        (b"", {"content-type": "multipart/form-data"}),
        (b'--x\r\ncontent-disposition: form-data; name="batch"\r\n\r\n1\r\n--x--\r\n', form),
        (b'--x\r\ncontent-disposition: form-data; name="other"; filename="f"\r\n\r\n1\r\n--x--\r\n', form),
    ):
        response = client.request("POST", path, body, **headers)
        assert (response.status, bool(error_message(response))) == (422, True)
    for rubbish in (b"", b"[]", b"\xff", b"[" * 100_000, b'{"columns": ["age"], "data": [[NaN]]}'):
        assert client.reference(target.version_id, rubbish).status == 400
    assert client.reference(99_999, document(reference_rows(1))).status == 404
    assert state(target) == (0, 0)


def test_wrong_method_is_405_with_allowed_ones(client: Endpoint, target: Target) -> None:
    response = client.request("PUT", f"model-versions/{target.version_id}/data", b"[]")
    assert (response.status, response.headers["allow"]) == (405, "POST")
    assert error_message(response) == f"/api/v1/model-versions/{target.version_id}/data does not support PUT: use POST."


def test_upload_without_token_is_not_read(client: Endpoint, target: Target) -> None:
    other = Endpoint(client.url, "nonsense", client.pool)
    assert other.reference(target.version_id, document(reference_rows(1))).status == 401


def test_too_large_upload_is_refused(app: App, acme: Acme, target: Target) -> None:
    """The limits are on the bytes of the body and on the rows."""
    changed = {"http": Http(max_body_bytes=20_000), "reference": Reference(largest=12)}
    with App(app.settings.model_copy(update=changed), app.output) as small, serving(small, acme.token) as client:
        assert client.reference(target.version_id, document(reference_rows(1000))).status == 413
        path = f"/api/v1/model-versions/{target.version_id}/reference"
        headers = {"authorization": f"Basic {acme.token}", "content-type": "multipart/form-data; boundary=x"}
        part = b'--x\r\ncontent-disposition: form-data; name="batch"; filename="f"\r\n\r\n'
        chunks = (part, *(b"y" * 5000 for _ in range(10)))
        try:  # without content-length, the size is checked while the body is read
            response = client.pool.request("POST", client.url + path, body=iter(chunks), headers=headers, retries=False)
            assert response.status == 413
        except urllib3.exceptions.ProtocolError:
            pass  # the server closed the connection
        assert client.reference(target.version_id, document(reference_rows(12))).status == 200
        assert "DCMON_REFERENCE__LARGEST" in error_message(
            client.reference(target.version_id, document(reference_rows(1)))
        )
    assert state(target) == (12, 1)


def test_large_upload_is_not_copied_into_memory(app: App, acme: Acme, target: Target) -> None:
    body = document(reference_rows(60_000))
    with serving(app, acme.token) as client:
        assert client.reference(target.version_id, document(reference_rows(1))).status == 200
        connection, kind = urllib3.encode_multipart_formdata({"batch": ("upload", body, "application/octet-stream")})
        tracemalloc.start()
        response = client.request(
            "POST", f"model-versions/{target.version_id}/reference", connection, **{"content-type": kind}
        )
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert response.status == 200
    assert state(target) == (60_001, 2)
    assert peak < 3 * len(
        body
    )  # memory holds an object for each raw row, but no copy of the document and no decoded rows


def test_reference_file_is_loaded_replaced_and_cleared(tmp_path: Path, database_url: str, target: Target) -> None:
    of = ("--model", "credit", "--version", "v1")

    def run(*arguments: str) -> Any:
        done = dcmon("-o", "json", "reference", *arguments, *of, data_dir=tmp_path, url=database_url)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    split_file, lines = tmp_path / "whole.json", tmp_path / "lines.jsonl"
    split_file.write_bytes(document(reference_rows(20)))
    lines.write_text("\n".join(json.dumps({"job": "a", "age": n, "_dc_prediction": "1"}) for n in range(5)) + "\n\n")

    assert run("load", str(split_file), "--dry-run") == {
        "stored": 20, "removed": 0, "rows": 20, "revision": 1, "dry_run": True,
    }  # fmt: skip
    assert run("load", str(split_file)) == {"stored": 20, "removed": 0, "rows": 20, "revision": 1}
    assert run("load", str(lines)) == {"stored": 5, "removed": 0, "rows": 25, "revision": 2}
    require_refused(
        dcmon("reference", "load", str(lines), "--replace", *of, data_dir=tmp_path, url=database_url), 2, "--yes"
    )
    assert run("load", str(lines), "--replace", "--yes") == {"stored": 5, "removed": 25, "rows": 5, "revision": 3}
    cleared = {"deleted": "credit/v1", "removed": 5, "rows": 0, "revision": 4}
    assert run("clear", "--dry-run") == {**cleared, "dry_run": True}
    assert run("show")["rows"] == 5
    assert run("clear", "--yes") == cleared
    assert state(target) == (0, 4)


def test_csv_and_parquet_load_the_same_as_jsonl(tmp_path: Path, database_url: str, target: Target) -> None:
    of = ("--model", "credit", "--version", "v1", "--map", "target=_dc_label", "--map", "row=")
    rows = [
        {"row": n, "job": f'"j,{n}"', "age": None if n % 3 else n, "_dc_prediction": 1, "target": n % 2}
        for n in range(9)
    ]
    frame = pd.DataFrame(rows)
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))

    collected = []
    for name in ("a.csv", "a.parquet", "a.jsonl"):
        arguments = ["reference", "load", str(tmp_path / name), *of, "--replace", "--yes"]
        done = dcmon(*arguments, data_dir=tmp_path, url=database_url)
        assert done.returncode == 0, done.stderr
        with db.org_session(target.engine, target.org) as session:
            collected.append(references.rows(session, RowSelection(*versions.get(session, target.version_id), 100)))

    assert collected[0] == collected[1] == collected[2]
    assert {(row["job"], row["age"], row["_dc_prediction"], row["_dc_label"]) for row in collected[0]} == {
        (row["job"], row["age"], "1", str(row["target"])) for row in rows
    }


def test_unusable_reference_file_exits_2(tmp_path: Path, database_url: str, target: Target) -> None:
    """An unknown version exits 5."""

    def load(name: str, content: bytes, version: str = "v1") -> Any:
        (tmp_path / name).write_bytes(content)
        arguments = ["reference", "load", str(tmp_path / name), "--model", "credit", "--version", version]
        return dcmon(*arguments, data_dir=tmp_path, url=database_url)

    require_refused(load("a.txt", b""), 2, "The format of")
    missing = ["reference", "load", str(tmp_path / "missing.json"), "--model", "credit", "--version", "v1"]
    require_refused(dcmon(*missing, data_dir=tmp_path, url=database_url), 5, "missing.json")
    require_refused(load("a.json", b""), 2, "not JSON")
    require_refused(load("a.json", document([*reference_rows(3), [1]])), 2, "Row 3 ")
    wrong_type = b'{"job": "a", "age": "x", "_dc_prediction": "1"}'
    require_refused(load("b.jsonl", wrong_type), 2, "age: Expected a number, got 'x'. Nothing was stored.")
    require_refused(load("a.csv", b""), 2, "a.csv is empty: a CSV begins with a header.")
    require_refused(load("a.jsonl", b'{"job": "a", "age": 1, "_dc_prediction": "1"}\n{"age": 1}'), 2, "Row 1 ")
    require_refused(load("a.json", document(reference_rows(1)), "v9"), 5, "v9")
    assert state(target) == (0, 0)

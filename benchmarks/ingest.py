"""Ingestion against its limit: bare COPYs of the same rows into the same set of tables, with the same indexes.

python -m benchmarks.ingest
"""

import json
import threading
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import urllib3
import uvicorn

from benchmarks.stage import Cost, Stage, checkpoint, figure, measure, rows, say, stage
from dcmon import arrivals, storage, tokens, versions
from dcmon.columns import TYPES, quoted
from dcmon.http import api
from dcmon.rows import Raw, sample_shape

ROWS, RUNS = 20_000, 5


def main() -> None:
    """Print the figures."""
    with stage() as on:
        for size in (1_000, 10_000):
            _samples(on, size)
        _labels(on)


def _samples(on: Stage, size: int) -> None:
    taken: dict[str, list[Cost]] = {"copy": [], "take": [], "http": []}
    for run in range(RUNS):
        say(f"samples in requests of {size}: run {run + 1} of {RUNS}")
        batches = [rows(run * ROWS + first, size) for first in range(0, ROWS, size)]
        for kind, way in (("copy", _copy), ("take", _take), ("http", _http)):
            _, version_id = on.new_version(f"{kind}-{size}-{uuid.uuid4().hex[:6]}")
            prepared = way(on, version_id, batches)
            checkpoint(on)
            taken[kind].append(measure(prepared, on.server))
    limit = [ROWS / cost.wall for cost in taken["copy"]]
    for kind, name in (("take", "direct"), ("http", "http")):
        rate = [ROWS / cost.wall for cost in taken[kind]]
        figure(f"ingest.{name}.{size}", rate, "rows/s", "bare COPY of decoded rows", limit)
        cpu, bare = ([1e6 * cost.cpu / ROWS for cost in taken[each]] for each in (kind, "copy"))
        figure(f"ingest.{name}.{size}.cpu", cpu, "us/row, client and PostgreSQL", "bare COPY of decoded rows", bare)


def _take(on: Stage, version_id: int, batches: Sequence[list[bytes]]) -> Any:
    """What the endpoint and the ingest worker call: decode, claim ids, COPY, count, commit."""

    def work() -> None:
        for batch in batches:
            on.app.ingestion.take_samples(on.org, version_id, [Raw(row) for row in batch])

    return work


def _copy(on: Stage, version_id: int, batches: Sequence[list[bytes]]) -> Any:
    """Only PostgreSQL's part: rows are decoded beforehand; COPY into the id map and the samples, commit per batch."""
    with on.app.org(on.org) as session:
        model, version = versions.get(session, version_id)
        shape = sample_shape(storage.columns(model, version))
        decoded = [[shape.decode(Raw(row)) for row in batch] for batch in batches]
        storage.ensure_partitions(session, "samples", version.relation, (row[1] for row in decoded[0]))
    now = datetime.now(UTC)
    prints = [[arrivals.fingerprint(row[0]) for row in batch] for batch in decoded]
    names = ", ".join(quoted(field.name) for field in shape.fields)
    types = ["bytea", "int4", "int2", *(TYPES[field.kind].sql for field in shape.fields), "timestamptz"]
    into_ids = f"copy ids_{model.relation} (k, version_id, ts, content) from stdin (format binary)"
    columns = f"_dc_key, _dc_hash, _dc_level, {names}, _dc_logged_at"
    into = f"copy samples_{version.relation} ({columns}) from stdin (format binary)"

    def work() -> None:
        for batch, keys in zip(decoded, prints, strict=True):
            with on.app.org(on.org) as session:
                connection: Any = session.connection().connection.driver_connection
                with connection.cursor() as cursor, cursor.copy(into_ids) as copy:
                    copy.set_types(["bytea", "int4", "timestamptz", "int8"])
                    for row, key in zip(batch, keys, strict=True):
                        copy.write_row((key.key, version_id, row[1], 0))
                with connection.cursor() as cursor, cursor.copy(into) as copy:
                    copy.set_types(types)
                    for row, key in zip(batch, keys, strict=True):
                        copy.write_row((key.key, key.hash, key.level, *row, now))

    return work


def _http(on: Stage, version_id: int, batches: Sequence[list[bytes]]) -> Any:
    """The whole way of a request, client and endpoint in this process."""
    bodies = [b"[" + b",".join(batch) + b"]" for batch in batches]
    with on.app.public() as session:
        token = tokens.create(session, on.org.id, 1, "bench")
    server = uvicorn.Server(uvicorn.Config(api.create(on.app), port=0, log_config=None, access_log=False))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        threading.Event().wait(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    pool = urllib3.PoolManager(headers={"authorization": f"Basic {token}"})
    address = f"http://127.0.0.1:{port}/api/v1/model-versions/{version_id}/data"

    def work() -> None:
        for body in bodies:
            assert pool.request("POST", address, body=body, retries=False).status == 200
        server.should_exit = True

    return work


def _labels(on: Stage) -> None:
    costs, limits = [], []
    for run in range(RUNS):
        say(f"labels: run {run + 1} of {RUNS}")
        model_id, version_id = on.new_version(f"labels-{run}")
        batch = [Raw(row) for row in rows(run * ROWS, ROWS)]
        on.app.ingestion.take_samples(on.org, version_id, batch)
        said = [
            Raw(json.dumps({"_dc_sample_id": f"sample-{run * ROWS + number:012d}", "_dc_label": "a"}).encode())
            for number in range(ROWS)
        ]
        checkpoint(on)
        costs.append(measure(lambda m=model_id, s=said: on.app.ingestion.take_labels(on.org, m, s), on.server))  # type: ignore[misc]
        limits.append(measure(_upsert(on, said), on.server))
    against = "upsert of arrays into a table keyed by sample id"
    figure("ingest.labels", [ROWS / c.wall for c in costs], "rows/s", against, [ROWS / c.wall for c in limits])
    cpu, bare = [1e6 * c.cpu / ROWS for c in costs], [1e6 * c.cpu / ROWS for c in limits]
    figure("ingest.labels.cpu", cpu, "us/row, client and PostgreSQL", against, bare)


def _upsert(on: Stage, said: Sequence[Raw]) -> Any:
    from sqlalchemy import text

    ids = [json.loads(bytes(row))["_dc_sample_id"] for row in said]
    values = ["a"] * len(ids)

    def work() -> None:
        with on.app.org(on.org) as session:
            session.execute(text("create table if not exists bare_labels (id text primary key, label text)"))
            session.execute(
                text(
                    "insert into bare_labels select * from unnest(cast(:ids as text[]), cast(:labels as text[]))"
                    " on conflict (id) do update set label = excluded.label"
                ),
                {"ids": ids, "labels": values},
            )

    return work


if __name__ == "__main__":
    main()

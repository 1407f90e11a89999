"""Ingestion against its limit: bare COPYs of the same rows into the same set of tables, with the same indexes.

python -m benchmarks.ingest [RUNS]

Rows come in order of time, as services send them. The worker and the endpoint are processes of their own; "CPU" is
theirs and PostgreSQL's, the client's own not counted, nor the broker's, which has a figure of its own.
"""

import json
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import numpy as np
import urllib3
from sqlalchemy import text

from benchmarks.processes import Broker, brokers, processes
from benchmarks.stage import CLASSES, FEATURES, Cost, Stage, checkpoint, figure, measure, rows, say, stage
from dcmon import db
from dcmon.ingestion import kafka, message_format
from dcmon.ingestion.raw_rows import Raw
from dcmon.ingestion.row_types import sample_row_type
from dcmon.monitoring import lifecycle
from dcmon.storage import models, pg_binary, sample_ids, sample_tables, versions
from dcmon.storage.columns import TYPES, quoted
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from dcmon.tenancy import tokens

ROWS = 200_000
RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
SIZES = (1_000, 10_000)
COPY = "bare COPY of decoded rows"


def main() -> None:
    """Print the figures."""
    with stage() as on, brokers() as broker:
        for size in SIZES:
            _samples(on, broker, size)
        _labels(on)
        _reference(on)
        _new_version(on)


def _samples(on: Stage, broker: Broker, size: int) -> None:
    taken: dict[str, list[Cost]] = {"copy": [], "direct": [], "http": [], "broker": [], "worker": []}
    ways = {"copy": _copy, "direct": _direct, "http": _http, "broker": _through_broker, "worker": _worker}
    for run in range(RUNS):
        batches = [rows(first, size, of=ROWS) for first in range(0, ROWS, size)]
        for name, way in ways.items():
            say(f"samples in requests of {size:,}: run {run + 1} of {RUNS}, {name}")
            _, version_id = on.new_version(f"{name}-{size}-{uuid.uuid4().hex[:6]}")
            taken[name].append(way(on, broker, version_id, batches))
    limit = [ROWS / cost.wall for cost in taken["copy"]]
    bare = [1e6 * cost.cpu / ROWS for cost in taken["copy"]]
    for name in ("direct", "http", "broker", "worker"):
        figure(f"ingest.{name}.{size}", [ROWS / cost.wall for cost in taken[name]], "rows/s", COPY, limit)
        figure(f"ingest.{name}.{size}.cpu", [1e6 * cost.cpu / ROWS for cost in taken[name]], "us/row", COPY, bare)
    for name in ("broker", "worker"):
        figure(f"ingest.{name}.{size}.tansu", [1e6 * cost.beside / ROWS for cost in taken[name]], "us/row", COPY, bare)


def _copy(on: Stage, _: Broker, version_id: int, batches: Sequence[list[bytes]]) -> Cost:
    """Only PostgreSQL's part: rows are decoded beforehand; COPY into the id map and the samples, commit per batch."""
    with on.app.org(on.org) as session:
        model, version = versions.get(session, version_id)
        shape = sample_row_type(sample_tables.columns(model, version))
        times = [pg_binary.micros(row[1]) for batch in batches for row in _decoded(shape, batch)]
        sample_tables.ensure_partitions(session, "samples", version.relation, times)
    prepared = [_prepared(shape, version_id, batch) for batch in batches]
    names = ", ".join(quoted(field.name) for field in shape.fields)
    wire = {"array_float": "bytea"}
    types = ["bytea", "int4", "int2", *(wire.get(field.kind, TYPES[field.kind].sql) for field in shape.fields)]
    into_ids = f"copy ids_{model.relation} (k, version_id, ts, content) from stdin (format binary)"
    columns = f"_dc_key, _dc_hash, _dc_level, {names}, _dc_logged_at"
    into = f"copy samples_{version.relation} ({columns}) from stdin (format binary)"

    def work() -> None:
        for ids, samples in prepared:
            with on.app.org(on.org) as session:
                connection: Any = session.connection().connection.driver_connection
                for statement, kinds, lines in (
                    (into_ids, ["bytea", "int4", "timestamptz", "int8"], ids),
                    (into, [*types, "timestamptz"], samples),
                ):
                    with connection.cursor() as cursor, cursor.copy(statement) as copy:
                        copy.set_types(kinds)
                        for line in lines:
                            copy.write_row(line)

    checkpoint(on)
    return measure(work, on.server)


def _prepared(shape: Any, version_id: int, batch: Sequence[bytes]) -> tuple[list[Any], list[Any]]:
    now, decoded = datetime.now(UTC), _decoded(shape, batch)
    keys = [sample_ids.key_of(row[0]) for row in decoded]
    hashes, levels = (column.tolist() for column in sample_ids.levels_of(keys))
    lists = [at for at, field in enumerate(shape.fields) if field.kind == "array_float"]
    plain = [
        tuple(pg_binary.floats(value) if at in lists else value for at, value in enumerate(row)) for row in decoded
    ]
    ids = [(key, version_id, row[1], 0) for key, row in zip(keys, decoded, strict=True)]
    samples = [
        (key, hash_, level, *row, now) for key, hash_, level, row in zip(keys, hashes, levels, plain, strict=True)
    ]
    return ids, samples


def _decoded(shape: Any, batch: Sequence[bytes]) -> list[Any]:
    return [row for part in shape.decode_all([Raw(row) for row in batch]) for row in part]


def _direct(on: Stage, _: Broker, version_id: int, batches: Sequence[list[bytes]]) -> Cost:
    """What the endpoint calls: decode, claim ids, COPY, count, commit; a transaction for each batch."""
    given = [[Raw(row) for row in batch] for batch in batches]

    def work() -> None:
        for batch in given:
            on.app.ingestion.ingest_samples(on.org, version_id, batch)

    checkpoint(on)
    return measure(work, on.server)


def _http(on: Stage, _: Broker, version_id: int, batches: Sequence[list[bytes]]) -> Cost:
    """From the client's request to its 200: one server process, one client that sends one request after the other."""
    with processes(on.app.settings, ["serve"]) as (server,):
        post = _client(on, version_id)
        checkpoint(on)
        return measure(lambda: [post(batch) for batch in batches], on.server, server, is_own=False)


def _client(on: Stage, version_id: int) -> Callable[[Sequence[bytes]], None]:
    with on.app.public() as session:
        token = tokens.create(session, on.org.id, 1, f"bench-{uuid.uuid4().hex}")
    pool = urllib3.PoolManager(headers={"authorization": f"Basic {token}"})
    address = f"{on.app.settings.url}/api/v1/model-versions/{version_id}/data"

    def post(batch: Sequence[bytes]) -> None:
        assert pool.request("POST", address, body=b"[" + b",".join(batch) + b"]", retries=False).status == 200

    return post


def _through_broker(on: Stage, broker: Broker, version_id: int, batches: Sequence[list[bytes]]) -> Cost:
    """The whole way: endpoint, broker, worker, until the rows are committed."""
    settings = broker.settings(on.app.settings)
    with processes(settings, ["serve"], ["worker", "start", "ingest"]) as running:
        post = _client(on, version_id)
        _, warm = on.new_version(f"warm-{uuid.uuid4().hex[:6]}")
        _client(on, warm)(rows(0, 10))
        _until(lambda: on.stored(warm) == 10)
        checkpoint(on)

        def work() -> None:
            for batch in batches:
                post(batch)
            _until(lambda: on.stored(version_id) == ROWS)

        return measure(work, on.server, *running, is_own=False, beside=broker.process)


def _worker(on: Stage, broker: Broker, version_id: int, batches: Sequence[list[bytes]]) -> Cost:
    """The worker alone, from a filled topic: measured from its first commit to its last."""
    settings = broker.settings(on.app.settings)
    kafka.ensure_topics(settings.kafka)
    per_message = settings.kafka.rows_per_message
    with closing(kafka.Producer(settings.kafka)) as producer:
        for batch in batches:
            given = [Raw(row) for row in batch]
            packed = message_format.pack(on.org.id, "samples", version_id, datetime.now(UTC), given, per_message)
            producer.send(kafka.topic_name(settings.kafka, "samples"), packed)
    checkpoint(on)
    with processes(settings, ["worker", "start", "ingest"]) as running:
        _until(lambda: on.stored(version_id) > 0)
        there = on.stored(version_id)
        cost = measure(
            lambda: _until(lambda: on.stored(version_id) == ROWS),
            on.server, *running, is_own=False, beside=broker.process,
        )  # fmt: skip
    share = ROWS / (ROWS - there)
    return Cost(cost.wall * share, cost.cpu * share, cost.beside * share)


def _until(is_true: Callable[[], bool]) -> None:
    ends = time.monotonic() + 120
    while not is_true():
        assert time.monotonic() < ends
        time.sleep(0.02)


def _labels(on: Stage) -> None:
    costs, limits = [], []
    for run in range(RUNS):
        say(f"labels: run {run + 1} of {RUNS}")
        model_id, version_id = on.new_version(f"labels-{run}")
        for first in range(0, ROWS, SIZES[-1]):
            batch = [Raw(row) for row in rows(run * ROWS + first, SIZES[-1], of=ROWS)]
            on.app.ingestion.ingest_samples(on.org, version_id, batch)
        said = [
            Raw(json.dumps({"_dc_sample_id": f"sample-{run * ROWS + number:012d}", "_dc_label": "a"}).encode())
            for number in range(ROWS)
        ]
        parts = [said[first : first + SIZES[-1]] for first in range(0, ROWS, SIZES[-1])]
        checkpoint(on)
        costs.append(measure(_take_labels(on, model_id, parts), on.server))
        upsert = _upsert(on, f"bare-{run}", version_id, parts)
        checkpoint(on)
        limits.append(measure(upsert, on.server))
    against = "upsert of arrays, places known, into an empty table of labels"
    figure("ingest.labels", [ROWS / c.wall for c in costs], "rows/s", against, [ROWS / c.wall for c in limits])
    cpu, bare = [1e6 * c.cpu / ROWS for c in costs], [1e6 * c.cpu / ROWS for c in limits]
    figure("ingest.labels.cpu", cpu, "us/row", against, bare)


def _take_labels(on: Stage, model_id: int, parts: Sequence[Sequence[Raw]]) -> Callable[[], None]:
    def work() -> None:
        for part in parts:
            on.app.ingestion.ingest_labels(on.org, model_id, part)

    return work


def _upsert(on: Stage, name: str, like: int, parts: Sequence[Sequence[Raw]]) -> Callable[[], None]:
    """Only PostgreSQL's part: the labels with the places of their samples, as arrays made beforehand, into the same
    kind of table (partitions, index) of another version; commit per batch."""
    with on.app.org(on.org) as session:
        model, version = versions.get(session, like)
        found = session.execute(text(f"select k, ts from ids_{model.relation} where version_id = {version.id}"))
        times = {key.bytes: pg_binary.micros(time) for key, time in found}
    _, other_id = on.new_version(name)
    with on.app.org(on.org) as session:
        _, other = versions.get(session, other_id)
        sample_tables.ensure_partitions(session, "labels", other.relation, np.array(list(times.values())))
    keys = [sorted(sample_ids.key_of(json.loads(bytes(row))["_dc_sample_id"]) for row in part) for part in parts]
    given = [_label_arrays(each, times) for each in keys]
    statement = (
        f"insert into labels_{other.relation} as l (lvl, ts, h, k, label, logged_at) select * from"
        " unnest(%(lvl)b::int2[], %(ts)b::timestamptz[], %(h)b::int4[], %(k)b::uuid[], %(label)b::text[],"
        " %(at)b::timestamptz[]) on conflict (lvl, ts, h, k) do update set label = excluded.label,"
        " logged_at = excluded.logged_at where l.logged_at < excluded.logged_at"
    )

    def work() -> None:
        for values in given:
            with on.app.org(on.org) as session:
                db.run(session, statement, values)

    return work


def _label_arrays(keys: Sequence[bytes], times: Mapping[bytes, int]) -> dict[str, db.Array]:
    hashes, levels = sample_ids.levels_of(keys)
    return {
        "lvl": pg_binary.int2s(levels),
        "ts": pg_binary.times([times[key] for key in keys]),
        "h": pg_binary.int4s(hashes),
        "k": pg_binary.uuids(keys),
        "label": pg_binary.texts(["a"] * len(keys)),
        "at": pg_binary.times([0] * len(keys)),
    }


def _reference(on: Stage) -> None:
    """A reference in parts of 5,000 rows, as the SDK uploads it."""
    documents = [_document(rows(first, 5_000, of=ROWS)) for first in range(0, ROWS, 5_000)]
    costs = []
    for run in range(min(RUNS, 3)):
        say(f"reference: run {run + 1}")
        _, version_id = on.new_version(f"reference-{run}")
        checkpoint(on)

        def work(of: int = version_id) -> None:
            for document in documents:
                with on.app.org(on.org) as session:
                    lifecycle.append_reference(session, *versions.get(session, of), document)

        costs.append(measure(work, on.server))
    figure("ingest.reference.cpu", [1e6 * cost.cpu / ROWS for cost in costs], "us/row", "", [0.0])


def _document(batch: Sequence[bytes]) -> bytes:
    names = [*FEATURES, "_dc_prediction", "_dc_prediction_probabilities"]
    decoded = (json.loads(row) for row in batch)
    return json.dumps({"columns": names, "data": [[row[name] for name in names] for row in decoded]}).encode()


def _new_version(on: Stage) -> None:
    """A version with a hundred features."""
    columns = NewVersion("v1", {f"feature-{number}": "numeric" for number in range(100)}, classes=CLASSES)
    seconds = []
    for run in range(20):
        with on.app.org(on.org) as session:
            model = models.create(session, NewModel(f"wide-{run}", "multiclass"))
        began = time.perf_counter()
        with on.app.org(on.org) as session:
            versions.create(session, model, columns)
        seconds.append(1000 * (time.perf_counter() - began))
    figure("version.create.100", seconds, "ms", "", [0.0])


if __name__ == "__main__":
    main()

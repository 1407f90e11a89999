"""Measure how fast samples, labels and references are ingested.

The limit of samples is a bare COPY of the same rows, into tables with the same indexes.

python -m benchmarks.ingest [RUNS]

Rows come in order of time, as services send them. The worker and the endpoint are processes of their own. CPU time is
theirs and PostgreSQL's, without the client's and the broker's. The broker's CPU time is a figure of its own.
"""

import json
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import urllib3
from sqlalchemy import text

from benchmarks.installation import Installation, temporary_installation
from benchmarks.measurement import Cost, measure, print_figure, print_progress
from benchmarks.processes import Broker, running_broker, running_processes
from benchmarks.sample_rows import CLASSES, FEATURES, make_rows
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
BATCH_SIZES = (1_000, 10_000)
COPY = "bare COPY of decoded rows"


def main() -> None:
    """Print all figures."""
    with temporary_installation() as installation, running_broker() as broker:
        for size in BATCH_SIZES:
            _measure_samples(installation, broker, size)
        _measure_labels(installation)
        _measure_reference(installation)
        _measure_version_creation(installation)


def _measure_samples(installation: Installation, broker: Broker, size: int) -> None:
    paths = {"copy": _copy, "direct": _direct, "http": _http, "broker": _through_broker, "worker": _worker}
    costs: dict[str, list[Cost]] = {name: [] for name in paths}
    for run in range(RUNS):
        batches = [make_rows(first, size, total=ROWS) for first in range(0, ROWS, size)]
        for name, path in paths.items():
            print_progress(f"samples in requests of {size:,}: run {run + 1} of {RUNS}, {name}")
            version_id = installation.create_version(f"{name}-{size}-{uuid.uuid4().hex[:6]}").version_id
            costs[name].append(path(installation, broker, version_id, batches))
    copy_rates = [ROWS / cost.elapsed for cost in costs["copy"]]
    copy_cpu = [1e6 * cost.cpu / ROWS for cost in costs["copy"]]
    for name in ("direct", "http", "broker", "worker"):
        rates = [ROWS / cost.elapsed for cost in costs[name]]
        print_figure(f"ingest.{name}.{size}", rates, "rows/s", COPY, copy_rates)
        cpu = [1e6 * cost.cpu / ROWS for cost in costs[name]]
        print_figure(f"ingest.{name}.{size}.cpu", cpu, "us/row", COPY, copy_cpu)
    for name in ("broker", "worker"):
        cpu = [1e6 * cost.broker_cpu / ROWS for cost in costs[name]]
        print_figure(f"ingest.{name}.{size}.tansu", cpu, "us/row", COPY, copy_cpu)


def _copy(installation: Installation, _: Broker, version_id: int, batches: Sequence[list[bytes]]) -> Cost:
    """Measure PostgreSQL's part alone.

    That is a COPY of decoded rows into the id map and the samples, with one commit per batch.
    """
    with installation.app.org(installation.org) as session:
        model, version = versions.get(session, version_id)
        row_type = sample_row_type(sample_tables.columns(model, version))
        times = [pg_binary.micros(row[1]) for batch in batches for row in _decode(row_type, batch)]
        sample_tables.ensure_partitions(session, "samples", version.relation, times)
    prepared = [_prepare(row_type, version_id, batch) for batch in batches]
    names = ", ".join(quoted(field.name) for field in row_type.fields)
    copied_as = {"array_float": "bytea"}
    value_types = [copied_as.get(field.kind, TYPES[field.kind].sql) for field in row_type.fields]
    sample_types = ["bytea", "int4", "int2", *value_types, "timestamptz"]
    copy_ids = f"copy ids_{model.relation} (k, version_id, ts, content) from stdin (format binary)"
    columns = f"_dc_key, _dc_hash, _dc_level, {names}, _dc_logged_at"
    copy_samples = f"copy samples_{version.relation} ({columns}) from stdin (format binary)"

    def work() -> None:
        for ids, samples in prepared:
            with installation.app.org(installation.org) as session:
                connection: Any = session.connection().connection.driver_connection
                for statement, types, rows in (
                    (copy_ids, ["bytea", "int4", "timestamptz", "int8"], ids),
                    (copy_samples, sample_types, samples),
                ):
                    with connection.cursor() as cursor, cursor.copy(statement) as copy:
                        copy.set_types(types)
                        for row in rows:
                            copy.write_row(row)

    installation.checkpoint()
    return measure(work, installation.server)


class _CopyRows(NamedTuple):
    """The rows of a batch for COPY into the id map and the samples."""

    ids: list[Any]
    samples: list[Any]


def _prepare(row_type: Any, version_id: int, batch: Sequence[bytes]) -> _CopyRows:
    now, decoded = datetime.now(UTC), _decode(row_type, batch)
    keys = [sample_ids.key_of(row[0]) for row in decoded]
    hashes, levels = (column.tolist() for column in sample_ids.levels_of(keys))
    array_indexes = [index for index, field in enumerate(row_type.fields) if field.kind == "array_float"]
    packed = [
        tuple(pg_binary.floats(value) if index in array_indexes else value for index, value in enumerate(row))
        for row in decoded
    ]
    ids = [(key, version_id, row[1], 0) for key, row in zip(keys, decoded, strict=True)]
    samples = [
        (key, hash_, level, *row, now) for key, hash_, level, row in zip(keys, hashes, levels, packed, strict=True)
    ]
    return _CopyRows(ids, samples)


def _decode(row_type: Any, batch: Sequence[bytes]) -> list[Any]:
    return [row for part in row_type.decode_all([Raw(row) for row in batch]) for row in part]


def _direct(installation: Installation, _: Broker, version_id: int, batches: Sequence[list[bytes]]) -> Cost:
    """Measure what the endpoint calls, with one transaction per batch: decode, claim ids, COPY, count."""
    raw_batches = [[Raw(row) for row in batch] for batch in batches]

    def work() -> None:
        for batch in raw_batches:
            installation.app.ingestion.ingest_samples(installation.org, version_id, batch)

    installation.checkpoint()
    return measure(work, installation.server)


def _http(installation: Installation, _: Broker, version_id: int, batches: Sequence[list[bytes]]) -> Cost:
    """Measure from the request to its response 200.

    One client sends one request after the other to one server process.
    """
    with running_processes(installation.app.settings, ["serve"]) as (server,):
        post = _client(installation, version_id)

        def work() -> None:
            for batch in batches:
                post(batch)

        installation.checkpoint()
        return measure(work, installation.server, server, counts_this_process=False)


def _client(installation: Installation, version_id: int) -> Callable[[Sequence[bytes]], None]:
    """Return a function that posts a batch of the version's rows over one connection."""
    with installation.app.public() as session:
        token = tokens.create(session, installation.org.id, 1, f"bench-{uuid.uuid4().hex}")
    pool = urllib3.PoolManager(headers={"authorization": f"Basic {token}"})
    url = f"{installation.app.settings.url}/api/v1/model-versions/{version_id}/data"

    def post(batch: Sequence[bytes]) -> None:
        assert pool.request("POST", url, body=b"[" + b",".join(batch) + b"]", retries=False).status == 200

    return post


def _through_broker(
    installation: Installation, broker: Broker, version_id: int, batches: Sequence[list[bytes]]
) -> Cost:
    """Measure the whole path: endpoint, broker and worker, until the rows are committed."""
    settings = broker.settings(installation.app.settings)
    with running_processes(settings, ["serve"], ["worker", "start", "ingest"]) as processes:
        post = _client(installation, version_id)
        warm_up_id = installation.create_version(f"warm-{uuid.uuid4().hex[:6]}").version_id
        _client(installation, warm_up_id)(make_rows(0, 10))
        _wait_until(lambda: installation.stored_rows(warm_up_id) == 10)
        installation.checkpoint()

        def work() -> None:
            for batch in batches:
                post(batch)
            _wait_until(lambda: installation.stored_rows(version_id) == ROWS)

        return measure(work, installation.server, *processes, counts_this_process=False, broker=broker.process)


def _worker(installation: Installation, broker: Broker, version_id: int, batches: Sequence[list[bytes]]) -> Cost:
    """Measure the worker alone on a filled topic, from its first commit to its last."""
    settings = broker.settings(installation.app.settings)
    kafka.ensure_topics(settings.kafka)
    per_message = settings.kafka.rows_per_message
    with closing(kafka.Producer(settings.kafka)) as producer:
        for batch in batches:
            raw_rows, now = [Raw(row) for row in batch], datetime.now(UTC)
            messages = message_format.pack(installation.org.id, "samples", version_id, now, raw_rows, per_message)
            producer.send(kafka.topic_name(settings.kafka, "samples"), messages)
    installation.checkpoint()
    with running_processes(settings, ["worker", "start", "ingest"]) as processes:
        _wait_until(lambda: installation.stored_rows(version_id) > 0)
        first_rows = installation.stored_rows(version_id)
        cost = measure(
            lambda: _wait_until(lambda: installation.stored_rows(version_id) == ROWS),
            installation.server, *processes, counts_this_process=False, broker=broker.process,
        )  # fmt: skip
    factor = ROWS / (ROWS - first_rows)
    return Cost(cost.elapsed * factor, cost.cpu * factor, cost.broker_cpu * factor)


def _wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _measure_labels(installation: Installation) -> None:
    costs, limits = [], []
    for run in range(RUNS):
        print_progress(f"labels: run {run + 1} of {RUNS}")
        model_id, version_id = installation.create_version(f"labels-{run}")
        for first in range(0, ROWS, BATCH_SIZES[-1]):
            batch = [Raw(row) for row in make_rows(run * ROWS + first, BATCH_SIZES[-1], total=ROWS)]
            installation.app.ingestion.ingest_samples(installation.org, version_id, batch)
        labels = [
            Raw(json.dumps({"_dc_sample_id": f"sample-{run * ROWS + number:012d}", "_dc_label": "a"}).encode())
            for number in range(ROWS)
        ]
        batches = [labels[first : first + BATCH_SIZES[-1]] for first in range(0, ROWS, BATCH_SIZES[-1])]
        installation.checkpoint()
        costs.append(measure(_store_labels(installation, model_id, batches), installation.server))
        upsert = _upsert_labels(installation, f"bare-{run}", version_id, batches)
        installation.checkpoint()
        limits.append(measure(upsert, installation.server))
    limit_name = "upsert of arrays into an empty table of labels, times and keys of the samples known"
    rates, limit_rates = ([ROWS / cost.elapsed for cost in measured] for measured in (costs, limits))
    print_figure("ingest.labels", rates, "rows/s", limit_name, limit_rates)
    cpu, limit_cpu = ([1e6 * cost.cpu / ROWS for cost in measured] for measured in (costs, limits))
    print_figure("ingest.labels.cpu", cpu, "us/row", limit_name, limit_cpu)


def _store_labels(installation: Installation, model_id: int, batches: Sequence[Sequence[Raw]]) -> Callable[[], None]:
    def work() -> None:
        for batch in batches:
            installation.app.ingestion.ingest_labels(installation.org, model_id, batch)

    return work


def _upsert_labels(
    installation: Installation, name: str, version_id: int, batches: Sequence[Sequence[Raw]]
) -> Callable[[], None]:
    """Return PostgreSQL's part alone: an upsert of ready arrays, with one commit per batch.

    The arrays contain the times and keys of the samples. The table is that of a new version with the same columns.
    """
    with installation.app.org(installation.org) as session:
        model, version = versions.get(session, version_id)
        samples = session.execute(text(f"select k, ts from ids_{model.relation} where version_id = {version.id}"))
        times = {key.bytes: pg_binary.micros(time) for key, time in samples}
    bare_id = installation.create_version(name).version_id
    with installation.app.org(installation.org) as session:
        _, bare_version = versions.get(session, bare_id)
        sample_tables.ensure_partitions(session, "labels", bare_version.relation, np.array(list(times.values())))
    keys = [sorted(sample_ids.key_of(json.loads(bytes(row))["_dc_sample_id"]) for row in batch) for batch in batches]
    array_batches = [_label_arrays(batch, times) for batch in keys]
    statement = (
        f"insert into labels_{bare_version.relation} as l (lvl, ts, h, k, label, logged_at) select * from"
        " unnest(%(lvl)b::int2[], %(ts)b::timestamptz[], %(h)b::int4[], %(k)b::uuid[], %(label)b::text[],"
        " %(at)b::timestamptz[]) on conflict (lvl, ts, h, k) do update set label = excluded.label,"
        " logged_at = excluded.logged_at where l.logged_at < excluded.logged_at"
    )

    def work() -> None:
        for label_arrays in array_batches:
            with installation.app.org(installation.org) as session:
                db.run(session, statement, label_arrays)

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


def _measure_reference(installation: Installation) -> None:
    """Measure a reference in uploads of 5,000 rows, as the SDK sends them."""
    documents = [_document(make_rows(first, 5_000, total=ROWS)) for first in range(0, ROWS, 5_000)]
    costs = []
    for run in range(min(RUNS, 3)):
        print_progress(f"reference: run {run + 1}")
        version_id = installation.create_version(f"reference-{run}").version_id
        installation.checkpoint()

        def work(version_id: int = version_id) -> None:
            for document in documents:
                with installation.app.org(installation.org) as session:
                    lifecycle.append_reference(session, *versions.get(session, version_id), document)

        costs.append(measure(work, installation.server))
    print_figure("ingest.reference.cpu", [1e6 * cost.cpu / ROWS for cost in costs], "us/row", "", [0.0])


def _document(batch: Sequence[bytes]) -> bytes:
    names = [*FEATURES, "_dc_prediction", "_dc_prediction_probabilities"]
    decoded = (json.loads(row) for row in batch)
    return json.dumps({"columns": names, "data": [[row[name] for name in names] for row in decoded]}).encode()


def _measure_version_creation(installation: Installation) -> None:
    """Measure the creation of a version with a hundred features."""
    spec = NewVersion("v1", {f"feature-{number}": "numeric" for number in range(100)}, classes=CLASSES)
    elapsed_ms = []
    for run in range(20):
        with installation.app.org(installation.org) as session:
            model = models.create(session, NewModel(f"wide-{run}", "multiclass"))
        started_at = time.perf_counter()
        with installation.app.org(installation.org) as session:
            versions.create(session, model, spec)
        elapsed_ms.append(1000 * (time.perf_counter() - started_at))
    print_figure("version.create.100", elapsed_ms, "ms", "", [0.0])


if __name__ == "__main__":
    main()

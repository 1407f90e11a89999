"""Insert samples that are new, each exactly once.

The id map (`ids_<model>`) decides which samples are new. New samples are written with COPY.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from sqlalchemy.orm import Session

from dcmon import db
from dcmon.db.tables.org import Model, Version
from dcmon.ingestion import quarantine, receipts
from dcmon.ingestion.quarantine import BadRow, QuarantineTarget
from dcmon.ingestion.receipts import ReceivedRows
from dcmon.ingestion.sample_decoder import DecodedSamples, NewSamples
from dcmon.states import RowKind
from dcmon.storage import pg_binary, pg_copy, sample_tables
from dcmon.storage.columns import HASH, KEY, LEVEL, LOGGED_AT, TIME, quoted
from dcmon.storage.ledger import Outcome
from dcmon.storage.pg_copy import FixedColumn
from dcmon.storage.sample_ids import levels_of
from dcmon.windows import QUARTER_HOUR_SECONDS

ROWS_PER_WRITE = 5_000


class Inserted(NamedTuple):
    """The result of `insert`: the new samples, and the rows that conflict with stored samples."""

    new: NewSamples
    conflicts: list[BadRow]


def insert(session: Session, model: Model, version: Version, rows: DecodedSamples) -> Inserted:
    """Insert the samples that are not stored yet. Count them by quarter of an hour, in the session's transaction.

    `rows` does not change: if the transaction fails, the same rows can be inserted again.
    """
    sample_tables.lock_model(session, model, shared=True, to_store=True)
    new = rows.candidates()
    stored = _stored(session, model, version, new.keys)
    conflicts = rows.conflicts({new.positions[index]: content for index, content in stored.items()})
    if stored:
        new = new.without(stored)
    if new.keys:
        _claim_ids(session, model, version, rows, new)
        sample_tables.ensure_partitions(session, RowKind.SAMPLES, version.relation, new.times)
        _copy(session, version, rows, new)
        _count_by_quarter(session, version, new)
    return Inserted(new, conflicts)


def finish(
    session: Session,
    model: Model,
    version: Version,
    rows: DecodedSamples,
    inserted: Inserted,
    *,
    is_retry: bool,
) -> Outcome:
    """Quarantine bad rows, count the received rows, and widen the version's time span.

    This order must stay: other transactions wait for the version's row most often. A retry counts no received rows.
    """
    new = inserted.new
    target = QuarantineTarget(RowKind.SAMPLES, model.id, version.id)
    quarantined = quarantine.add(session, target, [*rows.bad, *inserted.conflicts])
    if not is_retry:
        counts = np.diff([*rows.starts, rows.row_count]).tolist()
        received = [ReceivedRows(batch.logged_at, n) for batch, n in zip(rows.batches, counts, strict=True)]
        receipts.count_received(session, version, received)
    if new.keys:
        _widen_time_span(session, version, new)
    return Outcome(rows.row_count, len(new.keys), rows.row_count - len(new.keys) - quarantined, quarantined)


def _stored(session: Session, model: Model, version: Version, keys: Sequence[bytes]) -> dict[int, bytes]:
    """Return the content hashes of stored samples, by index in the sorted `keys`."""
    if not keys:
        return {}
    stored = db.fetch(
        session,
        f"select uuid_send(k), content from ids_{model.relation} where k = any(%(k)b::uuid[])"
        " and version_id = %(version)b",
        {"version": version.id, "k": pg_binary.uuids(keys)},
    )
    return {bisect_left(keys, key): content.to_bytes(8, signed=True) for key, content in stored}


def _claim_ids(session: Session, model: Model, version: Version, rows: DecodedSamples, new: NewSamples) -> None:
    """Add the ids to the id map, in order of key.

    If another transaction adds one of the ids at the same time, the primary key refuses it (23505), and the caller
    repeats this transaction. A select before a COPY costs two thirds of an `insert … on conflict do nothing`.
    """
    content = np.frombuffer(b"".join([rows.content[position] for position in new.positions]), ">i8")
    columns = {
        "k": FixedColumn("V16", np.frombuffer(b"".join(new.keys), "V16")),
        "version_id": FixedColumn(">i4", version.id),
        "ts": FixedColumn(">i8", new.times),
        "content": FixedColumn(">i8", content),
    }
    lines = pg_copy.encode_fixed_columns(columns, len(new.keys), len(columns))
    with db.copy(session, f"copy ids_{model.relation} ({', '.join(columns)}) from stdin (format binary)") as copy:
        copy.write(b"".join([pg_copy.BEGIN, *lines, pg_copy.END]))


def _copy(session: Session, version: Version, rows: DecodedSamples, new: NewSamples) -> None:
    """COPY the rows in the order of the table's index. The index is then filled from left to right."""
    stored_columns = rows.stored_columns
    names = ", ".join(map(quoted, stored_columns))
    target = f"copy samples_{version.relation} ({KEY}, {HASH}, {LEVEL}, {TIME}, {LOGGED_AT}, {names}) from stdin"
    hashes, levels = levels_of(new.keys)
    order = np.lexsort((new.times, levels))
    keys = np.frombuffer(b"".join(new.keys), "V16")
    fixed = {
        KEY: FixedColumn("V16", keys[order]), HASH: FixedColumn(">i4", hashes[order]),
        LEVEL: FixedColumn(">i2", levels[order]), TIME: FixedColumn(">i8", new.times[order]),
        LOGGED_AT: FixedColumn(">i8", new.logged[order]),
    }  # fmt: skip
    heads = pg_copy.encode_fixed_columns(fixed, len(order), len(fixed) + len(stored_columns))
    lines = [rows.lines[new.positions[index]] for index in order.tolist()]
    with db.copy(session, f"{target} (format binary)") as copy:
        copy.write(pg_copy.BEGIN)
        for first in range(0, len(lines), ROWS_PER_WRITE):
            part = slice(first, first + ROWS_PER_WRITE)
            copy.write(b"".join(chain.from_iterable(zip(heads[part], lines[part], strict=True))))
        copy.write(pg_copy.END)


def _count_by_quarter(session: Session, version: Version, new: NewSamples) -> None:
    """Count new samples by quarter of an hour; the windows over these quarters become due."""
    quarters, counts = np.unique(new.times // (QUARTER_HOUR_SECONDS * 1_000_000), return_counts=True)
    db.run(
        session,
        "insert into quarter_hours as q (version_id, at, n, rows_revision, logged_at, is_touched)"
        " select %(version)b, at, n, n, %(logged_at)b, true"
        " from unnest(%(at)b::timestamptz[], %(n)b::int4[]) t(at, n)"
        " on conflict (version_id, at) do update set n = q.n + excluded.n, is_touched = true,"
        " rows_revision = q.rows_revision + excluded.n, logged_at = greatest(q.logged_at, excluded.logged_at)",
        {
            "version": version.id,
            "logged_at": pg_binary.time(new.logged.max()),
            "at": pg_binary.times(quarters * (QUARTER_HOUR_SECONDS * 1_000_000)),
            "n": pg_binary.int4s(counts),
        },
    )


def _widen_time_span(session: Session, version: Version, new: NewSamples) -> None:
    """Widen the time span of the version.

    This is the last statement of the transaction, because other transactions wait for the version's row most often.
    """
    last = new.times.max()
    db.run(
        session,
        "update versions set earliest = least(earliest, %(first)b), watermark = greatest(watermark, %(last)b),"
        " newest_logged_at = case when watermark is null or watermark <= %(last)b"
        " then %(logged_at)b else newest_logged_at end where id = %(id)b",
        {
            "first": pg_binary.time(new.times.min()),
            "last": pg_binary.time(last),
            "logged_at": pg_binary.time(new.logged[new.times == last].max()),
            "id": version.id,
        },
    )

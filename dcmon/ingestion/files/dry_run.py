"""Count the rows that loading a file would store. No lock is taken and nothing is written to PostgreSQL.

The ids of the file are kept in a temporary file, so that memory use does not grow.
"""

import sqlite3
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from dcmon import db
from dcmon.db import Organization
from dcmon.ingestion import label_decoder, quarantine, sample_decoder
from dcmon.ingestion.files.file_target import FileTarget
from dcmon.ingestion.files.loader import ChunkResult, LoadResult, empty_result, malformed_rows, row_batches
from dcmon.ingestion.files.reader import Chunk, File
from dcmon.ingestion.quarantine import BadRow, QuarantineTarget
from dcmon.states import RowKind, TaskType
from dcmon.storage import models, pg_binary, sample_tables, versions
from dcmon.storage.ledger import Outcome
from dcmon.storage.sample_ids import levels_of

SOURCE = quarantine.FILE_SOURCE_PREFIX  # the source of the counted rows; a dry run stores no row
NO_LABEL = object()  # a stored sample without a label; not the same as a label that was withdrawn (None)


class _ContentById:
    """The content of the counted rows, by id. It is a sample's content hash, a label, or a quarantine reason."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)  # a temporary file, deleted with the connection
        self._db.execute("pragma synchronous = off")
        self._db.execute("create table contents (id blob primary key, content) without rowid")

    def find(self, ids: Sequence[bytes]) -> dict[bytes, Any]:
        """Return the contents of these ids, as far as they are known."""
        contents = {}
        for id_ in ids:
            if row := self._db.execute("select content from contents where id = ?", (id_,)).fetchone():
                contents[id_] = row[0]
        return contents

    def put(self, contents: Mapping[bytes, Any]) -> None:
        """Add contents. A content replaces an earlier one of the same id."""
        self._db.execute("begin")
        self._db.executemany("insert or replace into contents values (?, ?)", contents.items())
        self._db.execute("commit")

    def close(self) -> None:
        self._db.close()


@dataclass
class _DryRun:
    """The state of a dry run: the samples, labels and quarantined rows counted so far."""

    org: Organization
    target: FileTarget
    logged_at: datetime
    samples: _ContentById
    labels: _ContentById
    quarantined: _ContentById
    reasons: Counter[str] = field(default_factory=Counter)


def count(
    engine: Engine,
    org: Organization,
    file: File,
    target: FileTarget,
    first_row: int = 0,
    chunks: int | None = None,
) -> LoadResult:
    """Return the counts that a load of the file from `first_row` on would have; at most of so many chunks.

    Raises InvalidInput or FileChanged.
    """
    started, result = time.monotonic(), LoadResult(file.path, first_row)
    with closing(_ContentById()) as stored, closing(_ContentById()) as labelled, closing(_ContentById()) as quarantined:
        run = _DryRun(org, target, datetime.now(UTC), stored, labelled, quarantined)
        for chunk in islice(file.chunks(target.mapping, first_row), chunks):
            with db.org_session(engine, org) as session:
                result.add(target.kind, chunk, _count_chunk(session, run, chunk))
    result.remark = file.layout_remark
    result.reasons, result.seconds = dict(sorted(run.reasons.items())), time.monotonic() - started
    return result


def _count_chunk(session: Session, run: _DryRun, chunk: Chunk) -> ChunkResult:
    counted, kind = empty_result(), run.target.kind
    counted.outcomes[RowKind.SAMPLES] += _count_samples(session, run, chunk, counted.bad[RowKind.SAMPLES])
    counted.outcomes[RowKind.LABELS] += _count_labels(session, run, chunk, counted.bad[RowKind.LABELS])
    malformed = malformed_rows(chunk.malformed, SOURCE, run.logged_at)
    counted.outcomes[kind] += _count_malformed(session, run, malformed)
    counted.bad[kind] += malformed
    return counted


def _count_samples(session: Session, run: _DryRun, chunk: Chunk, all_bad: list[BadRow]) -> Outcome:
    """Count the samples of a chunk. Adds those that would be rejected to `all_bad`."""
    if run.target.version_id is None:
        return Outcome()
    model, version = versions.get(session, run.target.version_id)
    batches = list(row_batches(chunk.samples, run.logged_at, SOURCE))
    decoded = sample_decoder.decode(
        sample_tables.columns(model, version), batches, model.retention or run.org.retention
    )
    contents = {
        key: int.from_bytes(decoded.content[position], signed=True) for key, position in decoded.positions.items()
    }
    known = _stored_samples(session, model.relation, version.id, list(contents)) | run.samples.find(list(contents))
    new = {key: content for key, content in contents.items() if key not in known}
    run.samples.put(new)
    stored = {decoded.positions[key]: content.to_bytes(8, signed=True) for key, content in known.items()}
    target = QuarantineTarget(RowKind.SAMPLES, model.id, version.id)
    bad = [*decoded.bad, *decoded.conflicts(stored)]
    all_bad += bad
    quarantined = _count_quarantined(session, run, target, bad)
    return _outcome(decoded.row_count, len(new), quarantined)


def _outcome(rows: int, stored: int, quarantined: int) -> Outcome:
    """Return the counts of rows. Rows that are neither stored nor quarantined are duplicates."""
    return Outcome(rows, stored, rows - stored - quarantined, quarantined)


def _count_quarantined(session: Session, run: _DryRun, target: QuarantineTarget, bad: Sequence[BadRow]) -> int:
    """Count the rows that would be quarantined and are not in quarantine yet."""
    unknown = {digest.bytes: row for digest, row in quarantine.new_rows_by_digest(session, target, bad).items()}
    counted = run.quarantined.find(list(unknown))
    new = {digest: str(row.reason) for digest, row in unknown.items() if digest not in counted}
    run.quarantined.put(new)
    run.reasons.update(new.values())
    return len(new)


def _count_malformed(session: Session, run: _DryRun, bad: Sequence[BadRow]) -> Outcome:
    target = QuarantineTarget(run.target.kind, run.target.model_id, run.target.version_id)
    return _outcome(len(bad), 0, _count_quarantined(session, run, target, bad))


def _stored_samples(session: Session, relation: int, version_id: int, keys: Sequence[bytes]) -> dict[bytes, int]:
    """Return the content hashes of the samples that the version has, by key."""
    rows = db.fetch(
        session,
        "select t.at, i.content from unnest(%(k)b::uuid[]) with ordinality t(k, at)"
        f" join ids_{relation} i on i.k = t.k and i.version_id = %(version)b",
        {"k": pg_binary.uuids(keys), "version": version_id},
    )
    return {keys[at - 1]: content for at, content in rows}


def _count_labels(session: Session, run: _DryRun, chunk: Chunk, all_bad: list[BadRow]) -> Outcome:
    """Count the labels of a chunk. Adds those that would be rejected to `all_bad`."""
    model = models.get(session, run.target.model_id)
    batches = list(row_batches(chunk.labels, run.logged_at, SOURCE))
    decoded = label_decoder.decode(model.task_type == TaskType.REGRESSION, batches)
    labels = {key: label for key, (label, _) in decoded.last.items()}
    known = _known_labels(session, run.target, list(labels))
    known |= {key: {label} for key, label in run.labels.find(list(labels)).items()}
    changed = {key: label for key, label in labels.items() if known.get(key, {NO_LABEL}) != {label}}
    run.labels.put(changed)
    all_bad += decoded.bad
    quarantined = _count_quarantined(session, run, QuarantineTarget(RowKind.LABELS, model.id, None), decoded.bad)
    return _outcome(decoded.row_count, len(changed), quarantined)


def _known_labels(session: Session, target: FileTarget, keys: Sequence[bytes]) -> dict[bytes, set[Any]]:
    """Return the stored labels of these ids.

    An id has a label for each version with its sample, or one label that waits for a sample.
    """
    model = models.get(session, target.model_id)
    hashes, levels = levels_of(keys)
    parameters = {"k": pg_binary.uuids(keys), "h": pg_binary.int4s(hashes), "lvl": pg_binary.int2s(levels)}
    known: dict[bytes, set[Any]] = {}
    for version in versions.entries(session, model):
        rows = db.fetch(
            session,
            "select t.at, l.label, l.k is null"
            " from unnest(%(k)b::uuid[], %(h)b::int4[], %(lvl)b::int2[]) with ordinality t(k, h, lvl, at)"
            f" join ids_{model.relation} i on i.k = t.k and i.version_id = %(version)b"
            f" left join labels_{version.relation} l on (l.lvl, l.ts, l.h, l.k) = (t.lvl, i.ts, t.h, t.k)",
            {**parameters, "version": version.id},
        )
        for at, label, is_unlabelled in rows:
            known.setdefault(keys[at - 1], set()).add(NO_LABEL if is_unlabelled else label)
    without_sample = [key for key in keys if key not in known]
    rows = db.fetch(
        session,
        "select t.at, o.label from unnest(%(k)b::uuid[]) with ordinality t(k, at)"
        f" join orphan_labels_{model.relation} o on o.k = t.k",
        {"k": pg_binary.uuids(without_sample)},
    )
    return known | {without_sample[at - 1]: {label} for at, label in rows}

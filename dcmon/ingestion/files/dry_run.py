"""What loading a file would do, counted without doing it: rows are decoded and looked up, nothing is locked or written.

Ids that stand in the file more than once are remembered in a temporary file, so that memory stays flat.
"""

import sqlite3
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from dcmon import db
from dcmon.db import Organization
from dcmon.db.tables.org import Version
from dcmon.ingestion import label_decoder, quarantine, sample_decoder
from dcmon.ingestion.files.loader import Loaded, Target, deliveries, unreadable
from dcmon.ingestion.files.reader import Chunk, File
from dcmon.ingestion.quarantine import BadRow
from dcmon.storage import models, pg_binary, sample_tables, versions
from dcmon.storage.ledger import Outcome
from dcmon.storage.sample_ids import levels_of

Contents = Mapping[bytes, Any]
ABSENT = object()


class Seen:
    """What the file itself would have stored so far: a content (of a sample, a hash; of a label, its value) by id."""

    def __init__(self) -> None:
        self._kept = sqlite3.connect("", isolation_level=None)  # a temporary file, gone with the connection
        self._kept.execute("pragma synchronous = off")
        self._kept.execute("create table seen (key blob primary key, content) without rowid")

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Any]:
        """What is kept of these ids."""
        found = {}
        for key in keys:
            if row := self._kept.execute("select content from seen where key = ?", (key,)).fetchone():
                found[key] = row[0]
        return found

    def keep(self, contents: Contents) -> None:
        """Keep contents; the last one of an id stands."""
        self._kept.execute("begin")
        self._kept.executemany("insert or replace into seen values (?, ?)", contents.items())
        self._kept.execute("commit")

    def close(self) -> None:
        self._kept.close()


@dataclass
class Rehearsal:
    """Who would load what, when; what the file would have stored and quarantined so far, and for which reasons."""

    org: Organization
    target: Target
    logged_at: datetime
    stored: Seen
    said: Seen
    kept: Seen
    reasons: Counter[str] = field(default_factory=Counter)


def rehearse(engine: Engine, org: Organization, file: File, target: Target, skip: int = 0) -> Loaded:
    """The counts that loading the rows of a file from `skip` on would give now."""
    began, loaded = time.monotonic(), Loaded(file.path, skip)
    with closing(Seen()) as stored, closing(Seen()) as said, closing(Seen()) as kept:
        so_far = Rehearsal(org, target, datetime.now(UTC), stored, said, kept)
        for chunk in file.chunks(target.layout, skip):
            with db.org_session(engine, org) as session:
                of = {"samples": _samples(session, so_far, chunk), "labels": _labels(session, so_far, chunk)}
                of[target.kind] += _malformed(session, so_far, chunk)
            loaded.outcome += of[target.kind]
            loaded.labels += of["labels"]
            loaded.rows += chunk.next_row - chunk.first_row
    loaded.reasons, loaded.seconds = dict(sorted(so_far.reasons.items())), time.monotonic() - began
    return loaded


def _samples(session: Session, so_far: Rehearsal, chunk: Chunk) -> Outcome:
    if so_far.target.version_id is None:
        return Outcome()
    model, version = versions.get(session, so_far.target.version_id)
    came = list(deliveries(chunk.samples, so_far.logged_at, "file"))
    found = sample_decoder.decode(sample_tables.columns(model, version), came, model.retention or so_far.org.retention)
    contents = {key: int.from_bytes(found.content[position], signed=True) for key, position in found.positions.items()}
    there = _ids(session, model.relation, version.id, list(contents)) | so_far.stored.find(list(contents))
    new = {key: content for key, content in contents.items() if key not in there}
    so_far.stored.keep(new)
    stored = {found.positions[key]: content.to_bytes(8, signed=True) for key, content in there.items()}
    kept = _keep(session, so_far, version, "samples", [*found.bad, *found.conflicts(stored)])
    return Outcome(found.taken, len(new), found.taken - len(new) - kept, kept)


def _keep(session: Session, so_far: Rehearsal, version: Version | None, kind: str, bad: Sequence[BadRow]) -> int:
    """How many of these rows would be quarantined."""
    model = models.get(session, so_far.target.model_id)
    unknown = {
        digest.bytes: each
        for digest, each in quarantine.not_quarantined_yet(session, model, version, kind, bad).items()
    }
    known = so_far.kept.find(list(unknown))
    new = {digest: each.reason for digest, each in unknown.items() if digest not in known}
    so_far.kept.keep(new)
    so_far.reasons.update(new.values())
    return len(new)


def _malformed(session: Session, so_far: Rehearsal, chunk: Chunk) -> Outcome:
    version_id, bad = so_far.target.version_id, unreadable(chunk.malformed, "file", so_far.logged_at)
    version = None if version_id is None else versions.get(session, version_id)[1]
    kept = _keep(session, so_far, version, so_far.target.kind, bad)
    return Outcome(len(bad), 0, len(bad) - kept, kept)


def _ids(session: Session, relation: int, version_id: int, keys: Sequence[bytes]) -> dict[bytes, int]:
    """What the id map holds of these ids."""
    rows = db.fetch(
        session,
        "select t.at, i.content from unnest(%(k)b::uuid[]) with ordinality t(k, at)"
        f" join ids_{relation} i on i.k = t.k and i.version_id = %(version)b",
        {"k": pg_binary.uuids(keys), "version": version_id},
    )
    return {keys[at - 1]: content for at, content in rows}


def _labels(session: Session, so_far: Rehearsal, chunk: Chunk) -> Outcome:
    model = models.get(session, so_far.target.model_id)
    found = label_decoder.decode(
        model.task_type == "regression", list(deliveries(chunk.labels, so_far.logged_at, "file"))
    )
    wanted = {key: label for key, (label, _) in found.last.items()}
    there = _known_labels(session, so_far.target, list(wanted))
    there |= {key: {label} for key, label in so_far.said.find(list(wanted)).items()}
    changed = {key: label for key, label in wanted.items() if there.get(key, {ABSENT}) != {label}}
    so_far.said.keep(changed)
    kept = _keep(session, so_far, None, "labels", found.bad)
    return Outcome(found.taken, len(changed), found.taken - len(changed) - kept, kept)


def _known_labels(session: Session, target: Target, keys: Sequence[bytes]) -> dict[bytes, set[Any]]:
    """The labels that these ids have: at their samples, one for each version that has the sample; or waiting."""
    model = models.get(session, target.model_id)
    hashes, levels = levels_of(keys)
    given = {"k": pg_binary.uuids(keys), "h": pg_binary.int4s(hashes), "lvl": pg_binary.int2s(levels)}
    known: dict[bytes, set[Any]] = {}
    for version in versions.entries(session, model):
        rows = db.fetch(
            session,
            "select t.at, l.label, l.k is null"
            " from unnest(%(k)b::uuid[], %(h)b::int4[], %(lvl)b::int2[]) with ordinality t(k, h, lvl, at)"
            f" join ids_{model.relation} i on i.k = t.k and i.version_id = %(version)b"
            f" left join labels_{version.relation} l on (l.lvl, l.ts, l.h, l.k) = (t.lvl, i.ts, t.h, t.k)",
            {**given, "version": version.id},
        )
        for at, label, is_absent in rows:
            known.setdefault(keys[at - 1], set()).add(ABSENT if is_absent else label)
    waiting = [key for key in keys if key not in known]
    orphans = db.fetch(
        session,
        "select t.at, o.label from unnest(%(k)b::uuid[]) with ordinality t(k, at)"
        f" join orphan_labels_{model.relation} o on o.k = t.k",
        {"k": pg_binary.uuids(waiting)},
    )
    return known | {waiting[at - 1]: {label} for at, label in orphans}

"""What loading a file would do, counted without doing it: rows are decoded and looked up, nothing is locked or written.

Ids that stand in the file more than once are remembered in a temporary file, so that memory stays flat.
"""

import sqlite3
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from dcmon import arrays, db, labels, models, samples, storage, versions
from dcmon.arrivals import Outcome, levels_of
from dcmon.db import Organization
from dcmon.files import Chunk, File
from dcmon.loading import Loaded, Target, deliveries

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


def rehearse(engine: Engine, org: Organization, file: File, target: Target, skip: int = 0) -> Loaded:
    """The counts that loading the rows of a file from `skip` on would give now."""
    began, logged_at, loaded, reasons = time.monotonic(), datetime.now(UTC), Loaded(file.path), Counter[str]()
    with closing(Seen()) as seen, closing(Seen()) as said:
        for chunk in file.chunks(target.layout, skip):
            with db.org_session(engine, org) as session:
                taken = _samples(session, org, target, chunk, logged_at, seen, reasons)
                labelled = _labels(session, target, chunk, logged_at, said, reasons)
            bad = Outcome(taken=len(chunk.malformed), quarantined=len(chunk.malformed))
            reasons.update(["malformed"] * len(chunk.malformed))
            loaded.outcome += (taken if target.kind == "samples" else labelled) + bad
            loaded.labels += labelled
            loaded.rows += chunk.next_row - chunk.first_row
    loaded.reasons, loaded.seconds = dict(sorted(reasons.items())), time.monotonic() - began
    return loaded


def _samples(
    session: Session,
    org: Organization,
    target: Target,
    chunk: Chunk,
    logged_at: datetime,
    seen: Seen,
    reasons: Counter[str],
) -> Outcome:
    if target.version_id is None:
        return Outcome()
    model, version = versions.get(session, target.version_id)
    came = list(deliveries(chunk.samples, logged_at, "file"))
    found = samples.sort(storage.columns(model, version), came, model.retention or org.retention)
    contents = {key: int.from_bytes(found.content[place], signed=True) for key, place in found.at.items()}
    there = _ids(session, model.relation, version.id, list(contents)) | seen.find(list(contents))
    new = {key: content for key, content in contents.items() if key not in there}
    conflicts = sum(content != contents[key] for key, content in there.items())
    seen.keep(new)
    reasons.update([each.reason for each in found.bad] + ["conflict"] * conflicts)
    duplicates = found.duplicates + len(there) - conflicts
    return Outcome(found.taken, len(new), duplicates, len(found.bad) + conflicts)


def _ids(session: Session, relation: int, version_id: int, keys: Sequence[bytes]) -> dict[bytes, int]:
    """What the id map holds of these ids."""
    rows = db.fetch(
        session,
        "select t.at, i.content from unnest(%(k)b::uuid[]) with ordinality t(k, at)"
        f" join ids_{relation} i on i.k = t.k and i.version_id = %(version)b",
        {"k": arrays.uuids(keys), "version": version_id},
    )
    return {keys[at - 1]: content for at, content in rows}


def _labels(
    session: Session, target: Target, chunk: Chunk, logged_at: datetime, said: Seen, reasons: Counter[str]
) -> Outcome:
    model = models.get(session, target.model_id)
    found = labels.sort(model.task_type == "regression", list(deliveries(chunk.labels, logged_at, "file")))
    wanted = {key: label for key, (label, _) in found.last.items()}
    there = _known_labels(session, target, list(wanted))
    there |= {key: {label} for key, label in said.find(list(wanted)).items()}
    changed = {key: label for key, label in wanted.items() if there.get(key, {ABSENT}) != {label}}
    said.keep(changed)
    reasons.update(each.reason for each in found.bad)
    return Outcome(found.taken, len(changed), found.taken - len(changed) - len(found.bad), len(found.bad))


def _known_labels(session: Session, target: Target, keys: Sequence[bytes]) -> dict[bytes, set[Any]]:
    """The labels that these ids have: at their samples, one for each version that has the sample; or waiting."""
    model = models.get(session, target.model_id)
    hashes, levels = levels_of(keys)
    given = {"k": arrays.uuids(keys), "h": arrays.int4s(hashes), "lvl": arrays.int2s(levels)}
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
        {"k": arrays.uuids(waiting)},
    )
    return known | {waiting[at - 1]: {label} for at, label in orphans}

"""Dead letters: messages that can't be stored. They stay here after they are sent to Kafka's dead letter topic."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, defer

from dcmon import errors
from dcmon.db.tables.public import DeadLetter, IngestTopic
from dcmon.nearest import unknown
from dcmon.storage.ledger import TopicPartition

HEAD_BYTES = 300  # of a body: they say for which organization a message is
HEAD_FIELDS = {  # as dcmon and other producers write them
    "org": re.compile(rb'"org"\s*:\s*(\d{1,10})'),
    "kind": re.compile(rb'"kind"\s*:\s*"(samples|labels)"'),
    "target": re.compile(rb'"target"\s*:\s*(\d{1,10})'),
}
MAX_REASON_LENGTH = 2_000  # characters: an error message may contain a row of any size


class Resolution(StrEnum):
    """What an operator did with a dead letter: its rows are stored, or it was deleted."""

    STORED = "stored"
    DELETED = "deleted"


@dataclass(frozen=True)
class DeadLetterFilter:
    """Which dead letters: by ids, or by topic, a part of the reason, time (from, and before) and organization's id.

    `with_resolved`: also those that were stored or deleted.
    """

    ids: Sequence[int] = ()
    topic: str | None = None
    reason: str | None = None
    since: datetime | None = None
    org_id: int | None = None
    with_resolved: bool = False
    until: datetime | None = None


@dataclass(frozen=True)
class NewDeadLetter:
    """A message that can't be stored, with the reason. `body` is None if the message has no value."""

    partition: TopicPartition
    offset: int
    body: bytes | None
    reason: str


def add(session: Session, new: NewDeadLetter) -> None:
    """Keep a message that can't be stored. A message that is read again (same offset, same bytes) is kept once."""
    topic_id, number = new.partition
    topic = func.coalesce(select(IngestTopic.name).where(IngestTopic.topic_id == topic_id).scalar_subquery(), "")
    values = {"topic": topic, "topic_id": topic_id, "partition": number, "at_offset": new.offset}
    # PostgreSQL's text can't hold a NUL character. The body is stored as bytes, unchanged.
    reason = new.reason.replace("\0", "�").encode(errors="replace").decode()[:MAX_REASON_LENGTH]
    session.execute(insert(DeadLetter).values(**values, body=new.body, reason=reason).on_conflict_do_nothing())


def entries(session: Session, chosen: DeadLetterFilter, limit: int | None = None) -> list[dict[str, Any]]:
    """Return dead letters as rows without their bodies, the newest first; those of an organization as `_describe`.

    Raises NotFound for an id that is unknown, or of another organization than the chosen one.
    """
    columns = (DeadLetter, func.substr(DeadLetter.body, 1, HEAD_BYTES), func.octet_length(DeadLetter.body))
    rows, ids = list[dict[str, Any]](), set[int]()
    for dead_letter, head, size in session.execute(_filtered(select(*columns).options(defer(DeadLetter.body)), chosen)):
        row = _describe(dead_letter, bytes(head or b""), size or 0)
        if chosen.org_id in (None, row["org_id"]):
            ids.add(dead_letter.id)
            rows += [row] if limit is None or len(rows) < limit else []
    if missing := sorted(set(chosen.ids) - ids):
        raise _not_found(missing[0])
    return rows


def require_topic(session: Session, name: str, configured: Iterable[str]) -> None:
    """Check that there is a topic of a name: one of the settings, of a worker, or of a dead letter. Raises NotFound."""
    stored = [*session.scalars(select(DeadLetter.topic).distinct()), *session.scalars(select(IngestTopic.name))]
    known = sorted({*configured, *stored} - {""})
    if name not in known:
        raise errors.NotFound(unknown("topic", name, known))


def find(session: Session, dead_letter_id: int, *, is_locked: bool = False) -> DeadLetter:
    """Return a dead letter. `is_locked`: lock it until the end of the transaction. Raises NotFound."""
    dead_letter = session.get(DeadLetter, dead_letter_id, with_for_update=is_locked)
    if dead_letter is None:
        raise _not_found(dead_letter_id)
    return dead_letter


def detail(session: Session, dead_letter_id: int) -> dict[str, Any]:
    """Return a dead letter as a row with its body; bytes that are no text are escaped. Raises NotFound."""
    dead_letter = find(session, dead_letter_id)
    body = dead_letter.body
    text = None if body is None else body.decode(errors="backslashreplace")
    return {**_describe(dead_letter, (body or b"")[:HEAD_BYTES], len(body or b"")), "body": text}


def resolve(session: Session, dead_letter: DeadLetter, resolution: Resolution, by: str) -> None:
    """Record what was done with a dead letter, and remove its body.

    The row stays, because the ledger of offsets counts it: dcmon audit compares the two.
    """
    same_place = select(func.count()).where(
        DeadLetter.topic_id == dead_letter.topic_id, DeadLetter.partition == dead_letter.partition,
        DeadLetter.at_offset == dead_letter.at_offset, DeadLetter.id != dead_letter.id,
        func.octet_length(func.coalesce(DeadLetter.body, b"")) == 0,
    )  # fmt: skip
    if session.scalar(same_place):  # another message was at this offset, before a seek; its row is enough
        session.delete(dead_letter)
    else:
        dead_letter.body, dead_letter.resolution, dead_letter.resolved_by = None, resolution, by
        dead_letter.resolved_at = datetime.now(UTC)
    session.flush()


def _not_found(dead_letter_id: int) -> errors.NotFound:
    return errors.NotFound(
        f'There is no dead letter {dead_letter_id}. "dcmon dead-letter list --all" lists the dead letters.'
    )


def _filtered(statement: "Select[Any]", chosen: DeadLetterFilter) -> "Select[Any]":
    if chosen.ids:
        statement = statement.where(DeadLetter.id.in_(list(chosen.ids)))
    elif not chosen.with_resolved:
        statement = statement.where(DeadLetter.resolved_at.is_(None))
    if chosen.topic is not None:
        statement = statement.where(DeadLetter.topic == chosen.topic)
    if chosen.reason is not None:
        statement = statement.where(DeadLetter.reason.icontains(chosen.reason, autoescape=True))
    if chosen.since is not None:
        statement = statement.where(DeadLetter.created_at >= chosen.since)
    if chosen.until is not None:
        statement = statement.where(DeadLetter.created_at < chosen.until)
    return statement.order_by(DeadLetter.id.desc())


def _describe(dead_letter: DeadLetter, head: bytes, size: int) -> dict[str, Any]:
    """Return a row; organization, kind and target are those of the message's head, None if it can't be read."""
    matches = {name: pattern.search(head) for name, pattern in HEAD_FIELDS.items()}
    fields = {name: None if match is None else match[1].decode() for name, match in matches.items()}
    return {
        "id": dead_letter.id,
        "topic": dead_letter.topic,
        "partition": dead_letter.partition,
        "offset": dead_letter.at_offset,
        "org_id": None if fields["org"] is None else int(fields["org"]),
        "kind": fields["kind"],
        "target": None if fields["target"] is None else int(fields["target"]),
        "bytes": size,
        "reason": dead_letter.reason,
        "created_at": dead_letter.created_at,
        "sent_at": dead_letter.sent_at,
        "state": dead_letter.resolution or "open",
        "resolved_at": dead_letter.resolved_at,
        "resolved_by": dead_letter.resolved_by,
    }


def lock_unsent(session: Session, limit: int) -> list[DeadLetter]:
    """Return dead letters that are not sent to Kafka yet, oldest first. Lock them against other workers."""
    is_unsent = DeadLetter.sent_at.is_(None) & DeadLetter.resolved_at.is_(None)
    unsent = select(DeadLetter).where(is_unsent).order_by(DeadLetter.id).limit(limit)
    return list(session.scalars(unsent.with_for_update(skip_locked=True)))


def mark_sent(session: Session, dead_letters: Iterable[DeadLetter]) -> None:
    """Mark dead letters as sent to Kafka."""
    for dead_letter in dead_letters:
        dead_letter.sent_at = datetime.now(UTC)
    session.flush()

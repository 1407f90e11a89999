"""A batch of messages on its way: sorted by organization, stored in each, settled for all.

In this order: (1) read; (2) for each organization, in one transaction: lock its offsets, drop what it has, store rows,
move its offsets; (3) in "public", in one transaction: keep dead letters and parked messages, raise the floors. A crash
anywhere repeats from the floor, and (2) drops what is there.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from dcmon import db, errors
from dcmon.db import Organization
from dcmon.ingestion import dead_letters, offsets, pipeline
from dcmon.ingestion import message_format as messages
from dcmon.ingestion import parked_messages as letters
from dcmon.ingestion.dead_letters import Dead
from dcmon.ingestion.kafka import Received
from dcmon.ingestion.message_format import Unreadable
from dcmon.ingestion.offsets import Seek, Settled, Stretch
from dcmon.ingestion.parked_messages import Letter
from dcmon.ingestion.pipeline import RETRIED, TRIES, Group
from dcmon.ingestion.target_cache import Address, Targets
from dcmon.storage import sample_tables
from dcmon.storage.ledger import Partition
from dcmon.tenancy import organizations

log = logging.getLogger(__name__)

BLOCKED = (errors.SchemaOutOfDate, errors.SchemaTooNew, errors.Locked)
LOCK_WAIT = timedelta(seconds=3)
PARKED_LOCK_WAIT = timedelta(milliseconds=200)  # others have waited for this organization already
PARKED_AT_ONCE, PARKED_BYTES = 100, 16_000_000
PARKED_FOR = 10.0  # seconds for one round of tries: nobody else waits longer


@dataclass
class Part:
    """What a batch has of one partition: its messages of [first_offset, next_offset), those unreadable set apart."""

    topic: str
    first_offset: int
    next_offset: int
    seek: Seek
    is_beginning: bool = False
    letters: list[Letter] = field(default_factory=list)
    dead: list[Dead] = field(default_factory=list)
    rows: int = 0


@dataclass
class Batch:
    """Messages by partition, and what is found out about them on the way."""

    parts: dict[Partition, Part] = field(default_factory=dict)
    size: int = 0
    messages: int = 0
    groups: dict[int, list[Group]] = field(default_factory=dict)
    parked: list[tuple[Letter, str]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many rows its messages hold."""
        return sum(part.rows for part in self.parts.values())

    @property
    def places(self) -> dict[tuple[str, int], int]:
        """The next offset of each topic and partition, as Kafka is told."""
        return {(part.topic, partition): part.next_offset for (_, partition), part in self.parts.items()}

    @property
    def stretches(self) -> dict[Partition, Stretch]:
        """The messages that were read of each partition, as offsets."""
        return {
            partition: Stretch(part.seek, part.first_offset, part.is_beginning)
            for partition, part in self.parts.items()
        }

    def letters(self) -> dict[int, list[Letter]]:
        """The messages by organization."""
        found = defaultdict[int, list[Letter]](list)
        for part in self.parts.values():
            for letter in part.letters:
                found[letter.message.org].append(letter)
        return dict(found)

    def add(self, partition: Partition, received: Received, seek: Seek) -> None:
        """Add a message. Where the reading began anew, it began at the floor: what was read before goes."""
        place = received.place
        part = self.parts.get(partition)
        if part is None or part.next_offset != received.after:
            first = place.offset if received.after is None else received.after
            part = self.parts[partition] = Part(place.topic, first, first, seek, received.after is None)
        part.next_offset = place.offset + 1
        self.size += len(received.value or b"")
        self.messages += 1
        try:
            message = messages.unpack(received.value, received.sent_at)
        except Unreadable as why:
            part.dead.append(Dead(partition, place.offset, received.value, str(why)))
            return
        part.rows += message.n
        part.letters.append(Letter(partition, place.offset, received.value or b"", message, seek.number))

    def reject(self, org_id: int, why: str) -> None:
        """Make dead letters of an organization's messages."""
        for partition, part in self.parts.items():
            theirs = [letter for letter in part.letters if letter.message.org == org_id]
            part.dead += [Dead(partition, each.offset, each.value, why) for each in theirs]
            part.letters = [letter for letter in part.letters if letter.message.org != org_id]


def decode(targets: Targets, batch: Batch) -> None:
    """Decode the rows of a batch ahead of its transactions; what can't be looked up now is decoded in them."""
    for org_id, mine in batch.letters().items():
        groups = batch.groups[org_id] = pipeline.group(mine)
        try:
            org = targets.organization(org_id)
            if org is not None:
                pipeline.prepare_groups(targets, org, groups)
        except Exception as error:
            # Whatever it is, it is met again where it can cost this organization only.
            log.debug("organization %d: its rows are decoded later: %s", org_id, error)


def _set_apart_unreadable(part: Part) -> bool:
    """Find messages whose beginning was ours and whose rest is not; whether one says something else than it seemed."""
    letters, part.letters, are_others = part.letters, [], False
    for letter in letters:
        try:
            settled = messages.settled(letter.message, letter.value)
        except Unreadable as why:
            part.dead.append(Dead(letter.partition, letter.offset, letter.value, str(why)))
            are_others = True
            continue
        are_others |= settled.rows is not letter.message.rows
        part.letters.append(letter if settled is letter.message else replace(letter, message=settled))
    return are_others


def take(engine: Engine, targets: Targets, batch: Batch) -> list[int]:
    """Store a batch and settle it; returns the organizations that were touched. Safe to repeat. Raises Sought."""
    are_others = [_set_apart_unreadable(part) for part in batch.parts.values()]
    if any(are_others):
        batch.groups.clear()
    by_org = batch.letters()
    with db.public_session(engine) as session:
        orgs = {org_id: organizations.by_id(session, org_id) for org_id in by_org}
        newest, behind = organizations.newest_id(session), letters.waiting(session, by_org)
    batch.parked.clear()
    touched = []
    for org_id, mine in sorted(by_org.items()):
        org = orgs[org_id]
        if org is None and org_id > newest:
            batch.reject(org_id, f"there has never been an organization {org_id}")
        elif org is None:
            log.warning("dropped %d messages of organization %d, which is gone", len(mine), org_id)
        elif org_id in behind:
            batch.parked += [(letter, "earlier messages wait") for letter in mine]
        else:
            groups = batch.groups.get(org_id) or pipeline.group(mine)
            if (why := _store(engine, targets, org, groups, batch.stretches, LOCK_WAIT)) is not None:
                log.warning("organization %s: %d messages wait: %s", org.name, len(mine), why)
                batch.parked += [(letter, why) for letter in mine]
            else:
                touched.append(org_id)
    _settle(engine, batch)
    return touched


def _store(
    engine: Engine,
    targets: Targets,
    org: Organization,
    groups: Sequence[Group],
    read: Mapping[Partition, Stretch],
    wait: timedelta,
) -> str | None:
    """Store an organization's messages; why not, when it can't be entered now."""
    try:
        _store_all(engine, targets, org, groups, read, wait)
    except errors.OrganizationNotFound:
        log.warning("dropped messages of organization %s, which is gone", org.name)
    except (*BLOCKED, errors.OutOfMemory) as error:
        return str(error)
    except DBAPIError as error:
        # Not of the rows' making, and not known: nobody else is to wait for it, and nothing is to be lost.
        log.error("organization %s can't be written", org.name, exc_info=error)
        return str(getattr(error, "orig", error)).strip()
    return None


def _store_all(
    engine: Engine,
    targets: Targets,
    org: Organization,
    groups: Sequence[Group],
    read: Mapping[Partition, Stretch],
    wait: timedelta,
) -> None:
    """A message whose content PostgreSQL refuses is found by halving, and costs itself alone.

    So are batches that need more locks than PostgreSQL has: each partition that rows go to takes some.
    """
    try:
        _store_once(engine, targets, org, groups, read, wait)
    except Exception as error:
        mine = sorted((letter for group in groups for letter in group.letters), key=_place)
        is_too_much = isinstance(error, errors.OutOfMemory) and len(mine) > 1
        if not pipeline.is_content(error) and not is_too_much:
            raise
        if len(mine) == 1:
            _store_rest(engine, targets, org, mine[0], read, wait, error)
            return
        half = len(mine) // 2
        for part in (mine[:half], mine[half:]):
            _store_all(engine, targets, org, pipeline.group(part), read, wait)


def _store_rest(
    engine: Engine,
    targets: Targets,
    org: Organization,
    letter: Letter,
    read: Mapping[Partition, Stretch],
    wait: timedelta,
    why: Exception,
) -> None:
    """Store a message without the rows that PostgreSQL does not take, which are quarantined; or bury it."""
    (group,) = pipeline.group([letter])
    try:
        address = Address(org, group.kind, group.target)
        group.refused = pipeline.refused(engine, targets, address, group.deliveries[0], wait)
        if group.refused:
            _store_once(engine, targets, org, [group], read, wait)
            return
    except Exception as error:
        if not pipeline.is_content(error) and not isinstance(error, errors.NotFound):
            raise
    _bury(engine, org, letter, read, str(getattr(why, "orig", why)).strip())


def _place(letter: Letter) -> tuple[Partition, int]:
    return letter.partition, letter.offset


def _bury(engine: Engine, org: Organization, letter: Letter, read: Mapping[Partition, Stretch], why: str) -> None:
    """A dead letter first, and only then past it: a crash in between repeats, and loses nothing."""
    log.warning("organization %s: dead letter at %s: %s", org.name, letter.place, why)
    with db.public_session(engine) as session:
        dead_letters.bury(session, Dead(letter.partition, letter.offset, letter.value, why))
    with db.org_session(engine, org) as session:
        pipeline.drop_dead(session, letter, read[letter.partition], why)


def _store_once(
    engine: Engine,
    targets: Targets,
    org: Organization,
    groups: Sequence[Group],
    read: Mapping[Partition, Stretch],
    wait: timedelta,
) -> None:
    """All or nothing. Raises Locked when locks could not be had in several tries."""

    def work() -> set[str]:
        with db.org_session(engine, org, wait=wait) as session:
            return pipeline.store_groups(session, org, groups, read)

    for tried in range(TRIES):
        try:
            gone = sample_tables.with_months(engine, org, work, wait)
            for why in sorted(gone):
                log.warning("organization %s: dropped messages: %s", org.name, why)
            return
        except DBAPIError as error:
            if db.sqlstate(error) not in RETRIED:
                raise
            last = error
            time.sleep(0.05 * tried)
            targets.forget(org)
            for group in groups:
                group.prepared = None  # its target may be gone: it is looked up in the transaction
    raise pipeline.unwritable(org, last) from last


def _settle(engine: Engine, batch: Batch) -> None:
    """Dead letters, parked messages and the floors, in one transaction."""
    with db.public_session(engine) as session:
        for partition, part in sorted(batch.parts.items()):
            for dead in part.dead:
                dead_letters.bury(session, dead)
                log.warning("dead letter at %s/%d/%d: %s", part.topic, partition[1], dead.offset, dead.reason)
            offsets.settle(session, partition, _settled(part))
        for letter, reason in batch.parked:
            letters.park(session, letter, reason)


def _settled(part: Part) -> Settled:
    by_org = defaultdict[int, list[int]](list)
    for letter in part.letters:
        by_org[letter.message.org].append(letter.offset)
    dead = [each.offset for each in part.dead]
    return Settled(part.first_offset, part.next_offset, part.seek, part.is_beginning, by_org, dead)


def retry_parked(engine: Engine, targets: Targets) -> dict[int, int]:
    """Store parked messages of organizations that can be entered again, oldest first; returns how many of each."""
    done, ends = dict[int, int](), time.monotonic() + PARKED_FOR
    with db.public_session(engine) as session:
        orgs = {org_id: organizations.by_id(session, org_id) for org_id in letters.waiting(session)}
    for org_id, org in orgs.items():
        while time.monotonic() < ends:
            mine, read = _parked(engine, org_id)
            if not mine:
                break
            groups = pipeline.group(mine)
            if org is not None and _store(engine, targets, org, groups, read, PARKED_LOCK_WAIT) is not None:
                break
            with db.public_session(engine) as session:
                letters.release(session, mine)
            done[org_id] = done.get(org_id, 0) + len(mine)
    if done:
        log.info("stored %d messages that were parked", sum(done.values()))
    return done


def _parked(engine: Engine, org_id: int) -> tuple[list[Letter], dict[Partition, Stretch]]:
    """Messages that wait for an organization, and how they were read; of one moment, for others store them too."""
    with db.public_session(engine, snapshot=True) as session:
        mine = letters.parked(session, org_id, PARKED_AT_ONCE, PARKED_BYTES)
        return mine, letters.stretches(session, mine)

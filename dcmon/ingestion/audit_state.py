"""The data that the audit compares: ledger lines, commit records, and the content of tables."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from dcmon.ingestion.offsets import LastSeek
from dcmon.ingestion.quarantine import QuarantineTarget
from dcmon.storage.ledger import LedgerAction, TopicPartition


@dataclass(frozen=True)
class LedgerLine:
    """A line of an organization's ledger.

    A line with a `partition` moved the organization's offset from `first_offset` to `next_offset`.
    """

    id: int
    action: str
    kind: str
    model_id: int | None
    version_id: int | None
    partition: TopicPartition | None
    first_offset: int | None
    next_offset: int | None
    messages: int
    taken: int
    stored: int
    duplicates: int
    quarantined: int
    dropped: int
    removed: int


@dataclass(frozen=True)
class CommitRecord:
    """A move of a committed offset. `messages` has the number of messages by organization's id."""

    id: int
    action: str
    partition: TopicPartition
    first_offset: int
    next_offset: int
    messages: Mapping[int, int]
    dead_letters: int


class OrganizationPartition(NamedTuple):
    """The messages of one organization in one partition."""

    org_id: int
    partition: TopicPartition


class OrganizationOffset(NamedTuple):
    """An organization's offset of a partition. `seek_number` is the last seek that the organization followed."""

    next_offset: int = 0
    seek_number: int = 0


@dataclass(frozen=True)
class SharedState:
    """The content of the schema "public".

    Commit records are in order of id, and the offsets of dead letters are in ascending order. `parked` counts the
    parked messages.
    """

    commits: Sequence[CommitRecord] = ()
    committed: Mapping[TopicPartition, int] = field(default_factory=dict)
    parked: Mapping[OrganizationPartition, int] = field(default_factory=dict)
    dead_letters: Mapping[TopicPartition, Sequence[int]] = field(default_factory=dict)

    @cached_property
    def seeks(self) -> Mapping[TopicPartition, LastSeek]:
        """The last seek of each partition that had one."""
        return {
            commit.partition: LastSeek(commit.id, commit.next_offset)
            for commit in self.commits
            if commit.action == LedgerAction.SEEK
        }

    def last_seek(self, partition: TopicPartition) -> LastSeek:
        """Return the last seek of a partition; number 0 if there was no seek."""
        return self.seeks.get(partition, LastSeek())

    @cached_property
    def messages(self) -> Mapping[OrganizationPartition, int]:
        """How many messages were committed since the last seek."""
        counts = Counter[OrganizationPartition]()
        for commit in self.commits:
            if commit.id > self.last_seek(commit.partition).number:
                for org_id, count in commit.messages.items():
                    counts[OrganizationPartition(org_id, commit.partition)] += count
        return counts


@dataclass(frozen=True)
class VersionState:
    """The content of a version's tables.

    `samples_sum` and `ids_sum` are fingerprints of keys. `counted` is the sum of samples over quarters of an hour.
    `quarters_off` and `label_quarters_off` say how many quarters of an hour have a wrong count.
    """

    version_id: int
    name: str
    samples: int
    samples_sum: int
    ids: int
    ids_sum: int
    counted: int
    quarters_off: int
    label_quarters_off: int
    labels_without_sample: int
    labels_still_waiting: int  # labels that wait for a sample although it is stored


@dataclass(frozen=True)
class OrganizationState:
    """The content of an organization. `models` maps ids to names; `quarantined` counts the quarantined rows."""

    versions: Sequence[VersionState] = ()
    models: Mapping[int, str] = field(default_factory=dict)
    quarantined: Mapping[QuarantineTarget, int] = field(default_factory=dict)
    offsets: Mapping[TopicPartition, OrganizationOffset] = field(default_factory=dict)

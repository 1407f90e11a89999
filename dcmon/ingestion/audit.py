"""The rules of the audit. Ledger lines must add up, follow each other without a gap, and agree with the tables.

This module reads nothing itself (see `audit_reader`). In every line of an organization's ledger taken = stored +
duplicates + quarantined + dropped + removed. Lines with a partition move the organization's offset, and commit records
move the committed offset: each move begins where the previous one ended. Below the committed offset, an organization
took all messages that were committed for it, except the parked ones.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from dcmon.ingestion.audit_state import (
    CommitRecord,
    LedgerLine,
    OrganizationOffset,
    OrganizationPartition,
    OrganizationState,
    SharedState,
    VersionState,
)
from dcmon.ingestion.quarantine import QuarantineTarget
from dcmon.states import RowKind
from dcmon.storage.ledger import LedgerAction, TopicPartition

FINDINGS_PER_PARTITION = 3
TABLES_DIFFER = (
    "Another program wrote to these tables, or dcmon has a bug: compare the tables with a backup, and report the bug."
)
READ_AGAIN = (
    "Read the messages again, from a time before the first difference: dcmon ingest seek --to TIME."
    " ({count} differences in this partition.)"
)


@dataclass(frozen=True)
class Finding:
    """A difference that the audit found. The names of the fields are keys of `dcmon audit -o json`.

    `check` names the check, `where` the object, `message` the difference, and `advice` the next step of an operator.
    """

    check: str
    where: str
    message: str
    advice: str


class OffsetRange(NamedTuple):
    """The offsets from `first` on, below `after`."""

    first: int
    after: int


@dataclass
class OffsetChain:
    """An organization's offset of a partition, followed from ledger line to ledger line."""

    committed: int
    last_seek_offset: int
    next_offset: int = 0
    last_range: OffsetRange | None = None  # None if the last line was a seek
    breaks: list[str] = field(default_factory=list)
    messages_below: int = 0  # messages of lines that end at or below the committed offset
    messages_begun_below: int = 0  # messages of lines that begin below the committed offset

    def add(self, line: LedgerLine) -> None:
        """Add the next line of the partition. Record a break if the line does not follow the previous one."""
        first, after = line.first_offset or 0, line.next_offset or 0
        is_seek = line.action == LedgerAction.SEEK
        if not is_seek and self.last_range == OffsetRange(first, after):
            pass  # one transaction writes a line for each version or model
        elif first != self.next_offset:
            self.breaks.append(_broken(line.id, first, self.next_offset))
        elif not is_seek and after <= first:
            self.breaks.append(f"line {line.id} begins at {first} and ends at {after}, which is not after its begin")
        self.last_range = None if is_seek else OffsetRange(first, after)
        self.next_offset = after
        if is_seek:
            self.messages_below = self.messages_begun_below = 0
        elif after > self.last_seek_offset:
            self.messages_below += line.messages if after <= self.committed else 0
            self.messages_begun_below += line.messages if first < self.committed else 0


def _broken(line_id: int, first: int, expected: int) -> str:
    problem = "gap" if first > expected else "overlap"
    return f"line {line_id} begins at {first}, but the previous line ended at {expected}: {problem}"


@dataclass
class LedgerSummary:
    """The sums over an organization's ledger, built line by line in order of id."""

    shared: SharedState
    lines: int = 0
    unbalanced: list[int] = field(default_factory=list)
    stored: Counter[int] = field(default_factory=Counter)
    quarantined: Counter[QuarantineTarget] = field(default_factory=Counter)
    chains: dict[TopicPartition, OffsetChain] = field(default_factory=dict)

    def add(self, line: LedgerLine) -> None:
        """Add the next line: check its sum, add its counts, follow its offsets."""
        self.lines += 1
        total = line.stored + line.duplicates + line.quarantined + line.dropped + line.removed
        if line.taken != total:
            self.unbalanced.append(line.id)
        if line.kind == RowKind.SAMPLES and line.version_id is not None:
            self.stored[line.version_id] += line.stored
        if line.model_id is not None:
            self.quarantined[QuarantineTarget(line.kind, line.model_id, line.version_id)] += line.quarantined
        if line.partition is not None:
            self._chain(line.partition).add(line)

    def _chain(self, partition: TopicPartition) -> OffsetChain:
        if partition not in self.chains:
            seek = self.shared.last_seek(partition)
            self.chains[partition] = OffsetChain(self.shared.committed.get(partition, 0), seek.offset)
        return self.chains[partition]


def summarize(lines: Iterable[LedgerLine], shared: SharedState) -> LedgerSummary:
    """Sum up a ledger, reading each line once."""
    summary = LedgerSummary(shared)
    for line in lines:
        summary.add(line)
    return summary


def judge_organization(org_id: int, summary: LedgerSummary, state: OrganizationState) -> list[Finding]:
    """Return the differences in an organization."""
    return [
        *_judge_lines(summary),
        *(
            finding
            for version in state.versions
            for finding in _judge_version(summary.stored[version.version_id], version)
        ),
        *_judge_quarantine(summary, state),
        *_judge_offsets(summary, state),
        *_judge_messages(org_id, summary, state),
    ]


def _judge_lines(summary: LedgerSummary) -> list[Finding]:
    message = "taken is not stored + duplicates + quarantined + dropped + removed"
    return [
        Finding("lines", f"line {line_id} of table batches", message, TABLES_DIFFER) for line_id in summary.unbalanced
    ]


def _judge_version(stored: int, version: VersionState) -> Iterator[Finding]:
    def differs(check: str, message: str) -> Finding:
        return Finding(check, version.name, message, TABLES_DIFFER)

    if version.samples != stored:
        yield differs("samples", f"the ledger counts {stored} stored samples, the table holds {version.samples}")
    if (version.ids, version.ids_sum) != (version.samples, version.samples_sum):
        problem = "of other samples" if version.ids == version.samples else f"for {version.samples} samples"
        yield differs("ids", f"the id map has {version.ids} ids {problem}")
    if version.quarters_off or version.counted != version.samples:
        message = (
            f"{version.quarters_off} quarter hours have a wrong count of samples: together all quarter hours count"
            f" {version.counted}, the table holds {version.samples}"
        )
        yield differs("quarter hours", message)
    if version.label_quarters_off:
        yield differs("labels", f"{version.label_quarters_off} quarter hours have a wrong count of labels")
    if version.labels_without_sample:
        yield differs("labels", f"{version.labels_without_sample} labels have no sample")
    if version.labels_still_waiting:
        yield differs("labels", f"{version.labels_still_waiting} labels wait for a sample although it is stored")


def _judge_quarantine(summary: LedgerSummary, state: OrganizationState) -> list[Finding]:
    names = {version.version_id: version.name for version in state.versions}
    findings = []
    for target in sorted({*summary.quarantined, *state.quarantined}, key=str):
        kind, model_id, version_id = target
        if model_id not in state.models or (version_id is not None and version_id not in names):
            continue  # the model or version was deleted together with its rows
        in_ledger, in_table = summary.quarantined[target], state.quarantined.get(target, 0)
        if in_ledger != in_table:
            name = names.get(version_id, state.models[model_id]) if version_id else state.models[model_id]
            message = f"the ledger counts {in_ledger} {kind} in quarantine, the table holds {in_table}"
            findings.append(Finding("quarantine", name, message, TABLES_DIFFER))
    return findings


def _judge_offsets(summary: LedgerSummary, state: OrganizationState) -> list[Finding]:
    findings = []
    for partition in sorted({*summary.chains, *state.offsets}):
        chain = summary.chains.get(partition, OffsetChain(0, 0))
        breaks, stored = list(chain.breaks), state.offsets.get(partition, OrganizationOffset())
        if stored.next_offset != chain.next_offset:
            breaks.append(f"the offset is {stored.next_offset}, but the last line ended at {chain.next_offset}")
        findings += _first_findings("offsets", partition, breaks)
    return findings


def _judge_messages(org_id: int, summary: LedgerSummary, state: OrganizationState) -> list[Finding]:
    """Compare the messages that an organization took with the messages that were committed for it.

    A partition is skipped if the organization has not followed its last seek yet: nothing was taken since that seek.
    """
    findings = []
    shared = summary.shared
    for partition in sorted(shared.committed):
        seek, key = shared.last_seek(partition), OrganizationPartition(org_id, partition)
        if seek.number and state.offsets.get(partition, OrganizationOffset()).seek_number != seek.number:
            continue
        chain = summary.chains.get(partition, OffsetChain(0, 0))
        parked = shared.parked.get(key, 0)
        committed = shared.messages.get(key, 0)
        if not (chain.messages_below <= committed and committed - parked <= chain.messages_begun_below):
            message = (
                f"{committed} messages were committed for the organization, {chain.messages_below} were taken,"
                f" {parked} are parked"
            )
            advice = "Read the messages again: dcmon ingest seek --to TIME. Stored rows are not stored twice."
            findings.append(Finding("messages", _partition_text(partition), message, advice))
    return findings


def judge_public(shared: SharedState) -> list[Finding]:
    """Return the differences in the schema "public"."""
    by_partition = defaultdict[TopicPartition, list[CommitRecord]](list)
    for commit in shared.commits:
        by_partition[commit.partition].append(commit)
    findings = []
    for partition in sorted({*by_partition, *shared.committed}):
        breaks = _breaks(by_partition[partition], shared.committed.get(partition))
        breaks += [problem for commit in by_partition[partition] if (problem := _count_error(commit, shared))]
        findings += _first_findings("committed offset", partition, breaks)
    return findings


def _first_findings(check: str, partition: TopicPartition, breaks: Sequence[str]) -> list[Finding]:
    advice = READ_AGAIN.format(count=len(breaks))
    return [Finding(check, _partition_text(partition), message, advice) for message in breaks[:FINDINGS_PER_PARTITION]]


def _breaks(commits: Sequence[CommitRecord], committed: int | None) -> list[str]:
    breaks = [
        _broken(after.id, after.first_offset, before.next_offset)
        for before, after in pairwise(commits)
        if after.first_offset != before.next_offset
    ]
    breaks += [
        f"line {commit.id} ends before it begins"
        for commit in commits
        if commit.action != LedgerAction.SEEK and commit.next_offset <= commit.first_offset
    ]
    last = commits[-1].next_offset if commits else None
    if committed != last:
        breaks.append(f"the committed offset is {committed}, but the last line ended at {last}")
    return breaks


def _count_error(commit: CommitRecord, shared: SharedState) -> str | None:
    """Return the problem of a commit record's counts. None if the counts are possible."""
    if commit.action == LedgerAction.SEEK:
        return None
    offsets = shared.dead_letters.get(commit.partition, ())
    stored = bisect_left(offsets, commit.next_offset) - bisect_left(offsets, commit.first_offset)
    # More may be stored: a dead letter whose content PostgreSQL refused is counted as a message of its organization.
    if commit.dead_letters > stored:
        return f"line {commit.id} counts {commit.dead_letters} dead letters, {stored} are stored"
    if sum(commit.messages.values()) + commit.dead_letters > commit.next_offset - commit.first_offset:
        return f"line {commit.id} counts more messages than it has offsets"
    return None


def _partition_text(partition: TopicPartition) -> str:
    topic_id, number = partition
    return f"topic {topic_id}, partition {number}"

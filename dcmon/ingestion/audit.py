"""The audit's arithmetic: ledger lines must add up, join without a gap, and agree with what the tables hold.

This module reads nothing itself (see `audit_reader`). In every line of an organization's ledger taken = stored +
duplicates + quarantined + dropped + removed. Lines with a partition move the organization's offset, commit records move
the committed offset: each begins where the one before ended. The messages that an organization took below the committed
offset are those that were found there for it, less the parked ones.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

from dcmon.storage.ledger import TopicPartition

FINDINGS_PER_PARTITION = 3
TABLES_DIFFER = "Something else than dcmon wrote here, or dcmon has a fault: compare it with a backup, and report it."
READ_AGAIN = "Read it again from before that: dcmon ingest seek --to TIME. ({count} in all.)"
SEEK = "seek"  # the action of lines and commit records that set an offset to another one


@dataclass(frozen=True)
class LedgerLine:
    """A line of an organization's ledger; with a partition, it moved the offset from first_offset to next_offset."""

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
    """A move of a committed offset, with the number of messages by organization's id, and of dead letters."""

    id: int
    action: str
    partition: TopicPartition
    first_offset: int
    next_offset: int
    messages: Mapping[int, int]
    dead: int


@dataclass(frozen=True)
class SharedState:
    """What "public" holds.

    Commit records in order of id, committed offsets, numbers of parked messages by organization's id and partition, and
    the offsets of dead letters in order.
    """

    commits: Sequence[CommitRecord] = ()
    committed: Mapping[TopicPartition, int] = field(default_factory=dict)
    parked: Mapping[tuple[int, TopicPartition], int] = field(default_factory=dict)
    dead_letters: Mapping[TopicPartition, Sequence[int]] = field(default_factory=dict)

    @cached_property
    def seeks(self) -> Mapping[TopicPartition, tuple[int, int]]:
        """The number of each partition's last seek, and the offset that it went to."""
        return {commit.partition: (commit.id, commit.next_offset) for commit in self.commits if commit.action == SEEK}

    @cached_property
    def messages(self) -> Mapping[tuple[TopicPartition, int], int]:
        """How many messages of an organization were committed since the last seek."""
        counts = Counter[tuple[TopicPartition, int]]()
        for commit in self.commits:
            if commit.id > self.seeks.get(commit.partition, (0, 0))[0]:
                for org_id, count in commit.messages.items():
                    counts[commit.partition, org_id] += count
        return counts


@dataclass(frozen=True)
class VersionState:
    """What the tables hold of a version.

    `samples_sum` and `ids_sum` are fingerprints of keys; `counted` is the sum of samples over quarters of an hour.
    `quarters_off` and `label_quarters_off` are how many quarters of an hour have a wrong count.
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
    labels_still_waiting: int  # although their sample is stored


@dataclass(frozen=True)
class OrganizationState:
    """What an organization holds.

    Versions, names of models, numbers of quarantined rows by (kind, model, version), and offsets with the number of the
    seek that they followed.
    """

    versions: Sequence[VersionState] = ()
    models: Mapping[int, str] = field(default_factory=dict)
    quarantined: Mapping[tuple[str, int, int | None], int] = field(default_factory=dict)
    offsets: Mapping[TopicPartition, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """Something that does not add up: in which check, where, a sentence, and what the operator can do."""

    check: str
    where: str
    says: str
    advice: str


@dataclass
class OffsetChain:
    """An organization's offset of a partition, followed from line to line."""

    committed: int
    last_seek_offset: int
    next_offset: int = 0
    transaction: tuple[int, int] | None = None  # offsets of the last line
    breaks: list[str] = field(default_factory=list)
    messages_below: int = 0  # in lines that end below the committed offset
    messages_begun_below: int = 0  # in lines that begin below the committed offset

    def add(self, line: LedgerLine) -> None:
        """Add the next line of the partition, and note where it does not follow the one before."""
        first, after = line.first_offset or 0, line.next_offset or 0
        is_seek = line.action == SEEK
        if not is_seek and self.transaction == (first, after):
            pass  # one transaction writes a line for each version or model
        elif first != self.next_offset:
            self.breaks.append(_broken(line.id, first, self.next_offset))
        elif not is_seek and after <= first:
            self.breaks.append(f"line {line.id} ends at {after}, where it begins or before")
        self.transaction = None if is_seek else (first, after)
        self.next_offset = after
        if is_seek:
            self.messages_below = self.messages_begun_below = 0
        elif after > self.last_seek_offset:
            self.messages_below += line.messages if after <= self.committed else 0
            self.messages_begun_below += line.messages if first < self.committed else 0


def _broken(line_id: int, first: int, expected: int) -> str:
    what = "gap" if first > expected else "overlap"
    return f"line {line_id} begins at {first}, the one before ended at {expected}: {what}"


@dataclass
class LedgerSummary:
    """The sums over an organization's ledger, built line by line in order of id."""

    shared: SharedState
    lines: int = 0
    unbalanced: list[int] = field(default_factory=list)
    stored: Counter[int] = field(default_factory=Counter)
    quarantined: Counter[tuple[str, int, int | None]] = field(default_factory=Counter)
    chains: dict[TopicPartition, OffsetChain] = field(default_factory=dict)

    def add(self, line: LedgerLine) -> None:
        """Add the next line: check its sum, and count what it stored, quarantined and moved."""
        self.lines += 1
        total = line.stored + line.duplicates + line.quarantined + line.dropped + line.removed
        if line.taken != total:
            self.unbalanced.append(line.id)
        if line.kind == "samples" and line.version_id is not None:
            self.stored[line.version_id] += line.stored
        if line.model_id is not None:
            self.quarantined[line.kind, line.model_id, line.version_id] += line.quarantined
        if line.partition is not None:
            self._chain(line.partition).add(line)

    def _chain(self, partition: TopicPartition) -> OffsetChain:
        if partition not in self.chains:
            _, seek_offset = self.shared.seeks.get(partition, (0, 0))
            self.chains[partition] = OffsetChain(self.shared.committed.get(partition, 0), seek_offset)
        return self.chains[partition]


def summarize(lines: Iterable[LedgerLine], shared: SharedState) -> LedgerSummary:
    """Sum up a ledger, reading each line once."""
    summary = LedgerSummary(shared)
    for line in lines:
        summary.add(line)
    return summary


def judge_organization(org_id: int, summary: LedgerSummary, state: OrganizationState) -> list[Finding]:
    """Return what does not add up in an organization."""
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
    says = "taken is not stored + duplicates + quarantined + dropped + removed"
    return [Finding("lines", f"line {line_id} of table batches", says, TABLES_DIFFER) for line_id in summary.unbalanced]


def _judge_version(stored: int, version: VersionState) -> list[Finding]:
    return [Finding(check, version.name, says, TABLES_DIFFER) for check, says in _disagreements(stored, version)]


def _disagreements(stored: int, version: VersionState) -> Iterator[tuple[str, str]]:
    if version.samples != stored:
        yield "samples", f"the ledger has {stored} samples stored, the table {version.samples}"
    if (version.ids, version.ids_sum) != (version.samples, version.samples_sum):
        which = "of other samples" if version.ids == version.samples else f"for {version.samples} samples"
        yield "ids", f"the id map has {version.ids} ids {which}"
    if version.quarters_off or version.counted != version.samples:
        says = f"{version.quarters_off} count other than their samples: {version.counted} for {version.samples}"
        yield "quarter hours", says
    if version.label_quarters_off:
        yield "labels", f"{version.label_quarters_off} quarter hours count other than their labels"
    if version.labels_without_sample:
        yield "labels", f"{version.labels_without_sample} labels have no sample"
    if version.labels_still_waiting:
        yield "labels", f"{version.labels_still_waiting} labels wait although their sample is stored"


def _judge_quarantine(summary: LedgerSummary, state: OrganizationState) -> list[Finding]:
    names = {version.version_id: version.name for version in state.versions}
    findings = []
    for key in sorted({*summary.quarantined, *state.quarantined}, key=str):
        kind, model_id, version_id = key
        if model_id not in state.models or (version_id is not None and version_id not in names):
            continue  # the model or version was deleted, and its rows with it
        in_ledger, in_table = summary.quarantined[key], state.quarantined.get(key, 0)
        if in_ledger != in_table:
            name = names.get(version_id, state.models[model_id]) if version_id else state.models[model_id]
            says = f"the ledger has {in_ledger} {kind} in quarantine, the table {in_table}"
            findings.append(Finding("quarantine", name, says, TABLES_DIFFER))
    return findings


def _judge_offsets(summary: LedgerSummary, state: OrganizationState) -> list[Finding]:
    findings = []
    for partition in sorted({*summary.chains, *state.offsets}):
        chain = summary.chains.get(partition, OffsetChain(0, 0))
        breaks, (offset, _) = list(chain.breaks), state.offsets.get(partition, (0, 0))
        if offset != chain.next_offset:
            breaks.append(f"the offset is {offset}, the last line ended at {chain.next_offset}")
        findings += _first_findings("offsets", partition, breaks)
    return findings


def _judge_messages(org_id: int, summary: LedgerSummary, state: OrganizationState) -> list[Finding]:
    """Compare the messages that an organization took with those that were committed for it.

    An organization that has not followed the last seek yet has taken nothing since: its partition is skipped.
    """
    findings = []
    shared = summary.shared
    for partition in sorted(shared.committed):
        seek, _ = shared.seeks.get(partition, (0, 0))
        if seek and state.offsets.get(partition, (0, 0))[1] != seek:
            continue
        chain = summary.chains.get(partition, OffsetChain(0, 0))
        parked = shared.parked.get((org_id, partition), 0)
        committed = shared.messages.get((partition, org_id), 0)
        if not (chain.messages_below <= committed and committed - parked <= chain.messages_begun_below):
            says = f"{committed} messages were found for it, {chain.messages_below} were taken, {parked} are parked"
            advice = "Read them again: dcmon ingest seek --to TIME. Rows that are stored are not stored twice."
            findings.append(Finding("messages", _described(partition), says, advice))
    return findings


def judge_public(shared: SharedState) -> list[Finding]:
    """Return what does not add up in "public"."""
    by_partition = defaultdict[TopicPartition, list[CommitRecord]](list)
    for commit in shared.commits:
        by_partition[commit.partition].append(commit)
    findings = []
    for partition in sorted({*by_partition, *shared.committed}):
        breaks = _breaks(by_partition[partition], shared.committed.get(partition))
        breaks += [says for commit in by_partition[partition] if (says := _count_error(commit, shared))]
        findings += _first_findings("floor", partition, breaks)
    return findings


def _first_findings(check: str, partition: TopicPartition, breaks: Sequence[str]) -> list[Finding]:
    advice = READ_AGAIN.format(count=len(breaks))
    return [Finding(check, _described(partition), says, advice) for says in breaks[:FINDINGS_PER_PARTITION]]


def _breaks(commits: Sequence[CommitRecord], committed: int | None) -> list[str]:
    breaks = [
        _broken(after.id, after.first_offset, before.next_offset)
        for before, after in pairwise(commits)
        if after.first_offset != before.next_offset
    ]
    breaks += [
        f"line {commit.id} ends before it begins"
        for commit in commits
        if commit.action != SEEK and commit.next_offset <= commit.first_offset
    ]
    last = commits[-1].next_offset if commits else None
    if committed != last:
        breaks.append(f"the committed offset is {committed}, the last line ended at {last}")
    return breaks


def _count_error(commit: CommitRecord, shared: SharedState) -> str | None:
    """Return what is wrong with the counts of a commit record, or None."""
    if commit.action == SEEK:
        return None
    offsets = shared.dead_letters.get(commit.partition, ())
    stored = bisect_left(offsets, commit.next_offset) - bisect_left(offsets, commit.first_offset)
    # More may be stored: a dead letter whose content PostgreSQL refused is counted as a message of its organization.
    if commit.dead > stored:
        return f"line {commit.id} counts {commit.dead} dead letters, {stored} are stored"
    if sum(commit.messages.values()) + commit.dead > commit.next_offset - commit.first_offset:
        return f"line {commit.id} counts more messages than it has offsets"
    return None


def _described(partition: TopicPartition) -> str:
    topic_id, number = partition
    return f"topic {topic_id}, partition {number}"

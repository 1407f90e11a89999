"""The audit's arithmetic: what the ledgers say must add up, join without a gap, and agree with what the tables hold.

Nothing is read here. In every line of an organization's ledger taken = stored + duplicates + quarantined + dropped +
removed. Lines with a partition move the organization's offset, spans move the floor: each begins where the one before
ended. What an organization took below the floor is what was found there for it, less what is parked.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

from dcmon.storage.ledger import TopicPartition

SHOWN = 3
OTHERS = "Something else than dcmon wrote here, or dcmon has a fault: compare it with a backup, and report it."


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
    """A move of the floor, with the messages in between by organization's id, and those that could not be read."""

    id: int
    action: str
    partition: TopicPartition
    first_offset: int
    next_offset: int
    messages: Mapping[int, int]
    dead: int


@dataclass(frozen=True)
class SharedState:
    """What lineage "public" knows: spans in order of id, floors, parked messages, offsets of dead letters in order."""

    spans: Sequence[CommitRecord] = ()
    floors: Mapping[TopicPartition, int] = field(default_factory=dict)
    parked: Mapping[tuple[int, TopicPartition], int] = field(default_factory=dict)
    dead: Mapping[TopicPartition, Sequence[int]] = field(default_factory=dict)

    @cached_property
    def seeks(self) -> Mapping[TopicPartition, tuple[int, int]]:
        """The number of each partition's last seek, and where it went to."""
        return {span.partition: (span.id, span.next_offset) for span in self.spans if span.action == "seek"}

    @cached_property
    def messages(self) -> Mapping[tuple[TopicPartition, int], int]:
        """How many messages of an organization were found below the floor since the last seek."""
        found = Counter[tuple[TopicPartition, int]]()
        for span in self.spans:
            if span.id > self.seeks.get(span.partition, (0, 0))[0]:
                for org_id, count in span.messages.items():
                    found[span.partition, org_id] += count
        return found


@dataclass(frozen=True)
class VersionState:
    """What the tables hold of a version; sums are fingerprints of keys, `off` are quarter hours that count wrong."""

    version_id: int
    name: str
    samples: int
    samples_sum: int
    ids: int
    ids_sum: int
    counted: int
    off: int
    labels_off: int
    labels_alone: int
    labels_unmet: int


@dataclass(frozen=True)
class OrganizationState:
    """What an organization holds: by version, quarantined rows by (kind, model, version), offsets with their seeks."""

    versions: Sequence[VersionState] = ()
    models: Mapping[int, str] = field(default_factory=dict)
    quarantined: Mapping[tuple[str, int, int | None], int] = field(default_factory=dict)
    offsets: Mapping[TopicPartition, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """Something that does not add up: in which check, where, in words, and what to do."""

    check: str
    where: str
    says: str
    advice: str


@dataclass
class OffsetChain:
    """A partition's offset, followed from line to line."""

    floor: int
    after: int
    next_offset: int = 0
    group: tuple[int, int] | None = None
    breaks: list[str] = field(default_factory=list)
    settled: int = 0  # messages in lines that end below the floor
    begun: int = 0  # messages in lines that begin below it

    def add(self, line: LedgerLine) -> None:
        """Take the next line of the partition, and note where it does not follow the one before."""
        first, after = line.first_offset or 0, line.next_offset or 0
        if line.action != "seek" and self.group == (first, after):
            pass  # one transaction writes a line for each target
        elif first != self.next_offset:
            self.breaks.append(_broken(line.id, first, self.next_offset))
        elif line.action != "seek" and after <= first:
            self.breaks.append(f"line {line.id} ends at {after}, where it begins or before")
        self.group = None if line.action == "seek" else (first, after)
        self.next_offset = after
        if line.action == "seek":
            self.settled = self.begun = 0
        elif after > self.after:
            self.settled += line.messages if after <= self.floor else 0
            self.begun += line.messages if first < self.floor else 0


def _broken(line_id: int, first: int, expected: int) -> str:
    what = "gap" if first > expected else "overlap"
    return f"line {line_id} begins at {first}, the one before ended at {expected}: {what}"


@dataclass
class LedgerSummary:
    """The ledger of an organization, line by line in order of id."""

    floors: SharedState
    lines: int = 0
    unbalanced: list[int] = field(default_factory=list)
    stored: Counter[int] = field(default_factory=Counter)
    quarantined: Counter[tuple[str, int, int | None]] = field(default_factory=Counter)
    chains: dict[TopicPartition, OffsetChain] = field(default_factory=dict)

    def add(self, line: LedgerLine) -> None:
        """Take the next line: its sum, what it stored and quarantined, and where it stands in its partition."""
        self.lines += 1
        ends = line.stored + line.duplicates + line.quarantined + line.dropped + line.removed
        if line.taken != ends:
            self.unbalanced.append(line.id)
        if line.kind == "samples" and line.version_id is not None:
            self.stored[line.version_id] += line.stored
        if line.model_id is not None:
            self.quarantined[line.kind, line.model_id, line.version_id] += line.quarantined
        if line.partition is not None:
            self._chain(line.partition).add(line)

    def _chain(self, partition: TopicPartition) -> OffsetChain:
        if partition not in self.chains:
            _, to = self.floors.seeks.get(partition, (0, 0))
            self.chains[partition] = OffsetChain(self.floors.floors.get(partition, 0), to)
        return self.chains[partition]


def summarize(lines: Iterable[LedgerLine], floors: SharedState) -> LedgerSummary:
    """Read a ledger once, from its beginning."""
    found = LedgerSummary(floors)
    for line in lines:
        found.add(line)
    return found


def judge_organization(org_id: int, found: LedgerSummary, there: OrganizationState) -> list[Finding]:
    """What does not add up in an organization."""
    return [
        *_judge_lines(found),
        *(finding for each in there.versions for finding in _judge_version(found.stored[each.version_id], each)),
        *_judge_quarantine(found, there),
        *_judge_offsets(found, there),
        *_judge_messages(org_id, found, there),
    ]


def _judge_lines(found: LedgerSummary) -> list[Finding]:
    return [
        Finding(
            "lines",
            f"line {line_id} of table batches",
            "taken is not stored + duplicates + quarantined + dropped + removed",
            OTHERS,
        )
        for line_id in found.unbalanced
    ]


def _judge_version(stored: int, there: VersionState) -> list[Finding]:
    return [Finding(check, there.name, says, OTHERS) for check, says in _disagreements(stored, there)]


def _disagreements(stored: int, there: VersionState) -> Iterator[tuple[str, str]]:
    if there.samples != stored:
        yield "samples", f"the ledger has {stored} samples stored, the table {there.samples}"
    if (there.ids, there.ids_sum) != (there.samples, there.samples_sum):
        which = "of other samples" if there.ids == there.samples else f"for {there.samples} samples"
        yield "ids", f"the id map has {there.ids} ids {which}"
    if there.off or there.counted != there.samples:
        yield "quarter hours", f"{there.off} count other than their samples: {there.counted} for {there.samples}"
    if there.labels_off:
        yield "labels", f"{there.labels_off} quarter hours count other than their labels"
    if there.labels_alone:
        yield "labels", f"{there.labels_alone} labels have no sample"
    if there.labels_unmet:
        yield "labels", f"{there.labels_unmet} labels wait though their sample is there"


def _judge_quarantine(found: LedgerSummary, there: OrganizationState) -> list[Finding]:
    names = {each.version_id: each.name for each in there.versions}
    findings = []
    for key in sorted({*found.quarantined, *there.quarantined}, key=str):
        kind, model_id, version_id = key
        if model_id not in there.models or (version_id is not None and version_id not in names):
            continue  # deleted, and its rows with it
        said, has = found.quarantined[key], there.quarantined.get(key, 0)
        if said != has:
            name = names.get(version_id, there.models[model_id]) if version_id else there.models[model_id]
            says = f"the ledger has {said} {kind} in quarantine, the table {has}"
            findings.append(Finding("quarantine", name, says, OTHERS))
    return findings


def _judge_offsets(found: LedgerSummary, there: OrganizationState) -> list[Finding]:
    findings = []
    for partition in sorted({*found.chains, *there.offsets}):
        chain = found.chains.get(partition, OffsetChain(0, 0))
        breaks, (stands, _) = list(chain.breaks), there.offsets.get(partition, (0, 0))
        if stands != chain.next_offset:
            breaks.append(f"the offset is {stands}, the last line ended at {chain.next_offset}")
        advice = f"Read it again from before that: dcmon ingest seek --to TIME. ({len(breaks)} in all.)"
        findings += [Finding("offsets", _named(partition), says, advice) for says in breaks[:SHOWN]]
    return findings


def _judge_messages(org_id: int, found: LedgerSummary, there: OrganizationState) -> list[Finding]:
    """One whose offset has not followed the last seek yet has taken nothing since: it is not judged."""
    findings = []
    floors = found.floors
    for partition in sorted(floors.floors):
        seek, _ = floors.seeks.get(partition, (0, 0))
        if seek and there.offsets.get(partition, (0, 0))[1] != seek:
            continue
        chain, parked = found.chains.get(partition, OffsetChain(0, 0)), floors.parked.get((org_id, partition), 0)
        sent = floors.messages.get((partition, org_id), 0)
        if not (chain.settled <= sent and sent - parked <= chain.begun):
            says = f"{sent} messages were found for it, {chain.settled} were taken, {parked} are parked"
            advice = "Read them again: dcmon ingest seek --to TIME. What is there is not stored twice."
            findings.append(Finding("messages", _named(partition), says, advice))
    return findings


def judge_public(floors: SharedState) -> list[Finding]:
    """What does not add up in lineage "public"."""
    by_partition = defaultdict[TopicPartition, list[CommitRecord]](list)
    for span in floors.spans:
        by_partition[span.partition].append(span)
    findings = []
    for partition in sorted({*by_partition, *floors.floors}):
        breaks = _breaks(by_partition[partition], floors.floors.get(partition))
        breaks += [says for span in by_partition[partition] if (says := _overfull(span, floors))]
        advice = f"Read it again from before that: dcmon ingest seek --to TIME. ({len(breaks)} in all.)"
        findings += [Finding("floor", _named(partition), says, advice) for says in breaks[:SHOWN]]
    return findings


def _breaks(spans: Sequence[CommitRecord], floor: int | None) -> list[str]:
    found = [
        _broken(after.id, after.first_offset, before.next_offset)
        for before, after in pairwise(spans)
        if after.first_offset != before.next_offset
    ]
    found += [
        f"line {s.id} ends before it begins" for s in spans if s.action != "seek" and s.next_offset <= s.first_offset
    ]
    if floor != (spans[-1].next_offset if spans else None):
        found.append(f"the floor is {floor}, the last line ended at {spans[-1].next_offset if spans else None}")
    return found  # fmt: skip


def _overfull(span: CommitRecord, floors: SharedState) -> str | None:
    """What is wrong with the counts of a span that was read."""
    if span.action == "seek":
        return None
    dead = floors.dead.get(span.partition, ())
    kept = bisect_left(dead, span.next_offset) - bisect_left(dead, span.first_offset)
    # More may be kept: a message that PostgreSQL refused is counted for its organization.
    if span.dead > kept:
        return f"line {span.id} counts {span.dead} dead letters, {kept} are kept"
    if sum(span.messages.values()) + span.dead > span.next_offset - span.first_offset:
        return f"line {span.id} counts more messages than it has offsets"
    return None


def _named(partition: TopicPartition) -> str:
    return f"topic {partition[0]}, partition {partition[1]}"

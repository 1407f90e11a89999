"""The audit accepts every correct history and finds a single change to it."""

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.ingestion import audit
from dcmon.ingestion.audit import Finding
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
from dcmon.storage.ledger import TopicPartition
from tests.helpers.examples import examples

TOPIC = uuid.UUID(int=7)
ORGS = (1, 2, 3)
VERSIONS, MODEL = (11, 12), 5
EMPTY = dict.fromkeys(("messages", "taken", "stored", "duplicates", "quarantined", "dropped", "removed"), 0)


@dataclass
class World:
    """Two partitions, three organizations, and workers that crash between two transactions.

    Each organization's transaction is committed first, the shared commit record last.
    """

    lines: dict[int, list[LedgerLine]] = field(default_factory=lambda: {org: [] for org in ORGS})
    stands: dict[tuple[int, int], int] = field(default_factory=dict)
    followed: dict[tuple[int, int], int] = field(default_factory=dict)
    commits: list[CommitRecord] = field(default_factory=list)
    committed: dict[int, int] = field(default_factory=dict)
    parked: dict[int, list[tuple[int, int]]] = field(default_factory=lambda: {org: [] for org in ORGS})
    dead_letters: set[tuple[int, int]] = field(default_factory=set)
    log: dict[int, list[int]] = field(default_factory=lambda: {0: [], 1: []})
    numbers: int = 0

    def seek_of(self, partition: int) -> tuple[int, int]:
        seeks = [s for s in self.commits if s.partition == TopicPartition(TOPIC, partition) and s.action == "seek"]
        return (seeks[-1].id, seeks[-1].next_offset) if seeks else (0, 0)

    def next_id(self) -> int:
        self.numbers += 1
        return self.numbers

    def line(self, org: int, action: str, kind: str, version: int | None, **values: object) -> None:
        own: dict[str, object] = {**EMPTY, "partition": None, "first_offset": None, "next_offset": None, **values}
        model = None if action == "seek" else MODEL
        self.lines[org].append(LedgerLine(self.next_id(), action, kind, model, version, **own))  # type: ignore[arg-type]

    def store(self, org: int, partition: int, offsets: Sequence[int]) -> None:
        """Store messages as the transaction of an organization does."""
        number, to = self.seek_of(partition)
        key = (org, partition)
        known = self.stands.get(key, 0)
        if self.followed.get(key, number if key not in self.stands else 0) != number and to < known:
            self.line(
                org,
                "seek",
                "samples",
                None,
                partition=TopicPartition(TOPIC, partition),
                first_offset=known,
                next_offset=to,
            )
            known = to
        self.followed[key] = number
        fresh = [offset for offset in offsets if offset >= known]
        self.stands[key] = known
        if not fresh:
            return
        place = {"partition": TopicPartition(TOPIC, partition), "first_offset": known, "next_offset": fresh[-1] + 1}
        for version in VERSIONS:
            version_offsets = [offset for offset in fresh if offset % 2 == version % 2]
            if version_offsets:
                bad = sum(offset % 5 == 0 for offset in version_offsets)
                rows = {
                    "taken": 3 * len(version_offsets) + bad,
                    "stored": 2 * len(version_offsets),
                    "duplicates": len(version_offsets),
                    "quarantined": bad,
                }
                self.line(org, "ingest", "samples", version, messages=len(version_offsets), **place, **rows)
        self.stands[key] = fresh[-1] + 1

    def read(self, partition: int, orgs: Sequence[int], blocked: int, crashes: bool) -> None:
        """Process a batch from the committed offset; in `orgs`, 0 is a message that can't be read."""
        log = self.log[partition]
        log += orgs
        first = self.committed.get(partition, 0)
        batch = list(range(first, len(log)))
        waits = set[int]()
        for org in ORGS:
            org_offsets = [offset for offset in batch if log[offset] == org]
            if org == blocked or any(part == partition for part, _ in self.parked[org]):
                waits.add(org)
            elif org_offsets:
                self.store(org, partition, org_offsets)
        if crashes or not batch:
            return
        counts = Counter(log[offset] for offset in batch if log[offset])
        self.dead_letters |= {(partition, offset) for offset in batch if not log[offset]}
        dead_letters = sum(not log[offset] for offset in batch)
        self.commits.append(
            CommitRecord(
                self.next_id(), "ingest", TopicPartition(TOPIC, partition), first, len(log), counts, dead_letters
            )
        )
        for org in waits:
            self.parked[org] += [(partition, offset) for offset in batch if log[offset] == org]
        self.committed[partition] = len(log)

    def release(self, org: int, crashes: bool) -> None:
        for partition in (0, 1):
            parked_offsets = [offset for part, offset in self.parked[org] if part == partition]
            if parked_offsets:
                self.store(org, partition, parked_offsets)
        if not crashes:
            self.parked[org] = []

    def seek(self, partition: int, share: float) -> None:
        if partition in self.committed and not any(self.parked.values()):
            stands = self.committed[partition]
            to = int(stands * share)
            self.commits.append(
                CommitRecord(self.next_id(), "seek", TopicPartition(TOPIC, partition), stands, to, {}, 0)
            )
            self.committed[partition] = to

    def correct(self, org: int, action: str) -> None:
        stored, quarantined = self.stored(org)[11], self.quarantined(org)[QuarantineTarget("samples", MODEL, 11)]
        if action == "delete" and stored:
            self.line(org, action, "samples", 11, stored=-stored, removed=stored)
        elif action == "retry" and quarantined > 1:
            self.line(org, action, "samples", 11, stored=1, duplicates=quarantined - 2, quarantined=1 - quarantined)
        elif action == "drop" and quarantined:
            self.line(org, action, "samples", 11, quarantined=-quarantined, removed=quarantined)

    def stored(self, org: int) -> Counter[int]:
        counts = Counter[int]()
        for line in self.lines[org]:
            if line.version_id is not None:
                counts[line.version_id] += line.stored
        return counts

    def quarantined(self, org: int) -> Counter[QuarantineTarget]:
        counts = Counter[QuarantineTarget]()
        for line in self.lines[org]:
            if line.model_id is not None:
                counts[QuarantineTarget(line.kind, line.model_id, line.version_id)] += line.quarantined
        return counts

    def public(self) -> SharedState:
        parked = {OrganizationPartition(org, TopicPartition(TOPIC, part)): 0 for org in ORGS for part in (0, 1)}
        for org, messages in self.parked.items():
            for part, _ in messages:
                parked[OrganizationPartition(org, TopicPartition(TOPIC, part))] += 1
        dead_letters = {
            TopicPartition(TOPIC, part): sorted(offset for at, offset in self.dead_letters if at == part)
            for part in (0, 1)
        }
        return SharedState(
            self.commits,
            {TopicPartition(TOPIC, part): offset for part, offset in self.committed.items()},
            parked,
            dead_letters,
        )

    def state(self, org: int) -> OrganizationState:
        stored = self.stored(org)
        versions = [
            VersionState(
                version,
                f"m/{version}",
                stored[version],
                9 * stored[version],
                stored[version],
                9 * stored[version],
                stored[version],
                0,
                0,
                0,
                0,
            )
            for version in VERSIONS
        ]
        offsets = {
            TopicPartition(TOPIC, part): OrganizationOffset(stands, self.followed.get((owner, part), 0))
            for (owner, part), stands in self.stands.items() if owner == org
        }  # fmt: skip
        return OrganizationState(versions, {MODEL: "m"}, +self.quarantined(org), offsets)


PARTITIONS, CHOSEN = st.integers(0, 1), st.sampled_from(ORGS)
STEPS = st.one_of(
    st.tuples(st.just("read"), PARTITIONS, st.lists(st.integers(0, 3), max_size=6), st.integers(0, 9), st.booleans()),
    st.tuples(st.just("release"), CHOSEN, st.booleans()),
    st.tuples(st.just("seek"), PARTITIONS, st.floats(0, 1)),
    st.tuples(st.just("correct"), CHOSEN, st.sampled_from(["delete", "retry", "drop"])),
)
HISTORIES = st.lists(STEPS, max_size=25)


def history(steps: Sequence[tuple[object, ...]]) -> World:
    world = World()
    for name, *values in steps:
        getattr(world, str(name))(*values)
    return world


def findings(
    world: World, lines: Mapping[int, Sequence[LedgerLine]] | None = None, public: SharedState | None = None
) -> list[Finding]:
    shared = public or world.public()
    public_findings = audit.judge_public(shared)
    for org in ORGS:
        summary = audit.summarize((lines or world.lines)[org], shared)
        public_findings += audit.judge_organization(org, summary, world.state(org))
    return public_findings


@given(HISTORIES)
@settings(max_examples=examples(300))
def test_correct_history_passes_the_audit(steps: list[tuple[object, ...]]) -> None:
    assert findings(history(steps)) == []


COUNTS = ("taken", "stored", "duplicates", "quarantined", "dropped", "removed")


@given(HISTORIES, st.data())
@settings(max_examples=examples(300))
def test_changed_count_of_a_line_is_found(steps: list[tuple[object, ...]], data: st.DataObject) -> None:
    world = history(steps)
    changed = [(org, at) for org in ORGS for at in range(len(world.lines[org]))]
    if not changed:
        return
    org, at = data.draw(st.sampled_from(changed))
    name, by = data.draw(st.sampled_from(COUNTS)), data.draw(st.integers(-3, 3).filter(bool))
    line = world.lines[org][at]
    lines = {**world.lines, org: [*world.lines[org]]}
    lines[org][at] = replace(line, **{name: getattr(line, name) + by})
    assert any(finding.where == f"line {line.id} of table batches" for finding in findings(world, lines))


@given(HISTORIES, st.data())
@settings(max_examples=examples(300))
def test_lost_line_that_stored_rows_is_found(steps: list[tuple[object, ...]], data: st.DataObject) -> None:
    world = history(steps)
    lost = [(org, at) for org in ORGS for at, line in enumerate(world.lines[org]) if line.stored or line.quarantined]
    if not lost:
        return
    org, at = data.draw(st.sampled_from(lost))
    lines = {**world.lines, org: world.lines[org][:at] + world.lines[org][at + 1 :]}
    assert {finding.check for finding in findings(world, lines)} & {"samples", "quarantine"}


@given(HISTORIES, st.data())
@settings(max_examples=examples(300))
def test_gap_or_overlap_of_offsets_is_found(steps: list[tuple[object, ...]], data: st.DataObject) -> None:
    world = history(steps)
    with_offsets = [(org, at) for org in ORGS for at, line in enumerate(world.lines[org]) if line.partition]
    if not with_offsets:
        return
    org, at = data.draw(st.sampled_from(with_offsets))
    name, by = data.draw(st.sampled_from(["first_offset", "next_offset"])), data.draw(st.integers(-3, 3).filter(bool))
    line = world.lines[org][at]
    lines = {**world.lines, org: [*world.lines[org]]}
    lines[org][at] = replace(line, **{name: getattr(line, name) + by})
    assert "offsets" in {finding.check for finding in findings(world, lines)}


@given(HISTORIES, st.data())
@settings(max_examples=examples(300))
def test_changed_commit_record_is_found(steps: list[tuple[object, ...]], data: st.DataObject) -> None:
    world = history(steps)
    public = world.public()
    if not public.commits:
        return
    at = data.draw(st.integers(0, len(public.commits) - 1))
    name, by = data.draw(st.sampled_from(["first_offset", "next_offset"])), data.draw(st.integers(-3, 3).filter(bool))
    commit = public.commits[at]
    is_first = all(earlier.partition != commit.partition for earlier in public.commits[:at])
    changed = replace(commit, **{name: getattr(commit, name) + by})
    if (
        is_first
        and name == "first_offset"
        and changed.next_offset - changed.first_offset >= sum(commit.messages.values())
    ):
        return  # only Kafka knows where the log of a topic began
    commits = [*public.commits[:at], changed, *public.commits[at + 1 :]]
    assert "committed offset" in {finding.check for finding in audit.judge_public(replace(public, commits=commits))}


def settled() -> World:
    """Return ten messages of two organizations, all stored and committed."""
    world = World()
    world.read(0, [1, 2, 1, 1, 2, 0, 1, 2, 2, 1], 0, crashes=False)
    assert findings(world) == []
    return world


@pytest.mark.parametrize("by", [-1, 1])
def test_lost_or_doubled_message_is_found(by: int) -> None:
    world = settled()
    line = world.lines[1][0]
    lines = {**world.lines, 1: [replace(line, messages=line.messages + by), *world.lines[1][1:]]}
    assert {(finding.check, "partition 0" in finding.where) for finding in findings(world, lines)} == {
        ("messages", True)
    }


def test_lost_parked_message_is_found() -> None:
    world = World()
    world.read(0, [1, 2, 1], blocked=1, crashes=False)
    assert findings(world) == []
    world.parked[1].pop()
    assert [finding.check for finding in findings(world)] == ["messages"]


def test_lost_dead_letters_are_found() -> None:
    world = settled()
    world.dead_letters.clear()
    assert "1 dead letters, 0 are stored" in findings(world)[0].message


@pytest.mark.parametrize(
    ("name", "check"),
    [("samples", "samples"), ("samples_sum", "ids"), ("ids", "ids"), ("ids_sum", "ids"), ("counted", "quarter hours"),
     ("quarters_off", "quarter hours"), ("label_quarters_off", "labels"), ("labels_without_sample", "labels"),
     ("labels_still_waiting", "labels")],
)  # fmt: skip
def test_table_with_other_rows_is_found(name: str, check: str) -> None:
    world = settled()
    state = world.state(1)
    one, *other_versions = state.versions
    changed = replace(state, versions=[replace(one, **{name: getattr(one, name) + 1}), *other_versions])
    findings = audit.judge_organization(1, audit.summarize(world.lines[1], world.public()), changed)
    assert check in {finding.check for finding in findings}
    assert {finding.where for finding in findings} == {one.name}


def test_lost_quarantined_row_is_found() -> None:
    """Rows of a deleted version are not expected."""
    world = settled()
    state, summary = world.state(1), audit.summarize(world.lines[1], world.public())
    findings = audit.judge_organization(1, summary, replace(state, quarantined={}))
    assert [finding.check for finding in findings] == ["quarantine"]
    deleted = replace(
        state, versions=[version for version in state.versions if version.version_id == 11], quarantined={}
    )
    assert audit.judge_organization(1, summary, replace(deleted, models={})) == []


def test_offset_without_ledger_lines_is_found() -> None:
    world = settled()
    state, summary = world.state(1), audit.summarize([], world.public())
    assert "offsets" in {finding.check for finding in audit.judge_organization(1, summary, state)}
    assert audit.judge_public(SharedState(committed={TopicPartition(TOPIC, 0): 5})) != []

"""Labels that arrive while the month of their samples is pruned are not lost, and the audit always agrees."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random

import pytest
from sqlalchemy import text

from dcmon import db
from dcmon.ingestion import audit_reader
from dcmon.ingestion.audit import Finding
from dcmon.storage import pruning_transactions, versions
from tests.integration.conftest import Target
from tests.integration.storage.test_pruning import NOW, held, ingest_labels, label, pruned, require_agreement, row, take

JANUARY = datetime(2026, 1, 10, tzinfo=UTC)
EARLY = JANUARY + timedelta(days=1)  # when the rows were logged: young then


def january(first: int, after: int) -> list[bytes]:
    return [row(number, JANUARY + timedelta(minutes=number)) for number in range(first, after)]


def label_rows(first: int, after: int) -> list[bytes]:
    return [label(number) for number in range(first, after)]


def stop_after(calls: int) -> Iterator[bool]:
    return (at >= calls for at in count())


def prune_some(target: Target, calls: int) -> None:
    stop = stop_after(calls)
    pruned(target, is_over=lambda: next(stop))


def audit_findings(target: Target) -> list[Finding]:
    public, org = audit_reader.run_audit(target.engine, [target.org])
    assert org.left_out is None
    return [*public.findings, *org.findings]


def waiting(target: Target) -> int:
    with db.org_session(target.engine, target.org) as session:
        model, _ = versions.get(session, target.version_id)
        return int(session.scalar(text(f"select count(*) from orphan_labels_{model.relation}")) or 0)


def test_label_during_a_prune_waits_for_its_sample(target: Target) -> None:
    """The audit finds no difference."""
    take(target, [*january(0, 60), row(100, NOW)], EARLY)
    take(target, [row(100, NOW)])
    ingest_labels(target, label_rows(0, 30))
    prune_some(target, 1)
    assert held(target)["left"] == 1
    assert audit_findings(target) == []

    ingest_labels(target, label_rows(20, 50), NOW + timedelta(seconds=1))
    assert audit_findings(target) == []
    pruned(target)

    assert audit_findings(target) == []
    require_agreement(target)
    assert waiting(target) == 30
    take(target, january(0, 60), EARLY)
    assert target.labels == 30
    assert audit_findings(target) == []


@pytest.mark.parametrize("label_first", [True, False])
def test_recreated_quarter_hour_counts_only_its_own_labels(target: Target, label_first: bool) -> None:
    take(target, january(0, 15), EARLY)
    prune_some(target, 1)
    assert audit_findings(target) == []

    again = [row(200 + number, JANUARY + timedelta(minutes=number)) for number in range(10)]
    if label_first:
        ingest_labels(target, label_rows(0, 8))
    take(target, again, EARLY)
    assert audit_findings(target) == []
    ingest_labels(target, [*label_rows(5, 15), *label_rows(200, 204)], NOW + timedelta(seconds=1))
    assert audit_findings(target) == []
    prune_some(target, 3)
    assert audit_findings(target) == []


@pytest.mark.parametrize("seed", range(6))
def test_audit_agrees_between_any_two_steps_of_a_prune(
    target: Target, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning_transactions, "ROWS_AT_ONCE", 10)
    random, logged = Random(seed), (NOW + timedelta(seconds=second) for second in count())
    take(target, january(0, 60), EARLY)
    ingest_labels(target, label_rows(0, 60))
    for _ in range(14):
        match random.randrange(4):
            case 0:
                first = random.randrange(60)
                ingest_labels(target, label_rows(first, first + 20), next(logged))
            case 1:
                first = random.randrange(50)
                take(target, january(first, first + 10), EARLY + timedelta(seconds=random.randrange(60)))
            case _:
                prune_some(target, random.randrange(6))
        assert audit_findings(target) == []
    pruned(target)

    assert audit_findings(target) == []
    require_agreement(target)


def test_foreign_change_is_found_while_a_month_is_pruned(target: Target) -> None:
    """A change made outside of dcmon is found."""
    take(target, january(0, 60), EARLY)
    take(target, [row(number, NOW - timedelta(minutes=number)) for number in range(100, 160)])
    ingest_labels(target, label_rows(100, 160))
    prune_some(target, 1)
    assert audit_findings(target) == []
    with db.org_session(target.engine, target.org) as session:
        _, version = versions.get(session, target.version_id)
        session.execute(text(f"update labels_{version.relation} set k = gen_random_uuid() where label = '1'"))
    assert {finding.check for finding in audit_findings(target)} == {"labels"}

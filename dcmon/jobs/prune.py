"""Prune organizations: delete rows past their retention. An organization that can't be entered is skipped."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event

from sqlalchemy import text

from dcmon import db, errors
from dcmon.app import App
from dcmon.db import Organization
from dcmon.storage import expiry, pruning
from dcmon.storage.expiry import Counts, TableOfVersion, Terms
from dcmon.storage.pruning_transactions import WAIT, Prune
from dcmon.tenancy import audit_log, deletion, idempotency, organizations

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pruned:
    """The result of a prune: the deleted rows, or the error that prevented it."""

    org: Organization
    removed: Counts = field(default_factory=Counts)
    skipped: errors.DcmonError | None = None


def run(app: App, stop: Event) -> None:
    """Prune all organizations once, for the scheduler. When stop is set, the others wait for the next run."""
    try:
        with app.public() as session:
            orgs = organizations.entries(session)
    except errors.DcmonError as error:
        log.warning("waiting: %s", error)
        return
    for pruned in prune(app, orgs, "scheduler", stop):
        if pruned.skipped is not None:
            log.warning("organization %s was not pruned: %s", pruned.org.name, pruned.skipped)
        for place, rows in sorted(pruned.removed.items()):
            log.info(
                "organization %s: pruned %d %s of %s %s", pruned.org.name, rows, place.table, place.model, place.version
            )


def prune(
    app: App, orgs: Sequence[Organization], by: str, stop: Event | None = None, *, is_fast: bool = False
) -> list[Pruned]:
    """Prune organizations one after another, then the log of changes of "public", where all have entries.

    `by` is recorded as the operator; `is_fast` omits the pauses. Interrupted deletions of organizations are finished.
    """
    deletion.finish_all(app.engine)
    is_over = stop.is_set if stop is not None else lambda: False
    pruned_orgs = []
    for org in orgs:
        if is_over():
            break
        try:
            removed = pruning.run(Prune(app.engine, org, terms(app, org), by, is_over, is_fast))
            _record(app, org, removed)
            removed += _prune_audit_log(app, org, is_over)
            idempotency.delete_old(app.engine, org, app.settings.http.idempotency_retention)
            pruned_orgs.append(Pruned(org, removed))
        except errors.DcmonError as error:
            pruned_orgs.append(Pruned(org, skipped=error))
    _prune_public_audit_log(app, is_over)
    return pruned_orgs


def _record(app: App, org: Organization, removed: Counts) -> None:
    """Record how many rows a prune deleted, by table. The ledger has no line of results, alerts and notifications."""
    rows: Counter[str] = Counter()
    for place, count in removed.items():
        rows[place.table] += count
    if rows:
        with db.org_session(app.engine, org, wait=WAIT) as session:
            audit_log.record(session, "retention", "prune", rows)


def _prune_audit_log(app: App, org: Organization, is_over: Callable[[], bool]) -> Counts:
    """Delete old entries of an organization's log of changes."""
    rows = audit_log.prune(app.engine, org, app.settings.audit_log.retention, is_over)
    return +Counts({TableOfVersion("", "", "audit_log"): rows})


def _prune_public_audit_log(app: App, is_over: Callable[[], bool]) -> None:
    """Delete old entries of the log of changes in "public". They belong to no organization; the log has their count."""
    try:
        rows = audit_log.prune_public(app.engine, app.settings.audit_log.retention, is_over)
    except errors.DcmonError as error:
        log.warning("old entries of the log of changes in public were not deleted: %s", error)
        return
    if rows:
        log.info("pruned %d entries of the log of changes in public", rows)


def count_expired(app: App, orgs: Sequence[Organization]) -> list[Pruned]:
    """Count the rows that a prune would delete."""
    pruned_orgs = []
    for org in orgs:
        try:
            now = terms(app, org)
            with db.org_session(app.engine, org, snapshot=True, wait=WAIT) as session:
                pruned_orgs.append(Pruned(org, expiry.count_expired(session, now)))
        except errors.DcmonError as error:
            pruned_orgs.append(Pruned(org, skipped=error))
    return pruned_orgs


def terms(app: App, org: Organization) -> Terms:
    """Return the terms of an organization now."""
    with app.public() as session:
        # Use the earlier of two clocks: with a clock that jumped ahead, a prune would delete everything.
        now = min(datetime.now(UTC), session.execute(text("select now()")).scalar_one())
        return Terms(*organizations.terms(session, org), now)

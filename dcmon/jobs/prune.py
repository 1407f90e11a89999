"""Prune every organization: what is past its retention goes. One that can't be entered is left for the next time."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event

from sqlalchemy import text

from dcmon import db, errors
from dcmon.app import App
from dcmon.db import Organization
from dcmon.storage import expiry, pruning
from dcmon.storage.expiry import Counts, Terms
from dcmon.storage.pruning_transactions import WAIT, Prune
from dcmon.tenancy import organizations

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pruned:
    """What went out of an organization, or why it was left out."""

    org: Organization
    removed: Counts = field(default_factory=Counts)
    left_out: errors.DcmonError | None = None


def run(app: App, stop: Event) -> None:
    """Prune once, for the scheduler; what is left when stop is set goes the next time."""
    try:
        with app.public() as session:
            orgs = organizations.entries(session)
    except errors.DcmonError as error:
        log.warning("waiting: %s", error)
        return
    for pruned in prune(app, orgs, "scheduler", stop):
        if pruned.left_out is not None:
            log.warning("organization %s was not pruned: %s", pruned.org.name, pruned.left_out)
        for place, rows in sorted(pruned.removed.items()):
            log.info(
                "organization %s: pruned %d %s of %s %s", pruned.org.name, rows, place.table, place.model, place.version
            )


def prune(
    app: App, orgs: Sequence[Organization], by: str, stop: Event | None = None, *, is_fast: bool = False
) -> list[Pruned]:
    """Prune organizations one after the other; `is_fast`: without pauses."""
    is_over = stop.is_set if stop is not None else lambda: False
    done = []
    for org in orgs:
        if is_over():
            break
        try:
            removed = pruning.run(Prune(app.engine, org, _terms(app, org), by, is_over, is_fast))
            done.append(Pruned(org, removed))
        except errors.DcmonError as error:
            done.append(Pruned(org, left_out=error))
    return done


def extent(app: App, orgs: Sequence[Organization]) -> list[Pruned]:
    """What a prune would take out of organizations."""
    done = []
    for org in orgs:
        try:
            terms = _terms(app, org)
            with db.org_session(app.engine, org, snapshot=True, wait=WAIT) as session:
                done.append(Pruned(org, expiry.count_expired(session, terms)))
        except errors.DcmonError as error:
            done.append(Pruned(org, left_out=error))
    return done


def _terms(app: App, org: Organization) -> Terms:
    with app.public() as session:
        # The earlier of two clocks: one that jumped ahead would take everything out.
        now = min(datetime.now(UTC), session.execute(text("select now()")).scalar_one())
        return Terms(*organizations.terms(session, org), now)

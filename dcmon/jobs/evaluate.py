"""Evaluate due windows: claim, compute, store; any number of these work beside one another."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING

from dcmon import db, due, errors, evaluation, organizations, planning, wake
from dcmon.app import App
from dcmon.db import Organization
from dcmon.due import Claim
from dcmon.errors import DcmonError
from dcmon.tables.org import Version
from dcmon.wake import Work

if TYPE_CHECKING:
    from dcmon.bench import Bench

log = logging.getLogger(__name__)

IDLE = timedelta(milliseconds=200)
CLAIMED_AT_ONCE = 8
TRIES, PAUSE = 3, timedelta(seconds=1)


def run(app: App, stop: Event) -> None:
    """Evaluate until stop is set. A dependency that is away is waited for."""
    from dcmon.bench import Bench  # loads deepchecks: only this worker needs it

    bench, is_away = Bench(), False
    while not stop.is_set():
        try:
            worked = _turn(app, bench, stop)
            if is_away:
                log.warning("PostgreSQL is back: evaluating again")
            is_away = False
        except errors.OrganizationNotFound as error:
            log.info("gone meanwhile: %s", error)
            worked = True
        except (errors.Unreachable, errors.Locked, errors.SchemaOutOfDate, errors.DiskFull) as error:
            if not is_away:
                log.warning("waiting: %s", error)
            worked, is_away = False, True
            stop.wait(1)
        if not worked:
            stop.wait(IDLE.total_seconds())


def _turn(app: App, bench: "Bench", stop: Event) -> bool:
    """Serve one organization that has work; False when none has."""
    lease = app.settings.evaluate.lease
    with app.public() as session:
        picked = wake.pick(session, Work.evaluate, lease)
        org = organizations.by_id(session, picked[0]) if picked else None
    if picked is None or org is None:
        return False
    with db.org_session(app.engine, org) as session:
        due.expand(session, org.retention)
    with db.org_session(app.engine, org) as session:
        claims = due.claim(session, CLAIMED_AT_ONCE, lease)
    for position, claim in enumerate(claims):
        if stop.is_set():
            _give_back(app, org, claims[position:])
            break
        _one(app, org, claim, claims[position:], bench)
    with db.org_session(app.engine, org) as session:
        next_at = due.next_at(session)
    with app.public() as session:
        wake.rest(session, org.id, Work.evaluate, picked[1], next_at)
    return bool(claims)


def _one(app: App, org: Organization, claim: Claim, waiting: Sequence[Claim], bench: "Bench") -> None:
    """Evaluate a window so that its failure costs itself only: tried again, then kept as ERROR with the reason."""
    try:
        evaluate(app, org, claim, waiting, bench)
    except DcmonError:
        raise
    except Exception as error:
        if not _is_there(app, org, claim):
            log.info("version %d was deleted while its window was evaluated", claim.version_id)
            return
        log.exception("window [%s, %s) of version %d failed", claim.window.start, claim.window.end, claim.version_id)
        _fail(app, org, claim, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")


def _is_there(app: App, org: Organization, claim: Claim) -> bool:
    with db.org_session(app.engine, org) as session:
        return session.get(Version, claim.version_id) is not None


def _fail(app: App, org: Organization, claim: Claim, reason: str) -> None:
    now = datetime.now(UTC)
    with db.org_session(app.engine, org) as session:
        if claim.attempts < TRIES:
            due.postpone(session, claim, PAUSE * 2**claim.attempts)
            return
        settings = app.settings.evaluate
        plan = planning.plan(session, claim.version_id, claim.window, claim.touched_at, settings, now)
        evaluation.store(session, org, plan, evaluation.failed(plan, reason), app.settings.url)
        due.finish(session, claim, plan.again_at)


def evaluate(app: App, org: Organization, claim: Claim, waiting: Sequence[Claim], bench: "Bench") -> None:
    """Evaluate one claimed window: read in one snapshot, store in one transaction, then ring for the notifications."""
    settings = app.settings.evaluate
    with db.org_session(app.engine, org) as session:
        due.renew(session, waiting, settings.lease)
    with db.org_session(app.engine, org, snapshot=True) as session:
        plan = planning.plan(session, claim.version_id, claim.window, claim.touched_at, settings, datetime.now(UTC))
        answers = evaluation.compute(session, org, plan, settings, bench)
    with db.org_session(app.engine, org) as session:
        done = evaluation.store(session, org, plan, answers, app.settings.url)
        due.finish(session, claim, plan.again_at)
    if done["notifications"]:
        with app.public() as session:
            wake.ring(session, org.id, Work.notify)
    log.info(
        "evaluated %d monitors of version %d in [%s, %s): %d results, %d notifications",
        len(answers), claim.version_id, claim.window.start, claim.window.end, done["results"], done["notifications"],
    )  # fmt: skip


def _give_back(app: App, org: Organization, claims: Sequence[Claim]) -> None:
    """On the way out: let others have what is not begun."""
    with db.org_session(app.engine, org) as session:
        for claim in claims:
            due.finish(session, claim, datetime.now(UTC))

"""The loop of a worker. It serves one organization per poll, and waits during outages of PostgreSQL."""

import logging
from collections.abc import Callable
from datetime import timedelta
from threading import Event
from typing import NamedTuple

from dcmon import errors
from dcmon.app import App
from dcmon.db import Organization, work_queue
from dcmon.db.work_queue import Work
from dcmon.tenancy import organizations

OUTAGES = (errors.Unreachable, errors.Locked, errors.SchemaOutOfDate, errors.DiskFull)


def poll_until_stopped(stop: Event, poll: Callable[[], bool], idle: timedelta, log: logging.Logger) -> None:
    """Call `poll` until stop is set. After True (it found work) call again immediately, else after `idle`.

    During an outage the loop retries every second. The outage is logged once, and its end is logged once.
    """
    has_outage = False
    while not stop.is_set():
        try:
            has_worked = poll()
            if has_outage:
                log.warning("PostgreSQL can be reached again: work continues")
            has_outage = False
        except errors.OrganizationNotFound as error:
            log.info("an organization was deleted while it was served: %s", error)
            has_worked = True
        except OUTAGES as error:
            if not has_outage:
                log.warning("waiting: %s", error)
            has_worked, has_outage = False, True
            stop.wait(1)
        if not has_worked:
            stop.wait(idle.total_seconds())


class ClaimedOrganization(NamedTuple):
    """An organization that this worker claimed from the work queue. `seq` is needed to release it."""

    org: Organization
    seq: int


def claim_organization(app: App, work: Work, hold: timedelta) -> ClaimedOrganization | None:
    """Claim an organization that has due work, for `hold`. None if there is no such organization."""
    with app.public() as session:
        claim = work_queue.claim(session, work, hold)
        org = organizations.by_id(session, claim.org_id) if claim else None
    return ClaimedOrganization(org, claim.seq) if claim is not None and org is not None else None

"""The loop of a worker that serves one organization per poll and waits during outages of PostgreSQL."""

import logging
from collections.abc import Callable
from datetime import timedelta
from threading import Event

from dcmon import errors

OUTAGES = (errors.Unreachable, errors.Locked, errors.SchemaOutOfDate, errors.DiskFull)


def poll_until_stopped(stop: Event, poll: Callable[[], bool], idle: timedelta, log: logging.Logger) -> None:
    """Call `poll` until stop is set: again at once if it found work (True), else after a pause of `idle`.

    During an outage the loop retries every second. It logs the outage once, and its end once.
    """
    has_outage = False
    while not stop.is_set():
        try:
            has_worked = poll()
            if has_outage:
                log.warning("PostgreSQL can be reached again: work continues")
            has_outage = False
        except errors.OrganizationNotFound as error:
            log.info("organization deleted meanwhile: %s", error)
            has_worked = True
        except OUTAGES as error:
            if not has_outage:
                log.warning("waiting: %s", error)
            has_worked, has_outage = False, True
            stop.wait(1)
        if not has_worked:
            stop.wait(idle.total_seconds())

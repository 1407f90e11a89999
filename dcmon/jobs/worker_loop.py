"""The loop of a worker that serves one organization at a time, and waits while PostgreSQL is away."""

import logging
from collections.abc import Callable
from datetime import timedelta
from threading import Event

from dcmon import errors

AWAY = (errors.Unreachable, errors.Locked, errors.SchemaOutOfDate, errors.DiskFull)


def take_turns(stop: Event, turn: Callable[[], bool], idle: timedelta, log: logging.Logger) -> None:
    """Take turns until stop is set: at once after one that found work (True), else after a pause.

    What can't be reached is waited for, which is said once, and once more when it is back.
    """
    is_away = False
    while not stop.is_set():
        try:
            worked = turn()
            if is_away:
                log.warning("PostgreSQL is back: going on")
            is_away = False
        except errors.OrganizationNotFound as error:
            log.info("gone meanwhile: %s", error)
            worked = True
        except AWAY as error:
            if not is_away:
                log.warning("waiting: %s", error)
            worked, is_away = False, True
            stop.wait(1)
        if not worked:
            stop.wait(idle.total_seconds())

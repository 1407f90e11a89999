"""Computations of requests: a few at a time, each for a bounded time, in threads, and none for a client that left."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, LifoQueue
from typing import NamedTuple, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Request
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from starlette.requests import ClientDisconnect

from dcmon import db, errors
from dcmon.app import App
from dcmon.checks.evaluator import CheckEvaluator
from dcmon.http.request_scope import IS_HALF_CLOSED
from dcmon.monitoring.ad_hoc_runs import Computer
from dcmon.monitoring.reference_cache import ReferenceCache

log = logging.getLogger(__name__)
T = TypeVar("T")
MAX_WAITING = 20  # requests that wait for a computation to end; more get 503 at once
LONG = 5  # how many times as long a long computation may take; one runs at a time, so that others have a slot
RETRY_AFTER = 5  # seconds, for a client that got 503
POLL_SECONDS = 0.25  # between two looks whether the client is still there
MAX_MEMORY = 800_000_000  # bytes; a quarter of it is for the rows of one sample
MAX_CACHED_REFERENCES = 8
QUERY_CANCELED, UNDEFINED_TABLE = "57014", "42P01"


class ClientLeft(Exception):
    """The client closed its connection before its values were computed."""


class _Limit(NamedTuple):
    """How long a computation may take, and until when (time.monotonic())."""

    seconds: float
    deadline: float


class Computations:
    """The computations of a process of the endpoint.

    They run in threads of their own, so that no other request waits for a thread.
    """

    def __init__(self, app: App) -> None:
        settings = app.settings
        count = settings.http.computations
        self._seconds = settings.http.computation_time.total_seconds()
        self._evaluate = settings.evaluate.model_copy(update={"memory": min(settings.evaluate.memory, MAX_MEMORY)})
        self._references = ReferenceCache(MAX_CACHED_REFERENCES)
        self._evaluators = LifoQueue[CheckEvaluator]()
        self._long = asyncio.Semaphore(1)
        self._slots, self._threads, self._waiting = asyncio.Semaphore(count), CapacityLimiter(count), 0

    async def run_long(self, request: Request, work: Callable[[Computer], T]) -> T:
        """Run `work` as `run` does, for LONG times as long."""
        if self._waiting >= MAX_WAITING:
            raise errors.TooBusy(retry_after=RETRY_AFTER)
        self._waiting += 1
        try:
            await asyncio.wait_for(self._long.acquire(), self._seconds)
        except TimeoutError as error:
            raise errors.TooBusy(retry_after=RETRY_AFTER) from error
        finally:
            self._waiting -= 1
        try:
            return await self.run(request, work, LONG * self._seconds)
        finally:
            self._long.release()

    async def run(self, request: Request, work: Callable[[Computer], T], seconds: float | None = None) -> T:
        """Run `work` in a thread, and return what it returns.

        `seconds`: how long it may take; None for DCMON_HTTP__COMPUTATION_TIME. Raises TooBusy if too many computations
        wait or this one waited too long, ComputationTooLong, and all errors of `work`.
        """
        if self._slots.locked() and self._waiting >= MAX_WAITING:
            raise errors.TooBusy(retry_after=RETRY_AFTER)
        limit, ended = seconds or self._seconds, threading.Event()
        self._waiting += 1
        try:
            await asyncio.wait_for(self._slots.acquire(), self._seconds)
        except TimeoutError as error:
            raise errors.TooBusy(retry_after=RETRY_AFTER) from error
        finally:
            self._waiting -= 1
        deadline = time.monotonic() + limit  # from now on: the wait for a slot is bounded by itself
        watcher = asyncio.create_task(_watch(request, ended))
        try:
            return await to_thread.run_sync(self._run, work, _Limit(limit, deadline), ended, limiter=self._threads)
        except ClientLeft as error:
            raise ClientDisconnect from error
        finally:
            ended.set()
            watcher.cancel()
            self._slots.release()

    def _run(self, work: Callable[[Computer], T], limit: _Limit, ended: threading.Event) -> T:
        def wait(session: Session | None) -> None:
            """Raise an exception if the request must end; bound the next statements of the session."""
            remaining = limit.deadline - time.monotonic()
            if ended.is_set():
                raise ClientLeft
            if remaining <= 0:
                raise errors.ComputationTooLong(seconds=f"{limit.seconds:g}")
            if session is not None:
                limit_statements(session, remaining)

        try:
            evaluator = self._evaluators.get_nowait()
        except Empty:
            evaluator = CheckEvaluator(self._evaluate)
        try:
            return work(Computer(self._evaluate, self._references, evaluator, wait))
        except DBAPIError as error:
            raise translated(error, limit.seconds) from error
        finally:
            self._evaluators.put(evaluator)


def limit_statements(session: Session, seconds: float) -> None:
    """Let PostgreSQL cancel each further statement of the transaction that takes longer."""
    milliseconds = str(max(1, int(seconds * 1000)))
    session.execute(text("select set_config('statement_timeout', :limit, true)"), {"limit": milliseconds})


def translated(error: DBAPIError, seconds: float) -> Exception:
    """Return the error of dcmon for a statement that took too long, or whose version was deleted meanwhile."""
    if db.sqlstate(error) == QUERY_CANCELED:
        return errors.ComputationTooLong(seconds=f"{seconds:g}")
    if db.sqlstate(error) == UNDEFINED_TABLE:
        return errors.NotFound("A version of the model was deleted meanwhile. Send the request again.")
    return error


async def _watch(request: Request, ended: threading.Event) -> None:
    """Set `ended` when the client closes its connection, or its side of it."""
    with suppress(asyncio.CancelledError):
        while not (request.scope["state"].get(IS_HALF_CLOSED) or await request.is_disconnected()):
            await asyncio.sleep(POLL_SECONDS)
        log.debug("the client of %s left, so its computation ends", request.scope["path"])
        ended.set()


def of(request: Request) -> Computations:
    """Return the computations of the process that answers a request."""
    state = request.app.state
    if not hasattr(state, "computations"):
        state.computations = Computations(state.app)
    computations: Computations = state.computations
    return computations

"""Whether this process can do its work now: the servers that it needs, asked at most once a second."""

import asyncio
import time
from collections.abc import Mapping

from fastapi.concurrency import run_in_threadpool

from dcmon import errors
from dcmon.app import App

CACHE_SECONDS = 1.0


class Readiness:
    """Asks PostgreSQL and the brokers. Requests that come together wait for one answer, and use one thread."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._task: asyncio.Task[Mapping[str, str]] | None = None
        self._answered_at = float("-inf")

    async def missing(self) -> Mapping[str, str]:
        """Return what is missing, with its reason; nothing if all is there."""
        if self._task is None or (self._task.done() and time.monotonic() - self._answered_at > CACHE_SECONDS):
            self._task = asyncio.create_task(self._ask())
        return await asyncio.shield(self._task)  # a client that disconnects must not cancel the others' answer

    async def _ask(self) -> Mapping[str, str]:
        missing = await run_in_threadpool(_find_missing, self._app)
        self._answered_at = time.monotonic()
        return missing


def _find_missing(app: App) -> dict[str, str]:
    missing = {}
    try:
        app.require_database()
    except errors.SchemaOutOfDate as error:
        missing["migration"] = str(error)
    except errors.DcmonError as error:
        missing["postgresql"] = str(error)
    if app.settings.kafka.bootstrap_servers:
        from dcmon.ingestion import kafka  # confluent_kafka is loaded only where Kafka is used

        if not kafka.is_reachable(app.settings.kafka):
            missing["kafka"] = f"No broker of {app.settings.kafka.bootstrap_servers} answers."
    return missing

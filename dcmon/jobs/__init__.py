"""Background workers: loops of claim, work and commit that run until they are stopped.

A job is a module with `run(app, stop)` and a line in JOBS. Several processes may run the same job.
"""

import logging
import signal
import threading
from collections.abc import Sequence
from importlib import import_module

from dcmon import authors, stop_signals
from dcmon.app import App
from dcmon.authors import DCMON
from dcmon.errors import DcmonError
from dcmon.health.process_heartbeats import HeartbeatSender, WatchedStopEvent
from dcmon.states import ProcessKind

log = logging.getLogger(__name__)

# The names of workers for "dcmon worker start", each with its module in this package.
JOBS: dict[str, str] = {
    ProcessKind.INGEST: "ingest",
    ProcessKind.EVALUATE: "evaluate",
    ProcessKind.NOTIFY: "notify",
    ProcessKind.SCHEDULER: "schedule",
}


def run_jobs(app: App, names: Sequence[str]) -> bool:
    """Run jobs in parallel until SIGTERM or SIGINT. Return False if a job failed, which stops the others too."""
    stop, failed = threading.Event(), threading.Event()
    stop_signals.set_at_signals(stop, signal.SIGTERM, signal.SIGINT)
    stop_events = {name: WatchedStopEvent(stop) for name in names}
    modules = {name: import_module(f"dcmon.jobs.{JOBS[name]}") for name in names}

    def run(name: str) -> None:
        authors.set_for_request(authors.on_this_host(DCMON, f"job {name}"))
        try:
            modules[name].run(app, stop_events[name])
        except Exception as error:
            # The message of a DcmonError is enough. Any other error is a bug, so its traceback is logged.
            log.error("worker %s failed: %s", name, error, exc_info=not isinstance(error, DcmonError))
            failed.set()
            stop.set()

    authors.set_for_process(authors.on_this_host(DCMON, f"job {', '.join(names)}"))
    app.tune_for_long_run()
    threads = [threading.Thread(target=run, args=(name,), name=name) for name in names]
    with HeartbeatSender(app.engine, stop_events):
        for thread in threads:
            thread.start()
        # The main thread must wake up regularly, so that Python can call the signal handlers.
        while not stop.wait(0.5):
            pass
        for thread in threads:
            thread.join()
    return not failed.is_set()

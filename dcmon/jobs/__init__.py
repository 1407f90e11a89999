"""What runs without a person: each worker is a loop of claim, work and commit until it is stopped.

A job is a module with `run(app, stop)` and a line in JOBS. It is safe to run twice.
"""

import logging
import signal
import threading
from collections.abc import Sequence
from importlib import import_module

from dcmon.app import App
from dcmon.errors import DcmonError
from dcmon.health.process_heartbeats import HeartbeatSender, WatchedStopEvent

log = logging.getLogger(__name__)

# The name that "dcmon worker start" takes, and the module.
JOBS = {"ingest": "ingest", "evaluate": "evaluate", "notify": "notify", "scheduler": "schedule"}


def run_jobs(app: App, names: Sequence[str]) -> bool:
    """Run jobs side by side until SIGTERM or SIGINT; False when one of them failed, which stops the others too."""
    stop, failed = threading.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    pulses = {name: WatchedStopEvent(stop) for name in names}
    modules = {name: import_module(f"dcmon.jobs.{JOBS[name]}") for name in names}

    def run(name: str) -> None:
        try:
            modules[name].run(app, pulses[name])
        except Exception as error:
            # A sentence of ours says enough; anything else is a fault of the code, and where it lies matters.
            log.error("worker %s failed: %s", name, error, exc_info=not isinstance(error, DcmonError))
            failed.set()
            stop.set()

    app.tune_for_long_run()
    threads = [threading.Thread(target=run, args=(name,), name=name) for name in names]
    with HeartbeatSender(app.engine, pulses):
        for thread in threads:
            thread.start()
        # The main thread must wake up now and then for Python to call the signal handlers.
        while not stop.wait(0.5):
            pass
        for thread in threads:
            thread.join()
    return not failed.is_set()

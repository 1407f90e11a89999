"""Stop a long-running process at a signal."""

import signal
import sys
import threading
from queue import SimpleQueue

STOPS = (signal.SIGTERM, signal.SIGINT)


def exit_at_signals() -> None:
    """End this process with 0 at SIGTERM or SIGINT while it starts. Call this in the main thread, first of all.

    Nothing is begun yet that must be finished. Once the process works, it has handlers of its own.
    """
    for number in STOPS:
        signal.signal(number, lambda *_: sys.exit(0))


def set_at_signals(stop: threading.Event, *numbers: signal.Signals) -> None:
    """Set `stop` when one of the signals arrives. Call this in the main thread.

    The handler does not call `stop.set()` itself: it runs in the main thread, perhaps in the middle of `stop.wait()`,
    which holds the lock that `stop.set()` waits for, and the process would never end. Python's documentation says of
    `SimpleQueue.put` that it can be called in this way.
    """
    received = SimpleQueue[int]()

    def wait() -> None:
        received.get()
        stop.set()

    threading.Thread(target=wait, name="stop signals", daemon=True).start()
    for number in numbers:
        signal.signal(number, lambda number, _: received.put(number))

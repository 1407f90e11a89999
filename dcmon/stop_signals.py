"""Stop a long-running process at a signal."""

import signal
import threading
from queue import SimpleQueue


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

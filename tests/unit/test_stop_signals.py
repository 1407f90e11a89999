"""A signal that arrives while the main thread waits for the stop event."""

import subprocess
import sys

from tests.helpers.paths import ROOT
from tests.helpers.waiting import PATIENCE

# A signal in the middle of `stop.wait()` finds the lock of the event taken by the thread that runs the handler.
SIGNAL_WITH_LOCK_HELD = """
import signal, threading
from dcmon import stop_signals

stop = threading.Event()
stop_signals.set_at_signals(stop, signal.SIGTERM, signal.SIGINT)
with stop._cond:
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGINT)
    assert not stop._flag
assert stop.wait(300)
"""


def test_signal_in_the_middle_of_a_wait_sets_the_event() -> None:
    subprocess.run([sys.executable, "-c", SIGNAL_WITH_LOCK_HELD], cwd=ROOT, timeout=PATIENCE, check=True)

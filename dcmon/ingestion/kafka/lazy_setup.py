"""What must be there before work can begin, made on a thread as soon as that is possible, and again when it is gone."""

import threading
import time
from collections.abc import Callable

from dcmon.errors import DcmonError


class LazySetup:
    """Tries `make` until it raises no DcmonError. Who waits is told why not, once the first try has failed."""

    def __init__(self, make: Callable[[], object], name: str) -> None:
        self._make, self._ends, self._made = make, threading.Event(), threading.Event()
        self._why = ""
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def why_not(self, until: float) -> str:
        """Empty when it is made. Waits for the first try, until that time (monotonic); after it nobody waits."""
        while not self._made.is_set():
            if self._why or time.monotonic() > until:
                return self._why or "no answer in time"
            self._made.wait(0.05)
        return ""

    def repeat(self) -> None:
        """It is gone: make it again."""
        self._made.clear()

    def close(self) -> None:
        self._ends.set()

    def _run(self) -> None:
        while not self._ends.wait(0.1):
            if self._made.is_set():
                continue
            try:
                self._make()
            except DcmonError as error:
                self._why = str(error.details.get("why", error))
            else:
                self._why = ""
                self._made.set()

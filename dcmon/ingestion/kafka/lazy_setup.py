"""Set something up on a background thread, and again if it is lost."""

import threading
import time
from collections.abc import Callable

from dcmon.errors import DcmonError


class LazySetup:
    """Calls `set_up` until it raises no DcmonError. Callers can wait for the first try, and get the error's reason."""

    def __init__(self, set_up: Callable[[], object], thread_name: str) -> None:
        self._set_up, self._is_closed, self._is_done = set_up, threading.Event(), threading.Event()
        self._failure = ""
        threading.Thread(target=self._run, name=thread_name, daemon=True).start()

    def failure(self, deadline: float) -> str:
        """Return why the setup is not done; '' if it is done.

        Waits for the first try until `deadline` (by time.monotonic).
        """
        while not self._is_done.is_set():
            if self._failure or time.monotonic() > deadline:
                return self._failure or "no response in time"
            self._is_done.wait(0.05)
        return ""

    def repeat(self) -> None:
        """Set up again, because the result of the first setup was lost."""
        self._is_done.clear()

    def close(self) -> None:
        """Stop trying."""
        self._is_closed.set()

    def _run(self) -> None:
        while not self._is_closed.wait(0.1):
            if self._is_done.is_set():
                continue
            try:
                self._set_up()
            except DcmonError as error:
                self._failure = str(error.details.get("reason", error))
            else:
                self._failure = ""
                self._is_done.set()

"""Chromium without a window, driven over a pipe by its DevTools protocol: pages, clicks, keys, sizes and colors."""

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.helpers.waiting import PATIENCE, eventually

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SIZES = {"phone": (360, 740), "tablet": (820, 1180), "desktop": (1280, 900)}


class Browser:
    """A page of a browser. `requests`: the URLs that it asked for; `errors`: of scripts, and what a policy refused."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from, self._ids, self._unread = to_browser, from_browser, itertools.count(1), b""
        self._session: str | None = None
        self.requests, self.errors = list[str](), list[str]()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol, and return its result."""
        number = next(self._ids)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            reply = self._read()
            if reply.get("id") == number:
                assert "error" not in reply, (method, reply["error"])
                return reply["result"]
            self._note(reply)

    def _read(self) -> Any:
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._from], [], [], PATIENCE)
            assert ready, "Chromium does not answer."
            part = os.read(self._from, 1 << 20)
            assert part, "Chromium ended."
            self._unread += part
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)

    def _note(self, event: Any) -> None:
        values = event.get("params", {})
        if event.get("method") == "Network.requestWillBeSent":
            self.requests.append(values["request"]["url"])
        elif event.get("method") == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(values["exceptionDetails"])[:500])
        elif event.get("method") == "Log.entryAdded" and values["entry"]["level"] == "error":
            self.errors.append(f"{values['entry']['text']} {values['entry'].get('url', '')}"[:500])

    def run(self, expression: str) -> Any:
        """Return the value of an expression in the page; of a promise, what it promises."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def open(self, url: str) -> None:
        """Open a page, and wait until it is loaded."""
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def wait_for(self, expression: str) -> None:
        """Wait until an expression is true in the page, which may be another one meanwhile."""
        assert eventually(lambda: self._is_true(expression), every=0.05), expression

    def _is_true(self, expression: str) -> bool:
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return bool(result["result"].get("value"))

    def key(self, name: str) -> None:
        """Press a key: Tab, Enter, ArrowLeft."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39}
        text = {"text": "\r"} if name == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            values = {"type": kind, "key": name, "code": name, "windowsVirtualKeyCode": codes[name]}
            self.call("Input.dispatchKeyEvent", **values, **(text if kind == "keyDown" else {}))

    def show(self, size: str, *, dark: bool = False) -> None:
        """Choose a size of the window, and light or dark colors."""
        width, height = SIZES[size]
        is_mobile = size == "phone"
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=is_mobile
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path) -> None:
        """Write a picture of the page, from top to bottom."""
        shown = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shown["data"]))


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Start Chromium with an empty profile."""
    assert BROWSER is not None
    from_test, to_browser = os.pipe()
    from_browser, to_test = os.pipe()

    def connect() -> None:  # the protocol is read from descriptor 3 and written to descriptor 4
        one, other = os.dup(from_test), os.dup(to_test)
        os.dup2(one, 3)
        os.dup2(other, 4)

    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe"]
    process = subprocess.Popen(
        [BROWSER, *arguments, f"--user-data-dir={profile}", "about:blank"], preexec_fn=connect, close_fds=False,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(from_test)
    os.close(to_test)
    try:
        yield Browser(to_browser, from_browser)
    finally:
        process.kill()
        process.wait()
        os.close(to_browser)
        os.close(from_browser)

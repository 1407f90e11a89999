"""`dcmon serve` in a process of its own, and requests to it over connections of their own."""

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.helpers.ports import free_port
from tests.helpers.waiting import PATIENCE, eventually


@dataclass(frozen=True)
class Answer:
    """A response that has been read."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class ServeProcess:
    """A running `dcmon serve`. `log`: the file of its output."""

    process: psutil.Popen
    port: int
    token: str
    log: Path
    tls: ssl.SSLContext | None = None
    extra: dict[str, str] = field(default_factory=dict)

    def connect(self) -> http.client.HTTPConnection:
        if self.tls is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=PATIENCE, context=self.tls)

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send a request with the token. An underscore in the name of a header stands for a hyphen."""
        connection = self.connect()
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, {"authorization": f"Basic {self.token}"} | named)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def answers(self, path: str = "/health/live") -> bool:
        try:
            return self.request("GET", path).status == 200
        except (OSError, http.client.HTTPException):
            return False

    @property
    def output(self) -> str:
        return self.log.read_text()

    @property
    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.splitlines() if line.startswith("{")]


@contextmanager
def serving_process(
    url: str, directory: Path, token: str = "", *arguments: str, tls: ssl.SSLContext | None = None, **settings: str
) -> Iterator[ServeProcess]:
    """Run `dcmon serve` on a free port until it answers, and stop it at the end. `settings`: without DCMON_."""
    port, log = free_port(), directory / "serve.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DCMON_")}
    environment |= {"XDG_CONFIG_HOME": str(directory)}  # no profiles of the user
    environment |= {"DCMON_DATABASE_URL": url, "DCMON_DATA_DIR": str(directory), "DCMON_HTTP__PORT": str(port)}
    environment |= {f"DCMON_{name}": value for name, value in settings.items()}
    with log.open("wb") as output:
        process = psutil.Popen(
            [sys.executable, "-m", "dcmon", "serve", *arguments], env=environment, stdout=output, stderr=output
        )
    served = ServeProcess(process, port, token, log, tls)
    try:
        assert eventually(lambda: process.poll() is not None or served.answers(), every=0.1)
        assert process.poll() is None, served.output
        yield served
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
        subprocess.Popen.poll(process)

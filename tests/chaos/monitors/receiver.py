"""An unreliable receiver: python -m tests.chaos.monitors.receiver PORT FILE SEED

It first writes each message to a file as a JSON line. Then it responds with 200 or 500, or much too late, or
not at all, or dies. While the file FILE.calm exists, it always responds with 200.
"""

import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random

AWAY = 7  # the exit code after which the process killer starts it again
RESPONSES = {"200": 70, "500": 9, "429": 3, "301": 3, "hangs": 6, "cuts": 6, "dies": 3}
LATE = 3.0  # seconds; longer than the sender's timeout


class Log:
    """A file of received messages in order of receipt."""

    def __init__(self, path: Path, seed: str) -> None:
        self.path, self.rng, self.lock = path, Random(f"{seed}/{time.time_ns()}"), threading.Lock()

    def put(self, path: str, name: str | None, body: bytes) -> str:
        """Write a message to the file and return how to respond."""
        with self.lock, self.path.open("ab") as log:
            is_calm = self.path.with_suffix(".calm").exists()
            response = "200" if is_calm else self.rng.choices(list(RESPONSES), list(RESPONSES.values()))[0]
            line = {"path": path, "id": name, "response": response, "body": json.loads(body)}
            log.write(json.dumps(line).encode() + b"\n")
        return response


class Receiver(BaseHTTPRequestHandler):
    """Receives POST requests."""

    log: Log

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        response = self.log.put(self.path, self.headers["webhook-id"], body)
        if response == "dies":
            os._exit(AWAY)
        if response == "hangs":
            time.sleep(LATE)
        if response in ("hangs", "cuts"):
            self.close_connection = True
            return
        self.send_response(int(response))
        for name, value in {"429": {"retry-after": "1"}, "301": {"location": "http://127.0.0.1:1/"}}.get(
            response, {}
        ).items():
            self.send_header(name, value)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing; requests are in the file."""


def main() -> None:
    port, path, seed = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    Receiver.log = Log(path, seed)
    ThreadingHTTPServer.allow_reuse_address = True
    ThreadingHTTPServer(("127.0.0.1", port), Receiver).serve_forever()


if __name__ == "__main__":
    main()

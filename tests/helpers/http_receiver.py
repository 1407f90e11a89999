"""An HTTP server on the loopback address that records the requests it gets."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class ReceivedRequest(NamedTuple):
    """A POST or GET request; names of headers are in lower case."""

    path: str
    headers: dict[str, str]
    body: str
    method: str = "POST"

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document


class HttpReceiver:
    """Responds to each request with the next of `statuses`, and with `status` when there is none."""

    def __init__(self) -> None:
        self.requests: list[ReceivedRequest] = []
        self.statuses: list[int] = []
        self.status = 204
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.requests.append(ReceivedRequest(self.path, headers, body, self.command))
                status = receiver.statuses.pop(0) if receiver.statuses else receiver.status
                self.send_response(status)
                if status == 302:
                    self.send_header("location", "/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Write no log line."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def notifications(self, path: str = "/") -> list[dict[str, Any]]:
        """Return all notifications sent to a path, those in one message separately."""
        documents = [request.document for request in list(self.requests) if request.path == path]
        return [notification for document in documents for notification in document.get("notifications", [document])]


@contextmanager
def http_receiver() -> Iterator[HttpReceiver]:
    """Run an HTTP receiver on a thread."""
    receiver = HttpReceiver()
    thread = threading.Thread(target=receiver.server.serve_forever)
    thread.start()
    yield receiver
    receiver.server.shutdown()
    thread.join()
    receiver.server.server_close()

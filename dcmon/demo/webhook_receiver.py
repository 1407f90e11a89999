"""The demo's receiver of webhooks: a server on the loopback address that checks signatures and shows what arrives."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """Listens from `start` to `stop`. `arrived` is called with each genuine message, once per webhook-id."""

    def __init__(self, arrived: Callable[[Mapping[str, Any]], None]) -> None:
        self._arrived, self._seen = arrived, set[str]()
        self.secret: bytes | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._answers())
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/alerts"

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, name="webhook receiver", daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answers(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(min(int(self.headers.get("content-length") or 0), 1_000_000))
                genuine = receiver._is_genuine(dict(self.headers.items()), body)
                self.send_response(204 if genuine else 401)
                self.end_headers()
                if genuine:
                    receiver._take(self.headers["webhook-id"], body)

            def log_message(self, format: str, *args: object) -> None:
                """Silent: what arrives is shown by the demo."""

        return Answer

    def _is_genuine(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether a message is signed with the webhook's secret (Standard Webhooks specification)."""
        if self.secret is None:
            return False
        headers = {name.lower(): value for name, value in headers.items()}
        signed = f"{headers.get('webhook-id')}.{headers.get('webhook-timestamp')}.".encode() + body
        expected = base64.b64encode(hmac.digest(self.secret, signed, hashlib.sha256)).decode()
        given = [part.partition(",")[2] for part in (headers.get("webhook-signature") or "").split()]
        return any(hmac.compare_digest(expected, each) for each in given)

    def _take(self, message_id: str, body: bytes) -> None:
        if message_id not in self._seen:
            self._seen.add(message_id)
            self._arrived(json.loads(body))

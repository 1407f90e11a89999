"""The demo's webhook receiver: a server on the loopback address that verifies signatures."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class WebhookReceiver:
    """A server that runs from `start` to `stop`.

    `on_message` is called with each message whose signature is valid, once per webhook-id.
    """

    def __init__(self, on_message: Callable[[Mapping[str, Any]], None]) -> None:
        self._on_message, self._seen = on_message, set[str]()
        self.secret: bytes | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler_class())
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/alerts"

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, name="webhook receiver", daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler_class(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(min(int(self.headers.get("content-length") or 0), 1_000_000))
                is_genuine = receiver._is_genuine(dict(self.headers.items()), body)
                self.send_response(204 if is_genuine else 401)
                self.end_headers()
                if is_genuine:
                    receiver._accept(self.headers["webhook-id"], body)

            def log_message(self, format: str, *args: object) -> None:
                """Log nothing: the demo shows the messages."""

        return Handler

    def _is_genuine(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Return True if the message is signed with the receiver's secret (Standard Webhooks specification)."""
        if self.secret is None:
            return False
        headers = {name.lower(): value for name, value in headers.items()}
        signed = f"{headers.get('webhook-id')}.{headers.get('webhook-timestamp')}.".encode() + body
        expected = base64.b64encode(hmac.digest(self.secret, signed, hashlib.sha256)).decode()
        signatures = [part.partition(",")[2] for part in (headers.get("webhook-signature") or "").split()]
        return any(hmac.compare_digest(expected, signature) for signature in signatures)

    def _accept(self, message_id: str, body: bytes) -> None:
        if message_id not in self._seen:
            self._seen.add(message_id)
            self._on_message(json.loads(body))

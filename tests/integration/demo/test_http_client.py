"""The demo's HTTP client against a server that fails like a killed or busy endpoint."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pandas as pd
import pytest

from dcmon.demo.http_client import Endpoint
from dcmon.errors import EndpointRefused, NotAuthenticated, Unreachable
from tests.helpers.ports import free_port
from tests.helpers.waiting import PATIENCE

Response = tuple[int, dict[str, str], bytes] | None
Seen = list[tuple[str, str, dict[str, str], bytes]]


@contextmanager
def peer(respond: Callable[[str, str, bytes], Response], port: int = 0) -> Iterator[tuple[int, Seen]]:
    """Run a server with the given responses; None closes the connection without a response."""
    seen: Seen = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            seen.append((self.command, self.path, {key.lower(): value for key, value in self.headers.items()}, body))
            response = respond(self.command, self.path, body)
            if response is None:
                self.close_connection = True
                return
            status, headers, content = response
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = handle_any  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_port, seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def endpoint(port: int, patience: float = PATIENCE) -> Iterator[Endpoint]:
    client = Endpoint(f"http://127.0.0.1:{port}/", "secret", timedelta(seconds=patience))
    try:
        yield client
    finally:
        client.close()


def fine(*_: Any) -> Response:
    return 200, {}, b""


def test_samples_and_labels_are_sent_as_the_sdk_does() -> None:
    rows = [{"_dc_sample_id": str(number), "a": None} for number in range(10_001)]
    with peer(fine) as (port, seen), endpoint(port) as client:
        client.send_samples(7, rows)
        client.send_labels(3, [{"_dc_sample_id": "0", "_dc_label": "1"}])
    assert [(method, path) for method, path, _, _ in seen] == [
        ("POST", "/api/v1/model-versions/7/data"),
        ("POST", "/api/v1/model-versions/7/data"),
        ("PUT", "/api/v1/model/3/labels"),
    ]
    assert seen[0][2]["authorization"] == "Basic secret"
    assert seen[0][2]["content-type"] == "application/json"
    assert [len(json.loads(body)) for _, _, _, body in seen] == [10_000, 1, 1]
    assert json.loads(seen[1][3]) == [{"_dc_sample_id": "10000", "a": None}]


def test_rows_are_repeated_after_a_lost_or_busy_response() -> None:
    answers: list[Response] = [None, (503, {"retry-after": "1"}, b"{}"), (200, {}, b"")]
    with peer(lambda *_: answers.pop(0)) as (port, seen), endpoint(port) as client:
        started = time.monotonic()
        client.send_samples(1, [{"_dc_sample_id": "a"}])
        assert time.monotonic() - started >= 1
    assert len({body for _, _, _, body in seen}) == 1
    assert len(seen) == 3


def test_client_waits_for_an_unavailable_server() -> None:
    port = free_port()
    with endpoint(port) as client:
        has_failed, original = threading.Event(), client._pauses

        def pauses() -> Iterator[float | None]:
            for number, pause in enumerate(original()):
                if number == 1:
                    has_failed.set()
                yield pause

        client._pauses = pauses  # type: ignore[method-assign]
        sender = threading.Thread(target=client.send_samples, args=(1, [{"_dc_sample_id": "a"}]))
        sender.start()
        assert has_failed.wait(PATIENCE)
        with peer(fine, port) as (_, seen):
            sender.join(300)
            assert len(seen) == 1


def test_client_gives_up_after_its_patience() -> None:
    with endpoint(free_port(), patience=0.3) as client, pytest.raises(Unreachable, match="can't be reached"):
        client.connect()


def test_request_that_creates_an_object_is_not_repeated() -> None:
    with peer(lambda *_: None) as (port, seen), endpoint(port) as client:
        with pytest.raises(Unreachable):
            client.post("checks/1/monitors", {"name": "M"})
        assert len(seen) == 1


def test_refused_request_has_its_path_and_reason() -> None:
    message = json.dumps({"error_message": "The name is taken.", "additional_information": {}}).encode()
    with peer(lambda *_: (400, {}, message)) as (port, _), endpoint(port) as client:
        with pytest.raises(EndpointRefused, match=r"400 to POST models: The name is taken\.") as refused:
            client.create_model("m", "binary", "", 1.0, timedelta(days=1))
        assert refused.value.details["http_status"] == 400


def test_wrong_token_and_missing_object_are_different_errors() -> None:
    with peer(lambda *_: (401, {}, b"{}")) as (port, _), endpoint(port) as client, pytest.raises(NotAuthenticated):
        client.connect()
    with peer(lambda *_: (404, {}, b"no such page")) as (port, seen), endpoint(port) as client:
        assert client.model("a/b c?") is None
        assert seen[0][1] == "/api/v1/models/a%2Fb%20c%3F?identifier_kind=name"


def test_interrupted_reference_upload_is_continued() -> None:
    stored: list[list[Any]] = []
    hang_up_after_storing = [True]

    def respond(method: str, path: str, body: bytes) -> Response:
        if path.endswith("count-samples"):
            return 200, {}, json.dumps({"monitor_count": 0, "reference_count": len(stored)}).encode()
        stored.extend(json.loads(uploaded(body))["data"])
        return None if hang_up_after_storing and hang_up_after_storing.pop() else (200, {}, b"")

    frame = pd.DataFrame({"a": range(12_000), "_dc_label": [None, "1"] * 6_000})
    with peer(respond) as (port, seen), endpoint(port) as client:
        client.upload_reference(5, frame)
    assert [row[0] for row in stored] == list(range(12_000))
    uploads = [(path, body) for method, path, _, body in seen if method == "POST"]
    assert {path for path, _ in uploads} == {"/api/v1/model-versions/5/reference"}
    assert b'name="batch"; filename="upload"' in uploads[0][1]
    assert json.loads(uploaded(uploads[0][1]))["columns"] == ["a", "_dc_label"]


def uploaded(body: bytes) -> bytes:
    boundary = body.split(b"\r\n", 1)[0][2:]
    head = b'content-type: multipart/form-data; boundary="' + boundary + b'"\r\n\r\n'
    (part,) = BytesParser().parsebytes(head + body).get_payload()  # type: ignore[misc]
    return bytes(part.get_payload(decode=True))  # type: ignore[union-attr]

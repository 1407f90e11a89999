"""The HTTP endpoint as a real server on a thread, and requests to it over a socket."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import urllib3
import uvicorn

from dcmon.app import App
from dcmon.http import api, connections
from tests.helpers.waiting import eventually


@dataclass(frozen=True)
class Endpoint:
    """A client of a server, with a token."""

    url: str
    token: str
    pool: urllib3.PoolManager

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> urllib3.BaseHTTPResponse:
        request_headers = {"authorization": f"Basic {self.token}", **headers}
        return self.pool.request(
            method, f"{self.url}/api/v1/{path}", body=body, headers=request_headers, retries=False, timeout=300
        )

    def samples(self, version_id: int, rows: Sequence[bytes], **headers: str) -> urllib3.BaseHTTPResponse:
        return self.request("POST", f"model-versions/{version_id}/data", b"[" + b",".join(rows) + b"]", **headers)

    def labels(self, model_id: int, rows: Sequence[bytes]) -> urllib3.BaseHTTPResponse:
        return self.request("PUT", f"model/{model_id}/labels", b"[" + b",".join(rows) + b"]")

    def reference(self, version_id: int, document: bytes, query: str = "") -> urllib3.BaseHTTPResponse:
        body, kind = urllib3.encode_multipart_formdata({"batch": ("upload", document, "application/octet-stream")})
        return self.request("POST", f"model-versions/{version_id}/reference{query}", body, **{"content-type": kind})


def error_message(response: urllib3.BaseHTTPResponse) -> str:
    """Return the error message of a response."""
    message: Any = json.loads(response.data)["error_message"]
    return str(message)


@contextmanager
def serving(app: App, token: str) -> Iterator[Endpoint]:
    """Serve the endpoint of an App on a free port."""
    options = connections.options(app.settings.http)
    application = api.create(app)
    server = uvicorn.Server(uvicorn.Config(application, port=0, log_config=None, access_log=False, **options))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        assert eventually(lambda: server.started, every=0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        with urllib3.PoolManager() as pool:
            yield Endpoint(f"http://127.0.0.1:{port}", token, pool)
    finally:
        server.should_exit = True
        thread.join(300)
        application.state.failed_logins.close()

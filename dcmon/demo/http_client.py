"""A client of dcmon's HTTP endpoint, with the requests of the Python SDK."""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
import urllib3

from dcmon.errors import EndpointRefused, NotAuthenticated, Unreachable

if TYPE_CHECKING:
    import pandas as pd

ROWS_PER_REQUEST = 10_000
REFERENCE_ROWS_PER_REQUEST = 5_000
_PATIENCE = timedelta(seconds=90)
_LONGEST_PAUSE = 2.0

Json = Any


class Endpoint:
    """A client of the endpoint at `url`. Safe for several threads.

    A request that fails because the endpoint is unreachable or busy (503, or 429 with Retry-After) is repeated for
    `patience`, if sending it twice does no harm. Samples and labels have ids, so a row that is sent twice is stored
    once. Raises Unreachable after `patience`, NotAuthenticated, and EndpointRefused for other responses than 2xx.
    """

    def __init__(self, url: str, token: str, patience: timedelta = _PATIENCE) -> None:
        self.url = url.rstrip("/")
        self.patience = patience
        self._headers = {"authorization": f"Basic {token}", "accept": "*/*"}
        self._pool = urllib3.PoolManager(maxsize=4, timeout=urllib3.Timeout(connect=5, read=60), retries=False)

    def close(self) -> None:
        self._pool.clear()

    def connect(self) -> str:
        """Make the SDK's first two requests. Return the endpoint's version."""
        version: str = self.get("backend-version")["version"]
        self.get("say-hello")
        return version

    def get(self, path: str) -> Json:
        return self.call("GET", path)

    def find(self, path: str) -> Json | None:
        """Return what `get` returns, or None if it does not exist (404)."""
        try:
            return self.get(path)
        except EndpointRefused as refused:
            if refused.details["http_status"] == 404:
                return None
            raise

    def post(self, path: str, body: Json, *, is_repeatable: bool = False) -> Json:
        """POST a JSON body. `is_repeatable`: sending it twice does no harm."""
        return self.call("POST", path, msgspec.json.encode(body), is_repeatable=is_repeatable)

    def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        is_repeatable: bool = True,
        content_type: str = "application/json",
    ) -> Json:
        """Send a request. Return the response's JSON, or None if it is empty. The class lists the errors."""
        headers = self._headers | ({"content-type": content_type} if body is not None else {})
        for pause in self._pauses():
            try:
                response = self._pool.request(method, f"{self.url}/api/v1/{path}", body=body, headers=headers)
            except urllib3.exceptions.HTTPError as error:
                never_sent = isinstance(error, urllib3.exceptions.NewConnectionError)
                if pause is None or not (is_repeatable or never_sent):
                    raise Unreachable(what="The endpoint", where=self.url, reason=_reason(error)) from error
                time.sleep(pause)
                continue
            if response.status in (429, 503) and pause is not None:
                time.sleep(_requested_pause(response, pause))
                continue
            return self._parse(method, path, response)
        raise AssertionError("the loop ends with the last pause, which is None")

    def model(self, name: str) -> Json | None:
        return self.find(f"models/{quote(name, safe='')}?identifier_kind=name")

    def create_model(self, name: str, task_type: str, description: str, ratio: float, delay: timedelta) -> int:
        """Create a model and return its id; an equal model that exists is returned."""
        delays = {"alerts_delay_labels_ratio": ratio, "alerts_delay_seconds": int(delay.total_seconds())}
        body = {"name": name, "task_type": task_type, "description": description, **delays}
        return int(self.post("models", {**body, "notes": None, "obj_store_path": None}, is_repeatable=True)["id"])

    def version(self, model: str, name: str) -> Json | None:
        return self.find(f"models/{quote(model, safe='')}/model-versions/{quote(name, safe='')}")

    def create_version(
        self,
        model_id: int,
        name: str,
        features: Mapping[str, str],
        importance: Mapping[str, float],
        classes: Sequence[str],
    ) -> int:
        """Create a version and return its id; an equal version that exists is returned."""
        columns = {"features": features, "additional_data": {}}
        body = {"name": name, **columns, "feature_importance": importance, "classes": classes}
        return int(self.post(f"models/{model_id}/version", body, is_repeatable=True)["id"])

    def reference_count(self, version_id: int) -> int:
        """Return the number of reference rows that the version has."""
        return int(self.get(f"model-versions/{version_id}/count-samples")["reference_count"])

    def upload_reference(self, version_id: int, reference: "pd.DataFrame") -> None:
        """Upload the rows that are not stored yet, in their order.

        So an interrupted upload continues where it stopped. A chunk whose response was lost may be stored or not, so
        the stored rows are counted before each chunk.
        """
        for pause in self._pauses():
            try:
                while (stored := self.reference_count(version_id)) < len(reference):
                    chunk = reference.iloc[stored : stored + REFERENCE_ROWS_PER_REQUEST]
                    self._reference_chunk(version_id, chunk.to_json(orient="split", index=False))
                return
            except Unreachable:
                if pause is None:
                    raise
                time.sleep(pause)

    def _reference_chunk(self, version_id: int, document: str) -> None:
        files = {"batch": ("upload", document.encode(), "application/octet-stream")}
        body, content_type = urllib3.encode_multipart_formdata(files)
        self.call(
            "POST", f"model-versions/{version_id}/reference", body, is_repeatable=False, content_type=content_type
        )

    def send_samples(self, version_id: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Log samples; `replay.Step` describes the rows."""
        for body in _chunks(rows):
            self.call("POST", f"model-versions/{version_id}/data", body)

    def send_labels(self, model_id: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Log labels: rows of `_dc_sample_id` and `_dc_label`."""
        for body in _chunks(rows):
            self.call("PUT", f"model/{model_id}/labels", body)

    def _pauses(self) -> Iterator[float | None]:
        """Yield the seconds to wait after each attempt; None for the last attempt."""
        deadline, pause = time.monotonic() + self.patience.total_seconds(), 0.1
        while time.monotonic() + pause < deadline:
            yield pause
            pause = min(_LONGEST_PAUSE, pause * 1.6)
        yield None

    def _parse(self, method: str, path: str, response: urllib3.BaseHTTPResponse) -> Json:
        if 200 <= response.status < 300:
            return msgspec.json.decode(response.data) if response.data else None
        if response.status == 401:
            raise NotAuthenticated
        raise EndpointRefused(http_status=response.status, method=method, path=path, reason=_message(response.data))


def _chunks(rows: Sequence[Mapping[str, Any]]) -> Iterator[bytes]:
    for start in range(0, len(rows), ROWS_PER_REQUEST):
        yield msgspec.json.encode(rows[start : start + ROWS_PER_REQUEST])


def _requested_pause(response: urllib3.BaseHTTPResponse, pause: float) -> float:
    requested = response.headers.get("retry-after", "")
    return min(float(requested), _LONGEST_PAUSE * 5) if requested.isdigit() and int(requested) > 0 else pause


def _message(body: bytes) -> str:
    try:
        document = msgspec.json.decode(body)
        return str(document.get("error_message") or document.get("detail") or document)
    except (msgspec.DecodeError, AttributeError, UnicodeDecodeError):
        return body[:300].decode(errors="replace").strip() or "no reason given"


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

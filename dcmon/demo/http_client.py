"""dcmon's endpoint as the Python SDK speaks to it: the same paths, headers and bodies."""

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

    An endpoint that is gone or busy (503 or 429, Retry-After) is tried again for `patience`, as far as sending twice
    does no harm: samples and labels have ids, so a row that arrived and is sent again is stored once. Raises
    Unreachable when patience ends, NotAuthenticated, and EndpointRefused for any other answer that is not 2xx.
    """

    def __init__(self, url: str, token: str, patience: timedelta = _PATIENCE) -> None:
        self.url = url.rstrip("/")
        self.patience = patience
        self._headers = {"authorization": f"Basic {token}", "accept": "*/*"}
        self._pool = urllib3.PoolManager(maxsize=4, timeout=urllib3.Timeout(connect=5, read=60), retries=False)

    def close(self) -> None:
        self._pool.clear()

    def connect(self) -> str:
        """What the SDK does first; the endpoint's version."""
        version: str = self.get("backend-version")["version"]
        self.get("say-hello")
        return version

    def get(self, path: str) -> Json:
        return self.call("GET", path)

    def find(self, path: str) -> Json | None:
        """As `get`; None when there is no such thing (404)."""
        try:
            return self.get(path)
        except EndpointRefused as refused:
            if refused.details["answer"] == 404:
                return None
            raise

    def post(self, path: str, body: Json, *, again: bool = False) -> Json:
        """POST a JSON body. `again`: sending it twice does no harm."""
        return self.call("POST", path, msgspec.json.encode(body), again=again)

    def call(
        self, method: str, path: str, body: bytes | None = None, *, again: bool = True, content_type: str | None = None
    ) -> Json:
        """One request; the answer's JSON, None when it is empty. Raises as the class says."""
        headers = self._headers | ({"content-type": content_type or "application/json"} if body is not None else {})
        for pause in self._pauses():
            try:
                answer = self._pool.request(method, f"{self.url}/api/v1/{path}", body=body, headers=headers)
            except urllib3.exceptions.HTTPError as error:
                never_sent = isinstance(error, urllib3.exceptions.NewConnectionError)
                if pause is None or not (again or never_sent):
                    raise Unreachable(what="The endpoint", where=self.url, why=_reason(error)) from error
                time.sleep(pause)
                continue
            if answer.status in (429, 503) and pause is not None:
                time.sleep(_asked_pause(answer, pause))
                continue
            return self._answer(method, path, answer)
        raise AssertionError("the last pause is None")

    def model(self, name: str) -> Json | None:
        return self.find(f"models/{quote(name, safe='')}?identifier_kind=name")

    def create_model(self, name: str, task_type: str, description: str, ratio: float, delay: timedelta) -> int:
        """The model's id; that of the model which is there already, when it is alike."""
        delays = {"alerts_delay_labels_ratio": ratio, "alerts_delay_seconds": int(delay.total_seconds())}
        body = {"name": name, "task_type": task_type, "description": description, **delays}
        return int(self.post("models", {**body, "notes": None, "obj_store_path": None}, again=True)["id"])

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
        """The version's id; that of the version which is there already, when it is alike."""
        columns = {"features": features, "additional_data": {}}
        body = {"name": name, **columns, "feature_importance": importance, "classes": classes}
        return int(self.post(f"models/{model_id}/version", body, again=True)["id"])

    def counts(self, version_id: int) -> tuple[int, int]:
        """How many samples and how many reference rows the version has."""
        found = self.get(f"model-versions/{version_id}/count-samples")
        return found["monitor_count"], found["reference_count"]

    def upload_reference(self, version_id: int, reference: "pd.DataFrame") -> None:
        """Upload what is not there yet, in order: an upload that broke off goes on where it stopped.

        A chunk whose answer was lost may be there or not, so the endpoint is asked before each.
        """
        for pause in self._pauses():
            try:
                while (have := self.counts(version_id)[1]) < len(reference):
                    chunk = reference.iloc[have : have + REFERENCE_ROWS_PER_REQUEST]
                    self._reference_chunk(version_id, chunk.to_json(orient="split", index=False))
                return
            except Unreachable:
                if pause is None:
                    raise
                time.sleep(pause)

    def _reference_chunk(self, version_id: int, document: str) -> None:
        files = {"batch": ("upload", document.encode(), "application/octet-stream")}
        body, content_type = urllib3.encode_multipart_formdata(files)
        self.call("POST", f"model-versions/{version_id}/reference", body, again=False, content_type=content_type)

    def send_samples(self, version_id: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Log samples (keys in the SDK's order, see `replay.Step`)."""
        for body in _chunks(rows):
            self.call("POST", f"model-versions/{version_id}/data", body)

    def send_labels(self, model_id: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Log labels, `_dc_sample_id` and `_dc_label`."""
        for body in _chunks(rows):
            self.call("PUT", f"model/{model_id}/labels", body)

    def _pauses(self) -> Iterator[float | None]:
        """Seconds to wait before the next try, None when this try is the last."""
        ends, pause = time.monotonic() + self.patience.total_seconds(), 0.1
        while time.monotonic() + pause < ends:
            yield pause
            pause = min(_LONGEST_PAUSE, pause * 1.6)
        yield None

    def _answer(self, method: str, path: str, answer: urllib3.BaseHTTPResponse) -> Json:
        if 200 <= answer.status < 300:
            return msgspec.json.decode(answer.data) if answer.data else None
        if answer.status == 401:
            raise NotAuthenticated
        raise EndpointRefused(answer=answer.status, method=method, path=path, why=_message(answer.data))


def _chunks(rows: Sequence[Mapping[str, Any]]) -> Iterator[bytes]:
    for start in range(0, len(rows), ROWS_PER_REQUEST):
        yield msgspec.json.encode(rows[start : start + ROWS_PER_REQUEST])


def _asked_pause(answer: urllib3.BaseHTTPResponse, pause: float) -> float:
    asked = answer.headers.get("retry-after", "")
    return min(float(asked), _LONGEST_PAUSE * 5) if asked.isdigit() and int(asked) > 0 else pause


def _message(body: bytes) -> str:
    try:
        found = msgspec.json.decode(body)
        return str(found.get("error_message") or found.get("detail") or found)
    except (msgspec.DecodeError, AttributeError, UnicodeDecodeError):
        return body[:300].decode(errors="replace").strip() or "no reason given"


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

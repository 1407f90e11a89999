"""A valid request for each route of the endpoint, made from the ids of objects that it names."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import urllib3
from fastapi.routing import APIRoute

from dcmon.http import api, guard
from dcmon.http.auth import OpenToAll
from dcmon.http.guard import BodyKind
from dcmon.http.page_access import ReadsPage
from dcmon.tenancy.permissions import Permission
from tests.helpers.endpoint import Endpoint
from tests.integration.conftest import labels, rows

Ids = Mapping[str, Any]
JSON = {"content-type": "application/json"}
SPAN = {"start_time": "2026-03-01T00:00:00+00:00", "end_time": "2026-03-02T00:00:00+00:00"}
CHECK = {"module_name": "deepchecks.tabular.checks", "class_name": "PercentOfNulls", "params": {}}
MONITOR = {"lookback": 86_400, "aggregation_window": 1, "frequency": "DAY"}
WEBHOOK = {"kind": "STANDARD", "http_url": "https://hooks.example.org/y", "http_method": "POST"}
STORE_KEYS = {"aws_access_key_id": "id", "aws_secret_access_key": "secret", "region": "us-east-1"}
CONDITION = {"operator": "greater_than", "value": 0.9}
REFERENCE = {
    "columns": ["age", "job", "_dc_prediction", "_dc_prediction_probabilities", "_dc_label"],
    "data": [[index, f"j{index % 3}", "1", [0.4, 0.6], "0"] for index in range(20)],
}
# The parameters of paths, and the objects that they name. Rules and alerts are of two kinds.
NAMES = {
    "identifier": "model", "model_id": "model", "version_id": "version", "model_version_id": "version",
    "check_id": "check", "check": "check", "monitor_id": "monitor", "note_id": "note", "rule_id": "rule",
    "alert_id": "alert", "dashboard_id": "dashboard", "webhook_id": "webhook", "user_id": "user",
    "member_id": "user", "prefix": "prefix", "model_name": "model_name", "version_name": "version_name",
    "feature:path": "column", "model_name:path": "slash_model", "version_name:path": "slash_version",
    "identifier:path": "slash_model", "source_id": "source", "app_id": "model", "digest": "word", "name": "word",
}  # fmt: skip
# Parameters that name no model, and nothing that belongs to one.
NOT_OF_MODELS = {"dashboard_id", "webhook_id", "user_id", "member_id", "prefix", "source_id", "app_id"}
BODIES: dict[str, Callable[[Ids], Any]] = {
    "POST /models": lambda ids: {"name": f"new {ids['word']}", "task_type": "binary", "defaults": "none"},
    "PUT /models/{identifier}/defaults": lambda ids: {"defaults": "none"},
    "POST /models/{identifier}/notes": lambda ids: [{"title": "a note"}],
    "POST /models/{identifier}/version": lambda ids: {
        "name": "new version", "features": {"age": "numeric"}, "additional_data": {}, "classes": ["0", "1"],
    },
    "PUT /model-versions/{version_id}": lambda ids: {"feature_importance": {"age": 0.5, "job": 0.5}},
    "GET /model-versions/{version_id}/time-window-statistics": lambda ids: SPAN,
    "POST /model-versions/{version_id}/get-ref-data": lambda ids: {"rows_count": 10},
    "POST /model-versions/{version_id}/get-prod-data": lambda ids: {"rows_count": 10, **SPAN},
    "POST /models/{identifier}/checks": lambda ids: [{"config": CHECK, "name": f"check {next(_numbers)}"}],
    "POST /checks/{check_id}/run/lookback": lambda ids: {**SPAN, "frequency": "DAY"},
    "POST /monitors/{monitor_id}/run": lambda ids: {"end_time": SPAN["end_time"]},
    "POST /checks/{check_id}/run/window": lambda ids: SPAN,
    "POST /checks/{check_id}/group-by/{model_version_id}/{feature:path}": lambda ids: SPAN,
    "POST /checks/{check_id}/display/{model_version_id}": lambda ids: SPAN,
    "POST /model-versions/{model_version_id}/suite-run": lambda ids: SPAN,
    "POST /checks/{check_id}/get-notebook": lambda ids: SPAN,
    "POST /monitors/{monitor_id}/get-notebook": lambda ids: SPAN,
    "POST /checks/{check_id}/monitors": lambda ids: {"name": "new", **MONITOR, "dashboard_id": ids["dashboard"]},
    "PUT /monitors/{monitor_id}": lambda ids: {"description": "changed", "dashboard_id": ids["dashboard"]},
    "POST /models/{identifier}/monitors-set-schedule-time": lambda ids: {"timestamp": SPAN["start_time"]},
    "POST /monitors/{monitor_id}/alert-rules": lambda ids: {"condition": CONDITION},
    "PUT /alert-rules/{rule_id}": lambda ids: {"alert_severity": "low"},
    "POST /models/{identifier}/data-ingestion-alert-rules": lambda ids: {
        "name": "more", "condition": CONDITION, "alert_type": "sample_count", "frequency": "DAY",
    },
    "PUT /data-ingestion-alert-rules/{rule_id}": lambda ids: {"alert_severity": "low"},
    "PUT /dashboards/{dashboard_id}": lambda ids: {"name": "all"},
    "POST /alert-webhooks": lambda ids: {**WEBHOOK, "name": f"new {ids['word']}"},
    "PUT /data-sources": lambda ids: {"type": "s3", "parameters": STORE_KEYS},
    "PUT /alert-webhooks/{webhook_id}": lambda ids: {"description": "changed"},
    "PUT /organization": lambda ids: {"webhook_notification_levels": ["high"]},
    "PUT /organization/invite": lambda ids: {"email": f"new@{ids['word']}.example"},
    "POST /users/complete-details": lambda ids: {"user_full_name": "Ann"},
    "PUT /users/{user_id}/roles": lambda ids: {"roles": ["admin"]},
    "POST /users/{user_id}/models": lambda ids: {"models": [{"id": ids["model"], "notify": False}], "replace": False},
    "POST /models/{model_id}/members": lambda ids: {"user_ids": [ids["user"]], "replace": False},
    "POST /tokens": lambda ids: {"name": "new", "user_id": ids["user"], "scope": "read"},
}  # fmt: skip
QUERIES: dict[str, Callable[[Ids], Mapping[str, Any]]] = {
    "DELETE /models/{identifier}/checks": lambda ids: {"names": ids["check_name"]},
    "DELETE /organization/invitations": lambda ids: {"email": ids["invited"]},
    "DELETE /organization": lambda ids: {"name": ids["organization"]},
    "GET /models/{identifier:path}": lambda ids: {"identifier_kind": "name"},
    "DELETE /models/{identifier:path}": lambda ids: {"identifier_kind": "name"},
    "PUT /data-sources": lambda ids: {"check": "false"},
    "GET /onboarding": lambda ids: {"model_name": ids["model_name"]},
}
# Routes without an object in their path whose query or body names one.
NAMING = {*QUERIES, "POST /tokens"} - {"PUT /data-sources"}
# They end the token of the request, so each needs one of its own.
ENDING = {
    "POST /organization/leave", "POST /users/regenerate-api-token", "DELETE /users", "DELETE /organization",
}  # fmt: skip
# Deletions in an order in which each still finds its object.
DELETED_LAST = (
    "data-ingestion-alerts", "data-ingestion-alert-rules", "alerts", "alert-rules", "monitors", "checks",
    "models-notes", "model-versions", "models", "organization/members", "users", "organization",
)  # fmt: skip
_numbers: Iterator[int] = iter(range(10**6))


@dataclass(frozen=True)
class Route:
    """A route of the endpoint. `key`: its method and path without /api/v1. `permission`: None if it is open to all."""

    method: str
    path: str
    kind: BodyKind
    permission: Permission | None
    by_name: bool = False
    is_page: bool = False  # it asks a browser for a token in place of 403

    @property
    def key(self) -> str:
        return f"{self.method} {self.path.removeprefix(api.PREFIX)}"

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"\{(.*?)\}", self.path)

    @property
    def names_object(self) -> bool:
        """True if a valid request names an object of the organization, so that others must get 404."""
        return bool(self.parameters) or self.key in NAMING

    @property
    def names_model(self) -> bool:
        """True if a valid request names a model, or an object that belongs to one."""
        return bool(set(self.parameters) - NOT_OF_MODELS)

    def request(self, endpoint: Endpoint, ids: Ids, token: str, more: Mapping[str, Any] = {}) -> "Answer":
        """Send a valid request. `more`: further parameters of the query."""
        ids = self._own(ids)
        query = {**more, **(QUERIES[self.key](ids) if self.key in QUERIES else {})}
        if self.by_name:
            query["identifier_kind"] = "name"
        headers, body = {"authorization": f"Basic {token}"} if token else {}, b""
        if self.kind in (BodyKind.JSON, BodyKind.ROWS):
            kind, body = self._body(ids)
            headers |= {"content-type": kind}
        response = endpoint.pool.request(
            self.method, f"{self.url(endpoint, ids)}?{urlencode(query, doseq=True)}", body=body, headers=headers,
            retries=False, redirect=False, timeout=300,
        )  # fmt: skip
        return Answer(self, query, response.status, response.data)

    def _own(self, ids: Ids) -> Ids:
        """Return the ids with those that only this route deletes."""
        return {**ids, **ids.get("deleted", {}).get(self.key + (" by name" if self.by_name else ""), {})}

    def url(self, endpoint: Endpoint, ids: Ids) -> str:
        """Return the URL with the ids of objects in its path."""

        def fill(match: re.Match[str]) -> str:
            name = NAMES[match[1]]
            if "data-ingestion-alert" in self.path and name in ("rule", "alert"):
                name = f"ingestion_{name}"
            if self.by_name and name in ("model", "check"):
                name = f"{name}_name"
            return str(ids[name])

        return endpoint.url + quote(re.sub(r"\{(.*?)\}", fill, self.path))

    def _body(self, ids: Ids) -> tuple[str, bytes]:
        if self.kind == BodyKind.ROWS and self.path.endswith("/reference"):
            document = json.dumps(REFERENCE).encode()
            body, kind = urllib3.encode_multipart_formdata({"batch": ("upload", document, "application/octet-stream")})
            return kind, body
        if self.kind == BodyKind.ROWS:
            row = labels(1, 1) if self.path.endswith("/labels") else rows(next(_numbers) + 1_000, 1)
            return "application/json", b"[" + row[0] + b"]"
        return "application/json", json.dumps(BODIES[self.key](ids) if self.key in BODIES else {}).encode()


@dataclass(frozen=True)
class Answer:
    """What a route answered."""

    route: Route
    query: Mapping[str, Any]
    status: int
    data: bytes

    def __str__(self) -> str:
        name = " by name" if self.route.by_name else ""
        return f"{self.route.key}{name} {self.query}: {self.status} {self.data[:300]!r}"


def all_routes() -> list[Route]:
    """Return all routes, also those that OpenAPI does not show; deletions come last. {identifier} is also a name."""
    found = []
    for path, route in api.routes():
        for method in sorted(route.methods):
            found.append(_route(method, path, route))
            if "{identifier}" in path:
                found.append(_route(method, path, route, by_name=True))
    return sorted(found, key=_rank)


def _route(method: str, path: str, route: APIRoute, *, by_name: bool = False) -> Route:
    access = guard.access(route)
    permission = None if isinstance(access, OpenToAll) else access.permission
    return Route(method, path, guard.body_kind(route), permission, by_name, isinstance(access, ReadsPage))


def _rank(route: Route) -> tuple[int, int]:
    if route.key in ENDING:
        return 3, route.key == "DELETE /organization"
    parts = route.path.removeprefix(api.PREFIX)[1:]
    if route.method != "DELETE":  # one alert is changed before all alerts of its rule
        return int(route.method != "GET"), not parts.startswith(("alerts/", "data-ingestion-alerts/"))
    kind = next((name for name in ("checks", "model-versions") if f"/{name}" in f"/{parts}"), None)
    first = kind or next((name for name in DELETED_LAST if f"{parts}/".startswith(f"{name}/")), "")
    return 2, DELETED_LAST.index(first) if first in DELETED_LAST else -1

"""An organization with a model and an object of each kind that belongs to it, made over HTTP as clients do."""

import json
from typing import Any

from dcmon import db
from dcmon.alerting import judging
from dcmon.alerting.change_context import ChangeContext
from dcmon.app import App
from dcmon.checks.dataset_schema import CheckValue
from dcmon.db import Organization
from dcmon.db.tables.org import Alert, Monitor
from dcmon.monitoring import results
from dcmon.monitoring.results import CheckRun, ResultInputs, ResultKey
from dcmon.states import ResultState
from dcmon.storage.sampling import WindowStatistics
from dcmon.tenancy import members, tokens
from dcmon.tenancy.permissions import Role, Scope
from tests.helpers.endpoint import Endpoint
from tests.helpers.evaluation import START, day
from tests.helpers.route_requests import CHECK, MONITOR, REFERENCE, STORE_KEYS, WEBHOOK
from tests.integration.conftest import labels, rows

URL = "https://dcmon.example"


class Seeder:
    """Creates objects with a word in all their names, so that it shows where one of them appears."""

    def __init__(self, app: App, endpoint: Endpoint, org: Organization, token: str, word: str) -> None:
        self.app, self.endpoint, self.org, self.token, self.word = app, endpoint, org, token, word

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request that must succeed."""
        headers = {"authorization": f"Basic {self.token}", "content-type": "application/json"}
        content = b"" if body is None else json.dumps(body).encode()
        response = self.endpoint.request(method, path, content, **headers)
        assert response.status < 300, (method, path, response.data)
        return json.loads(response.data) if response.data else None

    def organization(self) -> dict[str, Any]:
        """Create what belongs to no model: a member, an invitation, a token, a webhook and the dashboard."""
        with self.app.public() as session:
            user = members.add(session, self.org.id, f"user@{self.word}.example", Role.MEMBER)
            token = tokens.create(session, self.org.id, user, f"token of {self.word}")
        invited = f"invited@{self.word}.example"
        self.send("PUT", "organization/invite", {"email": invited})
        keys = {**STORE_KEYS, "aws_access_key_id": f"key of {self.word}".replace(" ", "-")}
        return {
            "organization": self.org.name, "user": user, "prefix": token[:14], "invited": invited,
            "webhook": self.send("POST", "alert-webhooks", {**WEBHOOK, "name": self.word})["id"],
            "source": self.send("PUT", "data-sources?check=false", {"type": "s3", "parameters": keys})["id"],
            "dashboard": self.send("GET", "dashboards")["id"],
        }  # fmt: skip

    def model(self, dashboard: int) -> dict[str, Any]:
        """Create a model with rows, a reference, a refused row, checks, monitors, results, rules, alerts and notes."""
        word = self.word
        model = self._new_model(f"model {word}")
        version = self._new_version(model, f"version {word}")
        refused = json.dumps({"_dc_sample_id": word, "_dc_time": word}).encode()
        self.endpoint.pool.request(
            "POST", f"{self.endpoint.url}/api/v1/model-versions/{version}/data",
            body=b"[" + b",".join([*rows(1, 50), refused]) + b"]",
            headers={"authorization": f"Basic {self.token}"},
        )  # fmt: skip
        self.send("PUT", f"model/{model}/labels", [json.loads(row) for row in labels(1, 20)])
        client = Endpoint(self.endpoint.url, self.token, self.endpoint.pool)
        assert client.reference(version, json.dumps(REFERENCE).encode()).status == 200
        names = [f"check {word}", f"second {word}", f"third {word}", f"fourth {word}"]
        body = [{"config": CHECK, "name": name} for name in names]
        check, _, third, _ = (entry["id"] for entry in self.send("POST", f"models/{model}/checks", body))
        monitor = self.send(
            "POST", f"checks/{check}/monitors", {"name": f"monitor {word}", **MONITOR, "dashboard_id": dashboard}
        )["id"]
        rule = self.send("POST", f"monitors/{monitor}/alert-rules", {"condition": "> 0.2", "name": f"rule {word}"})
        condition = {"operator": "greater_than", "value": 0.2}
        counted = {"name": f"count {word}", "condition": condition, "alert_type": "sample_count", "frequency": "DAY"}
        ingestion_rule = self.send("POST", f"models/{model}/data-ingestion-alert-rules", counted)["id"]
        shown = self.send("GET", f"models/{model}/data-ingestion-alert-rules")
        note = self.send("POST", f"models/{model}/notes", [{"title": f"note {word}", "text": word}])[0]["id"]
        slash = self._new_model(f"m/{word}")
        self._new_version(slash, f"v/{word}")
        spare = self._new_model(f"spare {word}")
        deleted = {
            "DELETE /models/{identifier}/checks by name": {"check_name": names[1]},
            "DELETE /models/{identifier}/checks/{check}": {"check": third},
            "DELETE /models/{identifier}/checks/{check} by name": {"check_name": names[3]},
            "DELETE /model-versions/{version_id}": {"version": self._new_version(model, f"second {word}")},
            "DELETE /models/{identifier} by name": {"model_name": f"spare {word}"},
        }  # fmt: skip
        return {
            "word": word, "model": model, "model_name": f"model {word}", "version": version,
            "version_name": f"version {word}", "check": check, "check_name": f"check {word}", "monitor": monitor,
            "rule": rule["id"], "alert": self._alert(monitor, version), "ingestion_rule": ingestion_rule,
            "ingestion_alert": self._alert(shown[0]["monitor_id"], version), "note": note, "column": "job",
            "slash_model": f"m/{word}", "slash_version": f"v/{word}", "ids": [model, slash, spare],
            "deleted": deleted,
        }  # fmt: skip

    def _new_model(self, name: str) -> int:
        body = {"name": name, "task_type": "binary", "description": name, "defaults": "none"}
        return int(self.send("POST", "models", body)["id"])

    def _new_version(self, model: int, name: str) -> int:
        columns = {"features": {"age": "numeric", "job": "categorical"}, "additional_data": {self.word: "text"}}
        body = {"name": name, **columns, "classes": ["0", "1"]}
        return int(self.send("POST", f"models/{model}/version", body)["id"])

    def _alert(self, monitor_id: int, version_id: int) -> int:
        """Store results of a monitor that violate its rule, and return the id of the alert."""
        for number, value in enumerate((0.5, 0.6)):
            with db.org_session(self.app.engine, self.org) as session:
                monitor = session.get_one(Monitor, monitor_id)
                found = CheckValue(ResultState.OK, {"score": value}, None, {"age": value, self.word: value / 2})
                statistics = WindowStatistics(100, 0, 1, 0, START)
                last = results.lock_newest(session, version_id, day(number), [monitor_id]).get(monitor_id)
                key = ResultKey(monitor, version_id, day(number))
                result = results.store(session, key, found, ResultInputs(statistics, 1), CheckRun(100), last=last)
                assert result is not None
                session.flush()
                judging.judge_result(session, result, ChangeContext(self.org, URL))
        with db.org_session(self.app.engine, self.org) as session:
            alerts = session.query(Alert.id).filter(Alert.version_id == version_id).order_by(Alert.id.desc())
            return int(alerts.first()[0])


def new_token(app: App, org: Organization, role: Role, scope: Scope = Scope.FULL, email: str = "") -> tuple[int, str]:
    """Make a new person a member; return the user's id and a token."""
    with app.public() as session:
        user = members.add(session, org.id, email or f"{role}-{scope}@{org.name}.example", role)
        return user, tokens.create(session, org.id, user, f"{role} {scope}", scope=scope)

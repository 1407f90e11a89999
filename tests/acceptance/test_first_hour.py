"""The first hour of a new user with an own model, through commands and HTTP."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import urllib3

from tests.helpers.http_receiver import HttpReceiver, http_receiver
from tests.helpers.installed import Dcmon
from tests.helpers.waiting import eventually

START = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    with http_receiver() as new_receiver:
        yield new_receiver


def samples(day: int, drifted: bool) -> list[dict[str, Any]]:
    return [
        {
            "_dc_sample_id": f"{day}-{number}",
            "_dc_time": (START + timedelta(days=day, minutes=number)).isoformat(),
            "_dc_prediction": str(number % 2),
            "age": number % 60 + (40 if drifted else 0),
            "job": f"j{number % 3}",
        }
        for number in range(400)
    ]


def test_first_hour_opens_and_resolves_an_alert(dcmon: Dcmon, receiver: HttpReceiver) -> None:
    dcmon.settings.update({"DCMON_WEBHOOKS__ALLOW": "127.0.0.1", "DCMON_WEBHOOKS__TIMEOUT": "300"})
    assert dcmon("up").returncode == 0
    token = dcmon.json("org", "create", "acme", "--owner", "ann@acme.example")["token"]
    model = dcmon.json(
        "model", "create", "credit", "--task", "binary", "--version", "v1", "--feature", "age:numeric",
        "--feature", "job:categorical", "--class", "0", "--class", "1",
    )  # fmt: skip
    assert model["monitors"] == 16
    added = dcmon.json("receiver", "create", "team", f"{receiver.url}/")
    assert added["secret"].startswith("whsec_")
    assert added["secret"] not in dcmon("receiver", "list").stdout
    assert dcmon("receiver", "test", "team").returncode == 0
    created = dcmon("monitor", "create", "Age", "--model", "credit", "--check", "FeatureDrift", "--feature", "age",
                    "--rule", "> 0.2", "--severity", "critical")  # fmt: skip
    assert created.returncode == 0, created.stderr

    http = urllib3.PoolManager(headers={"authorization": f"Basic {token}"})

    def call(method: str, path: str, body: Any) -> None:
        response = http.request(method, f"{dcmon.url}/api/v1/{path}", json=body)
        assert response.status == 200, response.data

    version = model["version_id"]
    rows = samples(0, drifted=False)
    columns = ["age", "job", "_dc_prediction"]
    document = json.dumps({"columns": columns, "data": [[row[name] for name in columns] for row in rows]}).encode()
    response = http.request(
        "POST", f"{dcmon.url}/api/v1/model-versions/{version}/reference", fields={"batch": ("upload", document)}
    )
    assert response.status == 200, response.data

    def notifications_of_age() -> list[dict[str, Any]]:
        return [
            notification
            for notification in receiver.notifications()
            if notification["type"] != "test" and notification["alert"]["monitor"] == "Age"
        ]

    def states() -> list[str]:
        return [notification["type"] for notification in notifications_of_age()]

    for day, drifted in enumerate((False, False, True, True)):
        call("POST", f"model-versions/{version}/data", samples(day, drifted))
    assert eventually(lambda: states() == ["alert.firing"], every=0.2), receiver.requests
    for day in (4, 5):
        call("POST", f"model-versions/{version}/data", samples(day, drifted=False))
    assert eventually(lambda: states() == ["alert.firing", "alert.resolved"], every=0.2), receiver.requests
    alert = notifications_of_age()[0]["alert"]
    assert alert["since"] == (START + timedelta(days=2)).isoformat()
    assert next(iter(alert["drivers"])) == "age"

    listed = next(row for row in dcmon.json("alert", "list", "--all") if row["monitor"] == "credit/Age")
    assert (listed["severity"], listed["state"], listed["windows"]) == ("critical", "resolved", 2)
    assert "delivered" in dcmon("alert", "show", str(listed["id"])).stdout
    shown = dcmon.json("monitor", "show", "credit/Age")
    assert [result["state"] for result in shown["results"]] == ["OK"] * 5
    assert dcmon("monitor", "run", "Age").returncode == 0
    bad = ["--from", "2026-03-04T00:00:00", "--to", "2026-03-05T00:00:00"]
    assert dcmon("monitor", "run", "Age", *bad).returncode == 1
    assert dcmon("monitor", "run", "credit/Performance").returncode == 8
    assert dcmon.json("model", "show", "credit")["versions"][0]["samples"] == 2400
    assert dcmon("rule", "create", "Age", "> 0.9").returncode == 0
    assert len(dcmon.json("rule", "list")) == 19
    prefix = dcmon.json("token", "list")[0]["prefix"]
    assert dcmon("token", "delete", prefix, "--yes").returncode == 0
    assert http.request("GET", f"{dcmon.url}/api/v1/say-hello").status == 401
    http.clear()

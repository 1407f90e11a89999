"""The unmodified SDK, in its own Python environment, against the real endpoint."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from dcmon import db
from tests.conftest import Acme
from tests.helpers.installed import Dcmon
from tests.helpers.paths import ROOT
from tests.helpers.ports import free_port
from tests.helpers.waiting import eventually

SDK = Path(os.environ.get("DCMON_TEST_SDK_PYTHON") or ROOT / ".venv-sdk" / "bin" / "python")
SHARED = ["Feature Drift", "Label Drift", "Mixed Nulls", "New Category Train-Test", "Percent Of Nulls", "Performance"]
OWN_MONITORS, OWN_RULES = 8, 10  # of dcmon itself, beside those that the SDK creates
CHECKS = sorted([*SHARED, "Prediction Drift", "String Mismatch"])


@pytest.fixture
def served(database_url: str, data_dir: Path, acme: Acme) -> Iterator[Dcmon]:
    """Run `dcmon serve` on a migrated database."""
    installation = Dcmon(data_dir, free_port(), {"DCMON_DATABASE_URL": database_url})
    with (data_dir / "serve.txt").open("w+") as log:
        process = installation.start("serve", output=log)
        assert eventually(lambda: answers(installation.port)), log.seek(0) or log.read()
        yield installation
        process.terminate()
        assert process.wait(300) == 0


def answers(port: int) -> bool:
    """Return True if an endpoint answers at a port."""
    import urllib3

    try:
        response = urllib3.request("GET", f"http://127.0.0.1:{port}/api/v1/health-check", retries=False, timeout=10)
    except urllib3.exceptions.HTTPError:
        return False
    return response.status == 200


def session(served: Dcmon, token: str, *arguments: str, script: str = "sdk_session.py") -> dict[str, Any]:
    assert SDK.exists(), f"{SDK} is missing: `make test` makes the SDK's environment"
    path = ROOT / "tests" / "helpers" / script
    done = subprocess.run(
        [str(SDK), str(path), served.url, token, *arguments], cwd="/", capture_output=True, text=True, check=False,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen


@pytest.mark.parametrize(
    ("task", "checks", "monitors", "rules"),
    [
        ("binary", [*CHECKS, "New Label Train-Test"], 8, 7),
        pytest.param("multiclass", [*CHECKS, "New Label Train-Test"], 8, 7, marks=pytest.mark.thorough),
        ("regression", CHECKS, 7, 6),
    ],
)
def test_unmodified_sdk_completes_a_first_hour(
    served: Dcmon, engine: Engine, acme: Acme, task: str, checks: list[str], monitors: int, rules: int
) -> None:
    seen = session(served, acme.token, task)

    assert seen["same_model"]
    assert seen["same_version"]
    assert seen["reference_rows"] == 1_200
    assert (seen["production_rows"], seen["labelled_rows"]) == (1_201, 1_000)
    assert seen["statistics"] == {"num_labeled_samples": 1_000, "num_samples": 1_201}
    assert seen["checks"] == sorted(checks)
    assert seen["checks_after"] == sorted([*checks, "Drift of age"])
    assert seen["notes"] == ["a note"]
    assert {"age", "visits", "job", "_dc_sample_id", "_dc_time", "_dc_prediction"} < set(seen["production_columns"])
    with db.org_session(engine, acme.org) as org:
        counted = org.execute(
            text(
                "select (select count(*) from monitors), (select count(*) from alert_rules),"
                " (select sum(n) from quarter_hours), (select sum(n_labelled) from quarter_hours),"
                " (select count(*) from quarantine)"
            )
        ).one()
    assert tuple(counted) == (monitors + OWN_MONITORS + 1, rules + OWN_RULES + 1, 1_201, 1_000, 0)


def test_sdk_logs_and_reads_a_thousand_features(served: Dcmon, engine: Engine, acme: Acme) -> None:
    seen = session(served, acme.token, script="sdk_wide_session.py")

    assert seen["is_same"]
    assert seen["reference_shape"] == [40, 1_000]
    assert seen["reference_sum"] == seen["sent_sum"]
    with db.org_session(engine, acme.org) as org:
        assert org.scalar(text("select layout from versions")) == 2
        assert org.scalar(text("select count(*) from quarantine")) == 0


def test_sdk_reports_a_wrong_token(served: Dcmon) -> None:
    with pytest.raises(AssertionError, match="401"):
        session(served, "dcm_wrong", "binary")


def test_sdk_ignores_the_answer_that_says_what_became_of_rows(served: Dcmon, acme: Acme) -> None:
    seen = session(served, acme.token, script="sdk_answers_session.py")

    assert seen["ignored"] is None
    assert (seen["labels"]["stored"], seen["labels"]["waiting"]) == (1, 1)
    assert (seen["samples"]["stored"], seen["samples"]["duplicates"]) == (2, 1)
    assert seen["samples"]["quarantined"] == {"wrong_type": 1, "unknown_class": 1}
    first = {reason: (row["row"], row["field"], row["value"]) for reason, row in seen["samples"]["first"].items()}
    assert first == {"wrong_type": (3, "age", "forty"), "unknown_class": (4, "_dc_prediction", "maybe")}


def test_sdk_adds_alias_checks_rules_and_webhooks(served: Dcmon, acme: Acme) -> None:
    """The SDK sends {"args": []} for alias classes, and makes them again; what it shows of webhooks has no secret."""
    seen = session(served, acme.token, script="sdk_alerts_session.py")
    assert len(seen["checks"]) == 4
    assert all(name == class_name for name, class_name in seen["checks"].items())
    assert [webhook["id"] for webhook in seen["webhooks"]] == seen["ids"]
    assert [webhook["kind"] for webhook in seen["webhooks"]] == ["STANDARD", "PAGER_DUTY"]
    assert {tuple(webhook["notification_levels"]) for webhook in seen["webhooks"]} == {("critical", "high")}
    assert not any(secret in json.dumps(seen) for secret in ("t0psecret", "acc3ss", "R0UTINGKEY"))

"""Add checks of all alias classes, rules and webhooks with the official, unmodified SDK, and print them as JSON.

It is run by the SDK's own Python. Usage: python sdk_alerts_session.py HOST TOKEN
"""

import json
import sys
import warnings

warnings.filterwarnings("ignore")

from deepchecks.tabular.checks import (  # noqa: E402
    CategoryMismatchTrainTest,
    TrainTestFeatureDrift,
    TrainTestLabelDrift,
    TrainTestPredictionDrift,
)
from deepchecks_client import DeepchecksClient  # noqa: E402

ALIASES = (CategoryMismatchTrainTest, TrainTestFeatureDrift, TrainTestPredictionDrift, TrainTestLabelDrift)
LEVELS = ["critical", "high"]


def session(host: str, token: str) -> dict:
    client = DeepchecksClient(host=host, token=token)
    model = client.get_or_create_model("sdk-alerts", "binary", create_model_defaults=False)
    model.add_checks({kind.__name__: kind() for kind in ALIASES})
    recreated = {name: type(check).__name__ for name, check in model.get_checks().items()}
    monitor_id = model.add_monitor(check_name="TrainTestFeatureDrift", frequency="day", name="drift")
    rule_id = model.add_alert_rule_on_existing_monitor(
        monitor_id=monitor_id, threshold=0.2, greater_than=True, alert_severity="high"
    )
    standard_id = model.add_alert_webhook(
        "team", "https://hooks.example.org/x", "POST", "d", {"X-Token": "t0psecret"}, notification_levels=LEVELS
    )
    pager_id = model.add_pager_duty_alert_webhook(
        "pager", "https://events.pagerduty.com/v2/enqueue", "POST", "R0UTINGKEY", notification_levels=LEVELS,
        api_access_key="acc3ss-key",
    )  # fmt: skip
    webhooks = client.api.session.get("alert-webhooks").json()
    return {"checks": recreated, "rule": rule_id, "ids": [standard_id, pager_id], "webhooks": webhooks}


if __name__ == "__main__":
    print(json.dumps(session(*sys.argv[1:3])))

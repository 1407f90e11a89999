"""Scores of a small window that are counted by hand, through `dcmon monitor run` and the rules."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dcmon.app import App
from dcmon.storage import models, versions
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from tests.conftest import Acme
from tests.helpers.installed import Dcmon

START = datetime(2026, 3, 2, tzinfo=UTC)
Row = tuple[str, str, list[float]]  # label, prediction, probabilities
# TP 8, FN 2, FP 9, TN 81.
COUNTED: list[Row] = [
    *[("yes", "yes", [0.2, 0.8])] * 8, *[("yes", "no", [0.6, 0.4])] * 2,
    *[("no", "yes", [0.4, 0.6])] * 9, *[("no", "no", [0.9, 0.1])] * 81,
]  # fmt: skip
# No label is "yes", six are no class of the model, and the probabilities of twelve rows are none.
ODD: list[Row] = [
    *[("no", "no", [0.9, 0.1])] * 80, *[("no", "yes", [0.9, 0.2])] * 3, *[("no", "no", [1.2, -0.2])] * 4,
    *[("no", "no", [90.0, 30.0])] * 5, *[("maybe", "no", [0.9, 0.1])] * 6,
]  # fmt: skip


@pytest.fixture
def mail(app: App, acme: Acme, database_url: str, with_url: Callable[[str], Dcmon]) -> Dcmon:
    """Create a model with a window of each kind: 2026-03-02 counted by hand, 2026-03-03 odd."""
    with app.org(acme.org) as session:
        model = models.create(session, NewModel("mail", "binary"))
        version = versions.create(session, model, NewVersion("v1", {"x": "numeric"}, classes=["no", "yes"]))
        model_id, version_id = model.id, version.id
    rows, labels = list[dict[str, Any]](), list[dict[str, Any]]()
    for day, window in enumerate((COUNTED, ODD)):
        for number, (label, prediction, probabilities) in enumerate(window):
            name, time = f"{day}-{number}", START + timedelta(days=day, minutes=number)
            rows.append({"_dc_sample_id": name, "_dc_time": time.isoformat(), "_dc_prediction": prediction,
                         "_dc_prediction_probabilities": probabilities, "x": number})  # fmt: skip
            labels.append({"_dc_sample_id": name, "_dc_label": label})
    app.ingestion.ingest_samples(acme.org, version_id, [json.dumps(row).encode() for row in rows])
    app.ingestion.ingest_labels(acme.org, model_id, [json.dumps(label).encode() for label in labels])
    return with_url(database_url)


def newest(mail: Dcmon, scorers: str, *rules: str, at: str) -> dict[str, Any]:
    """Create a monitor of scorers, run it on a window, and return the result with the alerts that fire."""
    options = [part for scorer in scorers.split() for part in ("--scorer", scorer)]
    options += [part for rule in rules for part in ("--rule", rule)]
    mail.json("monitor", "create", "Scores", "--model", "mail", "--check", "SingleDatasetPerformance", *options)
    mail("-o", "json", "monitor", "run", "mail/Scores", "--at", at)
    result = mail.json("monitor", "history", "mail/Scores")[-1]
    return result | {"alerts": [alert["rule"] for alert in mail.json("alert", "list", "--all")]}


def test_rates_are_those_of_the_textbook(mail: Dcmon) -> None:
    result = newest(mail, "fpr fnr tnr specificity deepchecks_fpr deepchecks_fnr deepchecks_tnr",
                    "fpr > 0.11", "fpr > 0.09", at="2026-03-03")  # fmt: skip
    assert result["metrics"] == pytest.approx(
        {"fpr": 0.1, "fnr": 0.2, "tnr": 0.9, "specificity": 0.9,
         "deepchecks_fpr": 9 / 17, "deepchecks_fnr": 2 / 83, "deepchecks_tnr": 8 / 17}
    )  # fmt: skip
    assert result["alerts"] == ["fpr > 0.09"]


def test_averages_of_rates_are_those_of_the_textbook(mail: Dcmon) -> None:
    result = newest(mail, "fpr_macro fnr_macro tnr_macro fpr_micro fnr_weighted fpr_per_class", at="2026-03-03")
    assert result["metrics"] == pytest.approx(
        {"fpr_macro": 0.15, "fnr_macro": 0.15, "tnr_macro": 0.85, "fpr_micro": 0.11, "fnr_weighted": 0.11,
         "fpr no": 0.2, "fpr yes": 0.1}
    )  # fmt: skip


def test_absent_class_has_no_score_that_a_rule_could_judge(mail: Dcmon) -> None:
    result = newest(mail, "recall_per_class f1_per_class accuracy", "recall yes < 0.5", "f1 yes < 0.5",
                    "accuracy < 0.99", at="2026-03-04")  # fmt: skip
    assert result["metrics"].keys() == {"recall no", "f1 no", "accuracy"}
    assert "no recall yes, f1 yes:" in result["reason"]
    assert result["alerts"] == ["accuracy < 0.99"]


def test_unknown_label_costs_its_row_alone(mail: Dcmon) -> None:
    result = newest(mail, "accuracy fpr", at="2026-03-04")
    assert result["metrics"] == pytest.approx({"accuracy": 89 / 92, "fpr": 3 / 92})
    assert "6 rows have a label that is no class of the model ('maybe')" in result["reason"]


def test_probabilities_that_are_none_are_counted(mail: Dcmon) -> None:
    result = newest(mail, "neg_brier_score accuracy", at="2026-03-04")
    assert "9 rows of the window have probabilities below 0 or above 1" in result["reason"]
    assert "3 rows of the window have probabilities that do not add up to 1" in result["reason"]

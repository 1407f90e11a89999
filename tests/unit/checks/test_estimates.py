"""The check EstimatedPerformance: estimated and realised scores, their gap, and why they have no value."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from dcmon.checks.catalogue import ESTIMATED_PERFORMANCE
from dcmon.checks.check_run import CheckSetup
from dcmon.checks.dataset_schema import CheckValue, DatasetSchema
from dcmon.checks.runner import run
from dcmon.statistics import calibration
from dcmon.statistics.estimated_performance import ExpectedRows, estimated_score
from tests.helpers.packed_rows import decoded
from tests.unit.statistics.simulated_models import Model, Rows, binary_rows, multiclass_rows, realised_score

LABEL, PREDICTION, PROBABILITIES = "_dc_label", "_dc_prediction", "_dc_prediction_probabilities"
CLASSES = ("a", "b", "c")


def frame(rows: Rows, n_labelled: int | None = None) -> pd.DataFrame:
    """Return rows as they are logged. `n_labelled`: only the first rows have a label; None: all."""
    n_labelled = len(rows.labels) if n_labelled is None else n_labelled
    labels = [CLASSES[label] if number < n_labelled else None for number, label in enumerate(rows.labels)]
    return pd.DataFrame(
        {
            PREDICTION: [CLASSES[prediction] for prediction in rows.predictions],
            LABEL: pd.Series(labels, dtype=object),
            PROBABILITIES: [list(row) for row in rows.probabilities],
        }
    )


def value(current: pd.DataFrame, reference: pd.DataFrame, *, n_classes: int | None = 2, **params: Any) -> CheckValue:
    classes = list(CLASSES[:n_classes]) if n_classes else None
    schema = DatasetSchema("multiclass" if n_classes == 3 else "binary", {}, classes)
    conf = {"check_conf": {key: params.pop(key) for key in ("scorer", "class") if key in params}}
    setup = CheckSetup(ESTIMATED_PERFORMANCE, params, conf, schema)
    return run(setup, decoded(current, schema), decoded(reference, schema))


@pytest.fixture(scope="module")
def reference() -> Rows:
    return binary_rows(Model(np.random.default_rng(1), 3_000))


@pytest.fixture(scope="module")
def window() -> Rows:
    return binary_rows(Model(np.random.default_rng(2), 1_000, shift=0.5))


def expected(reference: Rows, window: Rows, scorer: str) -> float:
    fitted = calibration.fit(reference.probabilities, reference.labels)
    return estimated_score(scorer, ExpectedRows(window.probabilities, window.predictions, fitted)).value


def test_window_without_labels_has_an_estimate(reference: Rows, window: Rows) -> None:
    result = value(frame(window, 0), frame(reference))
    assert (result.state, result.reason) == ("OK", None)
    assert result.metrics == {"Accuracy estimated": pytest.approx(expected(reference, window, "accuracy"), abs=1e-12)}


def test_window_with_labels_has_a_realised_score_and_gap(reference: Rows, window: Rows) -> None:
    result = value(frame(window), frame(reference), scorer=["accuracy", "f1", "roc_auc"])
    for scorer in ("accuracy", "f1", "roc_auc"):
        estimate, realised = expected(reference, window, scorer), realised_score(scorer, window)
        assert result.metrics[f"{scorer} estimated"] == pytest.approx(estimate, abs=1e-12)
        assert result.metrics[f"{scorer} realised"] == pytest.approx(realised, abs=1e-12)
        assert result.metrics[f"{scorer} gap"] == pytest.approx(realised - estimate, abs=1e-12)
    assert len(result.metrics) == 9


def test_metrics_have_intervals(reference: Rows, window: Rows) -> None:
    """That of the gap contains 0 if the realised score is in the interval of the estimate."""
    known = frame(reference)
    wrong = window._replace(labels=1 - window.predictions)
    for rows, is_as_expected in ((window, True), (wrong, False)):
        result = value(frame(rows), known, scorer=["accuracy", "roc_auc", "recall_per_class"])
        assert result.intervals.keys() == result.metrics.keys()
        for name, (low, high) in result.intervals.items():
            assert low <= result.metrics[name] <= high
        low, high = result.intervals["accuracy gap"]
        assert (low <= 0 <= high) is is_as_expected


def test_gap_is_of_the_labelled_rows(reference: Rows, window: Rows) -> None:
    """The rows with a label may differ from those without, so both sides of the gap are about the same rows."""
    order = np.argsort(window.probabilities[:, 1])
    ordered = Rows(*(column[order] for column in window))
    labelled = Rows(*(column[:300] for column in ordered))
    metrics = value(frame(ordered, 300), frame(reference)).metrics
    realised = realised_score("accuracy", labelled)
    assert metrics["Accuracy realised"] == pytest.approx(realised, abs=1e-12)
    assert metrics["Accuracy gap"] == pytest.approx(realised - expected(reference, labelled, "accuracy"), abs=1e-12)
    assert metrics["Accuracy estimated"] == pytest.approx(expected(reference, window, "accuracy"), abs=1e-12)


def test_few_labels_have_no_gap(reference: Rows, window: Rows) -> None:
    result = value(frame(window, 29), frame(reference))
    assert list(result.metrics) == ["Accuracy estimated"]
    assert result.reason == "no realised score: 29 rows have a label, and 30 are needed (min_labels)"
    assert len(value(frame(window, 29), frame(reference), min_labels=29).metrics) == 3


def test_scores_of_classes_can_be_chosen(reference: Rows, window: Rows) -> None:
    three = multiclass_rows(Model(np.random.default_rng(4), 3_000))
    now = multiclass_rows(Model(np.random.default_rng(5), 1_000))
    result = value(frame(now), frame(three), n_classes=3, scorer=["recall_per_class", "f1_macro"], **{"class": ["b"]})
    assert set(result.metrics) == {
        *("recall estimated b", "recall realised b", "recall gap b"),
        *("f1_macro estimated", "f1_macro realised", "f1_macro gap"),
    }
    is_b = now.labels == 1
    assert result.metrics["recall realised b"] == pytest.approx((now.predictions[is_b] == 1).mean(), abs=1e-12)


def test_calibration_is_computed_once_for_a_reference(
    reference: Rows, window: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    fit = calibration.fit
    monkeypatch.setattr(calibration, "fit", lambda *arguments: calls.append(1) or fit(*arguments))
    schema = DatasetSchema("binary", {}, list(CLASSES[:2]))
    prepared = decoded(frame(reference), schema)
    for _ in range(3):
        setup = CheckSetup(ESTIMATED_PERFORMANCE, {}, {}, schema)
        assert run(setup, decoded(frame(window), schema), prepared).state == "OK"
    assert len(calls) == 1


def test_rows_without_probabilities_are_left_out(reference: Rows, window: Rows) -> None:
    rows = frame(window)
    rows.loc[900:, PROBABILITIES] = None
    result = value(rows, frame(reference))
    assert result.reason == "left out 100 rows of the window without a prediction and probabilities"
    first = Rows(*(column[:900] for column in window))
    assert result.metrics["Accuracy estimated"] == pytest.approx(expected(reference, first, "accuracy"), abs=1e-12)


def test_numbers_that_are_no_probabilities_are_counted(reference: Rows, window: Rows) -> None:
    percent = frame(window._replace(probabilities=100 * window.probabilities))
    result = value(percent, frame(reference))
    assert result.reason == "1,000 rows of the window have probabilities below 0 or above 1 (percent?)"


def test_label_of_no_class_is_left_out_of_the_gap(reference: Rows, window: Rows) -> None:
    rows = frame(window)
    rows.loc[:9, LABEL] = "zebra"
    metrics = value(rows, frame(reference)).metrics
    known = Rows(*(column[10:] for column in window))
    assert metrics["Accuracy realised"] == pytest.approx(realised_score("accuracy", known), abs=1e-12)
    assert metrics["Accuracy gap"] == pytest.approx(
        realised_score("accuracy", known) - expected(reference, known, "accuracy"), abs=1e-12
    )


def test_score_that_the_rows_do_not_determine_says_why(reference: Rows, window: Rows) -> None:
    never = window._replace(predictions=np.zeros_like(window.predictions))
    result = value(frame(never), frame(reference), scorer=["precision", "accuracy"])
    assert set(result.metrics) == {"accuracy estimated", "accuracy realised", "accuracy gap"}
    assert "no precision estimated: The precision has no value" in (result.reason or "")
    alone = value(frame(never), frame(reference), scorer=["precision"])
    assert (alone.state, alone.metrics) == ("INSUFFICIENT", {})
    assert "The precision has no value" in (alone.reason or "")


def test_reference_without_outputs_is_no_data(reference: Rows, window: Rows) -> None:
    without_labels = value(frame(window), frame(reference, 0))
    assert (without_labels.state, without_labels.metrics) == ("NO_DATA", {})
    assert without_labels.reason == "No row of the reference has a label. Load one with labels (_dc_label)."
    known = frame(reference)
    known[PROBABILITIES] = None
    without_probabilities = value(frame(window), known)
    assert without_probabilities.state == "NO_DATA"
    assert "calibrated on the reference, and no row of it has probabilities" in (without_probabilities.reason or "")


def test_window_without_probabilities_is_no_data(reference: Rows, window: Rows) -> None:
    rows = frame(window)
    rows[PROBABILITIES] = None
    result = value(rows, frame(reference))
    assert result.state == "NO_DATA"
    assert "no row has them" in (result.reason or "")


def test_small_reference_is_insufficient(reference: Rows, window: Rows) -> None:
    result = value(frame(window), frame(Rows(*(column[:49] for column in reference))))
    assert result.state == "INSUFFICIENT"
    assert result.reason == (
        "The reference has 49 rows with label and probabilities, 50 are needed."
        ' Load more labelled rows with "dcmon reference load".'
    )


def test_untrusted_calibration_is_refused_with_its_figure(window: Rows) -> None:
    labels = np.arange(1_000) % 2
    scores = 0.4 + 0.2 * labels
    timid = Rows(np.column_stack((1 - scores, scores)), labels, labels)
    result = value(frame(window), frame(timid))
    assert (result.state, result.metrics) == ("INSUFFICIENT", {})
    assert (result.reason or "").startswith("Scores can't be estimated: the calibration is off by 0.4 (")


def test_version_without_class_names_is_an_error(reference: Rows, window: Rows) -> None:
    result = value(frame(window), frame(reference), n_classes=None)
    assert result.state == "ERROR"
    assert "the version names no classes" in (result.reason or "")


@pytest.mark.parametrize("params", [{"min_labels": 0}, {"min_labels": "many"}, {"scorers": ["brier"]}])
def test_unfit_parameters_are_errors(params: dict[str, Any], reference: Rows, window: Rows) -> None:
    result = value(frame(window), frame(reference), **params)
    assert result.state == "ERROR"
    assert (result.reason or "").startswith("EstimatedPerformance failed: ")

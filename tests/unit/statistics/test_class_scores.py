"""Scores of predicted classes are those of the textbook, counted by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.statistics.class_scores import Average
from dcmon.statistics.errors import InvalidParameter, Undefined
from dcmon.statistics.scorers import class_score
from tests.helpers.classified_rows import classified, counted
from tests.helpers.examples import examples

CLASSES = ("a", "b", "c")
PAIRS = st.lists(st.tuples(st.sampled_from(CLASSES), st.sampled_from(CLASSES)), min_size=1, max_size=40)
BINARY = st.tuples(*[st.integers(1, 30)] * 4)


@pytest.mark.parametrize(
    ("scorer", "value"),
    [
        ("accuracy", 0.89),
        ("precision", 8 / 17),
        ("recall", 0.8),
        ("sensitivity", 0.8),
        ("f1", 16 / 27),
        ("jaccard", 8 / 19),
        ("fpr", 0.1),
        ("fnr", 0.2),
        ("tnr", 0.9),
        ("specificity", 0.9),
        ("Specificity", 0.9),
        ("balanced_accuracy", 0.85),
        ("positive_likelihood_ratio", 8.0),
        ("deepchecks_fpr", 9 / 17),
        ("deepchecks_fnr", 2 / 83),
        ("deepchecks_tnr", 8 / 17),
    ],
)
def test_score_of_a_binary_model_is_that_of_the_textbook(scorer: str, value: float) -> None:
    """TP 8, FN 2, FP 9, TN 81."""
    assert class_score(scorer, counted(8, 2, 9, 81)) == pytest.approx(value, abs=1e-12)


@settings(max_examples=examples(50))
@given(BINARY)
def test_rates_of_a_binary_model_fit_together(counts: tuple[int, int, int, int]) -> None:
    """What is not recalled is missed, and what is not a false alarm is specific."""
    tp, fn, fp, tn = counts
    rows = counted(tp, fn, fp, tn)
    score = {name: class_score(name, rows) for name in ("fpr", "fnr", "tnr", "recall", "f1", "jaccard", "precision")}
    assert score["fpr"] == pytest.approx(fp / (fp + tn), abs=1e-12)
    assert score["fnr"] == pytest.approx(fn / (fn + tp), abs=1e-12)
    assert float(score["fpr"]) + float(score["tnr"]) == pytest.approx(1, abs=1e-12)
    assert float(score["fnr"]) + float(score["recall"]) == pytest.approx(1, abs=1e-12)
    jaccard = float(score["jaccard"])
    assert score["f1"] == pytest.approx(2 * jaccard / (1 + jaccard), abs=1e-12)
    numerator, root = tp * tn - fp * fn, ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)) ** 0.5
    assert class_score("matthews_corrcoef", rows) == pytest.approx(numerator / root, abs=1e-12)


@settings(max_examples=examples(50))
@given(PAIRS)
def test_scores_per_class_are_counted_one_against_all(pairs: list[tuple[str, str]]) -> None:
    labels, predictions = zip(*pairs, strict=True)
    rows = classified(labels, predictions, CLASSES)
    for name in CLASSES:
        tp = sum(pair == (name, name) for pair in pairs)
        fp = sum(predicted == name != label for label, predicted in pairs)
        fn = sum(label == name != predicted for label, predicted in pairs)
        tn = len(pairs) - tp - fp - fn
        expected = {
            "precision": tp / (tp + fp) if tp + fp else None,
            "recall": tp / (tp + fn) if tp + fn else None,
            "f1": 2 * tp / (2 * tp + fp + fn) if tp + fn else None,
            "jaccard": tp / (tp + fp + fn) if tp + fn else None,
            "fpr": fp / (fp + tn) if fp + tn else None,
            "tnr": tn / (fp + tn) if fp + tn else None,
            "fnr": fn / (fn + tp) if tp + fn else None,
        }
        for metric, value in expected.items():
            score = class_score(f"{metric}_per_class", rows)
            assert isinstance(score, dict)
            assert score[name] == (None if value is None else pytest.approx(value, abs=1e-12)), metric


@settings(max_examples=examples(30))
@given(PAIRS)
def test_micro_averages_over_all_classes_are_the_accuracy(pairs: list[tuple[str, str]]) -> None:
    rows = classified(*zip(*pairs, strict=True), CLASSES)
    accuracy = sum(label == predicted for label, predicted in pairs) / len(pairs)
    for name in ("accuracy", "precision_micro", "recall_micro", "f1_micro", "recall_weighted", "recall_samples"):
        assert class_score(name, rows) == pytest.approx(accuracy, abs=1e-12), name


@pytest.mark.parametrize("metric", ["recall", "f1", "jaccard", "fnr"])
def test_class_without_labels_has_no_score(metric: str) -> None:
    rows = classified(["a", "a", "b"], ["a", "c", "b"], CLASSES)
    score = class_score(f"{metric}_per_class", rows)
    assert isinstance(score, dict)
    assert score["c"] is None
    assert None not in (score["a"], score["b"])
    with pytest.raises(Undefined, match="No row of the window is 'yes'"):
        class_score(metric, counted(0, 0, 2, 3))


def test_class_that_was_never_predicted_has_no_precision() -> None:
    score = class_score("precision_per_class", classified(["a", "b"], ["a", "a"], CLASSES))
    assert score == {"a": 0.5, "b": None, "c": None}
    with pytest.raises(Undefined, match="No row of the window was predicted as 'yes'"):
        class_score("precision", counted(0, 2, 0, 3))


def test_macro_average_of_rates_leaves_out_absent_classes() -> None:
    rows = classified(["a", "a", "b", "b"], ["a", "b", "b", "b"], CLASSES)
    assert class_score("fnr_macro", rows) == pytest.approx((0.5 + 0) / 2, abs=1e-12)


def test_label_that_a_binary_model_does_not_know_costs_its_row() -> None:
    rows = classified(["no", "yes", "maybe"], ["no", "yes", "yes"], ("no", "yes"))
    assert (len(rows), rows.n_unknown, class_score("accuracy", rows)) == (2, 1, 1.0)


@pytest.mark.parametrize(
    "scorer", ["precision", "fpr", "deepchecks_fnr", "matthews_corrcoef", "balanced_accuracy", "neg_log_loss"]
)
def test_binary_scorer_of_three_classes_is_refused(scorer: str) -> None:
    with pytest.raises(InvalidParameter, match="two classes"):
        class_score(scorer, classified(["a"], ["b"], CLASSES))


@pytest.mark.parametrize("scorer", ["recall_samples", "roc_auc_per_class", "deepchecks_fpr_macro"])
def test_multiclass_scorer_of_two_classes_is_refused(scorer: str) -> None:
    with pytest.raises(InvalidParameter, match="more than two classes"):
        class_score(scorer, counted(1, 2, 3, 4))


@pytest.mark.parametrize("average", [Average.MACRO, Average.WEIGHTED, Average.MICRO])
def test_average_of_perfect_predictions_is_one(average: Average) -> None:
    rows = classified(["a", "b", "c"], ["a", "b", "c"], CLASSES)
    assert class_score(f"f1_{average}", rows) == 1.0
    assert class_score(f"fpr_{average}", rows) == 0.0


def test_unknown_scorer_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="luck is unknown"):
        class_score("luck", counted(1, 2, 3, 4))

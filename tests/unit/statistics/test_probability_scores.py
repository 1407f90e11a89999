"""Scores of probabilities agree with their definitions, computed naively."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.statistics.confusion import ClassifiedRows
from dcmon.statistics.errors import Undefined
from dcmon.statistics.scorers import class_score
from tests.helpers.classified_rows import classified
from tests.helpers.examples import examples

# Labels (True: the second class) with probabilities of few distinct values, so that ties are frequent; both classes.
SCORED = st.lists(st.tuples(st.booleans(), st.integers(0, 8).map(lambda n: n / 8)), min_size=2, max_size=30).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


def binary(rows: list[tuple[bool, float]]) -> ClassifiedRows:
    labels = ["yes" if label else "no" for label, _ in rows]
    probabilities = np.array([[1 - p, p] for _, p in rows])
    return classified(labels, labels, ("no", "yes"), probabilities)


def pair_count(rows: list[tuple[bool, float]]) -> float:
    """Return the share of pairs of a positive and a negative row whose order is right; a tie counts half."""
    positive, negative = ([p for label, p in rows if label is wanted] for wanted in (True, False))
    wins = sum((p > n) + (p == n) / 2 for p in positive for n in negative)
    return wins / (len(positive) * len(negative))


@settings(max_examples=examples(50))
@given(SCORED)
def test_auc_is_the_share_of_pairs_in_order(rows: list[tuple[bool, float]]) -> None:
    assert class_score("roc_auc", binary(rows)) == pytest.approx(pair_count(rows), abs=1e-12)
    mirrored = [(label, 1 - p) for label, p in rows]
    assert class_score("roc_auc", binary(mirrored)) == pytest.approx(1 - pair_count(rows), abs=1e-12)


@settings(max_examples=examples(50))
@given(SCORED)
def test_average_precision_is_summed_over_thresholds(rows: list[tuple[bool, float]]) -> None:
    n_positive, recall_before, expected = sum(label for label, _ in rows), 0.0, 0.0
    for threshold in sorted({p for _, p in rows}, reverse=True):
        chosen = [label for label, p in rows if p >= threshold]
        recall = sum(chosen) / n_positive
        expected += (recall - recall_before) * sum(chosen) / len(chosen)
        recall_before = recall
    assert class_score("average_precision", binary(rows)) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=examples(50))
@given(SCORED)
def test_brier_score_and_log_loss_are_means_over_rows(rows: list[tuple[bool, float]]) -> None:
    brier = sum((p - label) ** 2 for label, p in rows) / len(rows)
    assert class_score("neg_brier_score", binary(rows)) == pytest.approx(-brier, abs=1e-12)
    inner = [(label, min(max(p, 0.01), 0.99)) for label, p in rows]
    log_loss = sum(math.log(p if label else 1 - p) for label, p in inner) / len(rows)
    assert class_score("neg_log_loss", binary(inner)) == pytest.approx(log_loss, abs=1e-12)


def test_auc_of_classes_is_one_against_all() -> None:
    labels = ["a", "a", "b", "b", "c", "c", "c"]
    probabilities = np.random.default_rng(3).dirichlet([1, 1, 1], len(labels)).round(1)
    rows = classified(labels, labels, ("a", "b", "c"), probabilities)
    areas = {
        name: pair_count([(label == name, p) for label, p in zip(labels, probabilities[:, index], strict=True)])
        for index, name in enumerate("abc")
    }
    assert class_score("roc_auc_per_class", rows) == pytest.approx(areas, abs=1e-12)
    assert class_score("roc_auc_ovr", rows) == pytest.approx(sum(areas.values()) / 3, abs=1e-12)
    weighted = sum(areas[name] * labels.count(name) for name in "abc") / len(labels)
    assert class_score("roc_auc_ovr_weighted", rows) == pytest.approx(weighted, abs=1e-12)


@pytest.mark.parametrize("scorer", ["roc_auc", "average_precision", "top_k_accuracy"])
def test_score_of_one_class_is_undefined(scorer: str) -> None:
    with pytest.raises(Undefined, match="No row is 'yes'"):
        class_score(scorer, binary([(False, 0.5), (False, 0.25)]))


def test_rows_without_probabilities_are_left_out() -> None:
    labels = ["no", "yes", "no"]
    rows = classified(labels, labels, ("no", "yes"), np.array([[0.9, 0.1], [0.2, 0.8], [np.nan, np.nan]]))
    assert (len(rows), rows.n_left_out, class_score("roc_auc", rows)) == (2, 1, 1.0)


def test_unknown_label_is_one_of_the_others_in_each_area() -> None:
    labels = ["a", "a", "b", "b", "c", "c", "unknown"]
    probabilities = np.array([
        [0.7, 0.2, 0.1], [0.3, 0.3, 0.4], [0.2, 0.6, 0.2], [0.4, 0.4, 0.2], [0.1, 0.1, 0.8], [0.3, 0.5, 0.2],
        [0.05, 0.05, 0.9],
    ])  # fmt: skip
    rows = classified(labels, ["a"] * 7, ("a", "b", "c"), probabilities)
    expected = {
        name: pair_count([(label == name, p) for label, p in zip(labels, probabilities[:, index], strict=True)])
        for index, name in enumerate("abc")
    }
    assert class_score("roc_auc_per_class", rows) == pytest.approx(expected)
    assert class_score("roc_auc_ovr", rows) == pytest.approx(np.mean(list(expected.values())))

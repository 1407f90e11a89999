"""The values that dcmon must have: those of the library, but for what dcmon does in another way on purpose.

docs/decisions.md, "Statistics of dcmon's own", lists these differences.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from tests.helpers import deepchecks_library as library
from tests.helpers.deepchecks_library import LABEL, PREDICTION, PROBABILITIES, Case, World
from tests.helpers.mended_library import mended_library

RATES = ("fpr", "fnr", "tnr")
OF_LABELS, OF_PREDICTIONS = ("recall", "f1", "jaccard", "average_precision"), ("precision",)


def expected_value(case: Case, world: World) -> dict[str, float]:
    """Return the finite numbers of a check. Raises the library's own exceptions."""
    with mended_library(set()):
        return _expected_value(case, world)


def _expected_value(case: Case, world: World) -> dict[str, float]:
    if world.task_type == "regression" or case.class_name != "SingleDatasetPerformance":
        return library.value(case, world)
    chosen = case.params.get("scorers", [])
    scorer = chosen[0] if isinstance(chosen, list) and len(chosen) == 1 else ""
    used = with_known_labels(world)
    if scorer.startswith(RATES):
        return textbook_rates(scorer, used)
    if scorer == "roc_auc_per_class":
        return areas(used)
    if scorer.startswith("deepchecks_"):
        named = replace(case, params={"scorers": [scorer.removeprefix("deepchecks_")]})
        return {f"deepchecks_{name}": number for name, number in library.value(named, used).items()}
    return {name: number for name, number in library.value(case, used).items() if is_defined(name, scorer, used)}


def classes_of(world: World) -> list[str]:
    """Return the classes of the version; without names those of the rows."""
    if world.classes:
        return list(world.classes)
    rows = world.current
    return sorted(set(rows[LABEL].dropna()) | set(rows[PREDICTION].dropna()))


def with_known_labels(world: World) -> World:
    """Leave out rows with a label that a model of two named classes does not know."""
    if not world.classes or len(world.classes) != 2:
        return world
    labels = world.current[LABEL]
    return replace(world, current=world.current[labels.isna() | labels.isin(world.classes)].reset_index(drop=True))


def is_defined(metric: str, scorer: str, world: World) -> bool:
    """Return False for a score of a class that no row has."""
    name, _, class_name = metric.partition(" ")
    classes = classes_of(world)
    if class_name not in classes:
        name = scorer or metric.lower()
        if name not in (*OF_LABELS, *OF_PREDICTIONS):
            return True
        class_name = classes[1]
    rows = world.current[world.current[LABEL].notna() & world.current[PREDICTION].notna()]
    if name.startswith(OF_LABELS):
        return bool((rows[LABEL] == class_name).any())
    return not name.startswith(OF_PREDICTIONS) or bool((rows[PREDICTION] == class_name).any())


def textbook_rates(scorer: str, world: World) -> dict[str, float]:
    """Count false and true positives and negatives of each class by hand."""
    rows = world.current[world.current[LABEL].notna() & world.current[PREDICTION].notna()]
    classes = classes_of(world)
    known = rows[rows[LABEL].isin(classes)]
    rate, _, average = scorer.partition("_")
    counts = {name: _counts(rate, known[LABEL] == name, known[PREDICTION] == name) for name in classes}
    defined = {name: top / bottom for name, (top, bottom) in counts.items() if bottom}
    if not defined:
        return {}
    if not average:
        return {scorer: defined[classes[1]]} if classes[1] in defined else {}
    return _AVERAGES[average](rate, counts, defined, known[LABEL].value_counts().to_dict())


def _counts(rate: str, is_label: "pd.Series[bool]", is_predicted: "pd.Series[bool]") -> tuple[int, int]:
    if rate == "fpr":
        return int((is_predicted & ~is_label).sum()), int((~is_label).sum())
    if rate == "tnr":
        return int((~is_predicted & ~is_label).sum()), int((~is_label).sum())
    return int((~is_predicted & is_label).sum()), int(is_label.sum())


def _micro(rate: str, counts: Mapping[str, tuple[int, int]], *_: Any) -> dict[str, float]:
    return {f"{rate}_micro": sum(top for top, _ in counts.values()) / sum(bottom for _, bottom in counts.values())}


def _macro(rate: str, _: Any, defined: Mapping[str, float], *__: Any) -> dict[str, float]:
    return {f"{rate}_macro": sum(defined.values()) / len(defined)}


def _weighted(rate: str, _: Any, defined: Mapping[str, float], labels: Mapping[str, int]) -> dict[str, float]:
    weights = {name: labels.get(name, 0) for name in defined}
    total = sum(weights.values())
    return {f"{rate}_weighted": sum(defined[name] * n for name, n in weights.items()) / total} if total else {}


def _per_class(rate: str, _: Any, defined: Mapping[str, float], *__: Any) -> dict[str, float]:
    return {f"{rate} {name}": number for name, number in defined.items()}


_AVERAGES: Mapping[str, Callable[..., dict[str, float]]] = {
    "micro": _micro,
    "macro": _macro,
    "weighted": _weighted,
    "per_class": _per_class,
}


def areas(world: World) -> dict[str, float]:
    from sklearn.metrics import roc_auc_score

    rows = world.current.dropna(subset=[LABEL, PREDICTION, PROBABILITIES])
    classes: Sequence[str] = classes_of(world)
    labels = rows[LABEL]  # one that the model does not know is one of the others; the library takes it for the first
    return {
        f"roc_auc {name}": float(roc_auc_score(labels == name, [vector[index] for vector in rows[PROBABILITIES]]))
        for index, name in enumerate(classes)
        if (labels == name).any() and not (labels == name).all()
    }

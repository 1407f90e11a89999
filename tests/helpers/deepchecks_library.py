"""Values of checks from the deepchecks library, called directly without dcmon."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

NUMBERS, CATEGORIES = ("numeric", "integer", "bigint"), ("categorical", "boolean")
LABEL, PREDICTION, PROBABILITIES = "_dc_label", "_dc_prediction", "_dc_prediction_probabilities"


@dataclass(frozen=True)
class World:
    """The rows of a window and the reference of a version."""

    task_type: str
    columns: Mapping[str, str]
    classes: Sequence[str] | None
    importance: Mapping[str, float] | None
    current: pd.DataFrame
    reference: pd.DataFrame


@dataclass(frozen=True)
class Case:
    """A check with parameters and the options of a monitor."""

    class_name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    conf: Mapping[str, Sequence[str]] = field(default_factory=dict)
    res_conf: Sequence[str] | None = None

    @property
    def name(self) -> str:
        parts = [self.class_name, *(f"{k}={v}" for k, v in [*self.params.items(), *self.conf.items()])]
        return " ".join([*parts, *(self.res_conf or [])])[:100]


def value(case: Case, world: World) -> dict[str, float]:
    """Return the finite numbers of a check. Raises the library's own exceptions."""
    from deepchecks.core.reduce_classes import ReduceLabelMixin
    from deepchecks.tabular import TrainTestCheck, checks

    check_class = getattr(checks, case.class_name)
    labelled, compares = issubclass(check_class, ReduceLabelMixin), issubclass(check_class, TrainTestCheck)
    check = check_class(**_arguments(case), n_samples=None)
    current, reference = (_labelled(rows) if labelled else rows for rows in (world.current, world.reference))
    has_probabilities = _reads_probabilities(case, check, world)
    if has_probabilities:
        current, reference = (rows[rows[PROBABILITIES].notna()] for rows in (current, reference))
    common: dict[str, Any] = {
        "feature_importance": None if world.importance is None else pd.Series(world.importance),
        "model_classes": list(world.classes) if world.classes else None,
        "with_display": False,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        test = _dataset(current, world, labelled)
        if compares:
            outputs = _outputs(reference, "_train", world, has_probabilities) | _outputs(
                current, "_test", world, has_probabilities
            )
            result = check.run(_dataset(reference, world, labelled), test, **outputs, **common)
        else:
            result = check.run(test, **_outputs(current, "", world, has_probabilities), **common)
        reduced = check.reduce_output(result)
    return {
        " ".join(map(str, key)) if isinstance(key, tuple) else str(key): float(number)
        for key, number in reduced.items()
        if _is_asked(case, key) and number is not None and number is not pd.NA and math.isfinite(number)
    }


def _arguments(case: Case) -> dict[str, Any]:
    conf, arguments = case.conf, dict(case.params)
    if "feature" in conf:
        arguments["columns"] = list(conf["feature"])
    if "scorer" in conf:
        arguments["scorers"] = list(conf["scorer"])
    if "aggregation method" in conf:
        arguments["aggregation_method"] = conf["aggregation method"][0]
    return arguments


def _is_asked(case: Case, key: Any) -> bool:
    last = str(key[-1]) if isinstance(key, tuple) else None
    if last is not None and "class" in case.conf and last not in case.conf["class"]:
        return False
    return not case.res_conf or key in case.res_conf or last in case.res_conf


def _reads_probabilities(case: Case, check: Any, world: World) -> bool:
    """Return True if the library reads probabilities for this check."""
    from deepchecks.tabular.metric_utils.scorers import DeepcheckScorer

    if world.task_type == "regression" or world.current[PROBABILITIES].isna().all():
        return False
    if case.class_name.endswith("PredictionDrift"):
        return check.drift_mode == "proba" or (check.drift_mode == "auto" and world.task_type == "binary")
    scorers = getattr(check, "scorers", None) or []
    return any(DeepcheckScorer(scorer, None, None, "any")._is_proba_scorer for scorer in scorers)


def _labelled(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows[LABEL].notna()]


def _dataset(rows: pd.DataFrame, world: World, labelled: bool) -> Any:
    from deepchecks.tabular import Dataset

    frame = rows[list(world.columns)].copy()
    for name, kind in world.columns.items():
        if kind in NUMBERS and frame[name].dtype == object:
            frame[name] = frame[name].astype(float)
        if kind == "datetime":
            frame[name] = pd.to_datetime(frame[name], utc=True)
        if kind.startswith("array"):
            frame[name] = frame[name].map(lambda values: values if values is None else tuple(values))
    if labelled:
        frame["target"] = rows[LABEL]
    return Dataset(
        frame,
        label="target" if labelled else None,
        cat_features=[name for name, kind in world.columns.items() if kind in CATEGORIES],
        features=list(world.columns),
        label_type=world.task_type,
    )


def _outputs(rows: pd.DataFrame, suffix: str, world: World, has_probabilities: bool) -> dict[str, Any]:
    values = np.array(rows[PROBABILITIES].tolist()) if has_probabilities else None
    return {f"y_pred{suffix}": rows[PREDICTION].to_numpy(), f"y_proba{suffix}": values}

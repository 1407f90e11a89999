"""A classifier for "arrives more than 15 minutes late", trained on January to March."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dcmon.demo.flights import FEATURES, REFERENCE_MONTHS

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from sklearn.pipeline import Pipeline

CLASSES = ("0", "1")
_SEED = 2013
_IMPORTANCE_ROWS = 6_000


@dataclass(frozen=True)
class TrainedClassifier:
    """A trained classifier, its reference and its scores.

    `importance`: one share per feature, they sum to 1. `reference`: January to March with `prediction` ("0", "1") and
    `probability` (of "1"), each month predicted by a classifier that has not seen it. `held_out`: accuracy, f1, recall
    and roc_auc of those predictions.
    """

    pipeline: "Pipeline"
    importance: Mapping[str, float]
    reference: "pd.DataFrame"
    held_out: Mapping[str, float]

    def predict(self, flights: "pd.DataFrame") -> "pd.DataFrame":
        """Return flights (rows of `flights.load`) with the columns `prediction` and `probability`."""
        return _predicted(self.pipeline, flights)


def train(flights: "pd.DataFrame") -> TrainedClassifier:
    """Train on January to March of all flights (rows of `flights.load`). The result is always the same.

    The reference has all flights of these months, cancelled and diverted ones too: production has them as well, so a
    reference without them would show a drift that does not exist. They have no label and are not used for training.

    A classifier is too confident on rows that it was trained on, and production would seem to drift from these
    predictions. So each month of the reference is predicted by a classifier that was trained on the other months.
    """
    import pandas as pd

    months = flights[flights["month"].isin(REFERENCE_MONTHS)]
    parts, shares = [], []
    for month in REFERENCE_MONTHS:
        unseen = months["month"] == month
        pipeline = _fitted(months[~unseen])
        parts.append(_predicted(pipeline, months[unseen]))
        shares.append(_importance(pipeline, months[unseen]))
    reference = pd.concat(parts).sort_index(kind="stable")
    mean = {name: sum(share[name] for share in shares) for name in FEATURES}
    total = sum(mean.values())
    importance = {name: value / total for name, value in mean.items()}
    return TrainedClassifier(_fitted(months), importance, reference, _scores(reference))


def _fitted(flights: "pd.DataFrame") -> "Pipeline":
    import numpy as np
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    # A destination that appears after March is treated as a missing value.
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    categories = [name for name, kind in FEATURES.items() if kind == "categorical"]
    columns = make_column_transformer((encode, categories), remainder="passthrough")
    model = HistGradientBoostingClassifier(
        categorical_features=range(len(categories)),
        max_iter=50,
        learning_rate=0.15,
        max_leaf_nodes=15,
        early_stopping=False,
        random_state=_SEED,
    )
    labelled = flights[flights["late"].notna()]
    return make_pipeline(columns, model).fit(labelled[list(FEATURES)], labelled["late"].astype(str))


def _predicted(pipeline: "Pipeline", flights: "pd.DataFrame") -> "pd.DataFrame":
    probability = pipeline.predict_proba(flights[list(FEATURES)])[:, 1]
    prediction = _class(probability)
    return flights.assign(prediction=prediction, probability=probability.round(6))


def _class(probability: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    import numpy as np

    return np.where(probability > 0.5, CLASSES[1], CLASSES[0]).astype(object)


def _importance(pipeline: "Pipeline", unseen: "pd.DataFrame") -> dict[str, float]:
    """Return the permutation importance of each feature.

    It is how much ROC AUC is lost on unseen flights when the feature is shuffled, at least 0.
    """
    import numpy as np
    from sklearn.metrics import roc_auc_score

    labelled = unseen[unseen["late"].notna()]
    rows = labelled.sample(min(_IMPORTANCE_ROWS, len(labelled)), random_state=_SEED)
    features, late = rows[list(FEATURES)], (rows["late"] == CLASSES[1]).to_numpy()
    best = roc_auc_score(late, pipeline.predict_proba(features)[:, 1])
    order = np.random.default_rng(_SEED).permutation(len(rows))

    def without(name: str) -> float:
        shuffled = features.assign(**{name: features[name].to_numpy()[order]})
        return float(roc_auc_score(late, pipeline.predict_proba(shuffled)[:, 1]))

    return {name: max(0.0, float(best) - without(name)) for name in FEATURES}


def _scores(reference: "pd.DataFrame") -> dict[str, float]:
    from sklearn.metrics import accuracy_score, f1_score, recall_score, roc_auc_score

    rows = reference[reference["late"].notna()]
    late, predicted = (rows["late"] == CLASSES[1]), (rows["prediction"] == CLASSES[1])
    return {
        "accuracy": float(accuracy_score(late, predicted)),
        "f1": float(f1_score(late, predicted)),
        "recall": float(recall_score(late, predicted)),
        "roc_auc": float(roc_auc_score(late, rows["probability"])),
    }

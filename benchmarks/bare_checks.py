"""Run default checks with deepchecks alone: the limit beside which monitors are measured."""

import logging
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pandas as pd

from benchmarks.installation import Installation
from benchmarks.sample_rows import CLASSES, FEATURES
from dcmon.checks.catalogue import for_config
from dcmon.checks.defaults import DefaultCheck
from dcmon.storage import references, sampling, versions
from dcmon.storage.sampling import RowSelection
from dcmon.windows import Window


def bare_checks(
    installation: Installation, version_id: int, checks: Sequence[DefaultCheck], rows: int
) -> Callable[[], None]:
    """Return a function that runs checks with deepchecks alone, as a notebook does, on rows in memory.

    The rows are those of a version's window of 7 March, at most `rows`, and of its reference.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from deepchecks.tabular import checks as library

    logging.getLogger("deepchecks").setLevel(logging.ERROR)
    current, reference = _window_and_reference(installation, version_id, rows)
    current_output, reference_output = _output(current), _output(reference)

    def work() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            datasets = {
                has_labels: [_dataset(frame, has_labels) for frame in (current, reference)]
                for has_labels in (False, True)
            }
            for default in checks:
                kind = for_config(default.kind.module_name, default.kind.class_name)
                test, train = datasets[kind.needs_labels]
                check = getattr(library, kind.implementation)(**default.params, n_samples=None)
                options = {"model_classes": CLASSES, "with_display": False}
                if kind.needs_reference:
                    options |= {"y_pred_train": reference_output.classes, "y_pred_test": current_output.classes}
                    options |= {"y_proba_train": reference_output.probabilities}
                    options |= {"y_proba_test": current_output.probabilities}
                    check.run(train, test, **options).reduce_output()
                else:
                    options |= {"y_pred": current_output.classes, "y_proba": current_output.probabilities}
                    check.run(test, **options).reduce_output()

    return work


def _window_and_reference(installation: Installation, version_id: int, rows: int) -> list[pd.DataFrame]:
    """Read the rows of a window, and those of the reference."""
    with installation.app.org(installation.org) as session:
        selection = RowSelection(*versions.get(session, version_id), rows)
        start = datetime(2026, 3, 7, tzinfo=UTC)
        current = sampling.sample_rows(session, Window(start, start + timedelta(days=1)), selection)
        reference = references.sample_rows(session, selection)
    return [pd.DataFrame(sample.rows, columns=sample.names) for sample in (current, reference)]


class _ModelOutput(NamedTuple):
    """The predicted classes of rows, and their probabilities."""

    classes: Any
    probabilities: Any


def _output(frame: pd.DataFrame) -> _ModelOutput:
    probabilities = pd.DataFrame(frame["_dc_prediction_probabilities"].tolist()).to_numpy()
    return _ModelOutput(frame["_dc_prediction"].to_numpy(), probabilities)


def _dataset(frame: pd.DataFrame, has_labels: bool) -> Any:
    from deepchecks.tabular import Dataset

    columns = frame[[*FEATURES]].assign(**({"label": frame["_dc_label"]} if has_labels else {}))
    categories = [name for name, kind in FEATURES.items() if kind == "categorical"]
    return Dataset(columns, label="label" if has_labels else None, cat_features=categories, label_type="multiclass")

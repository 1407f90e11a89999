"""The production suite of deepchecks, as one page of HTML that needs no network. Importing this loads deepchecks."""

import html
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from dcmon.checks.library.quick_import import quick_import

with quick_import():
    from deepchecks.core.errors import DeepchecksBaseError
    from deepchecks.core.serialization.suite_result.html import SuiteResultSerializer
    from deepchecks.core.suite import SuiteResult
    from deepchecks.tabular import Dataset
    from deepchecks.tabular.suites import production_suite

from dcmon.checks import no_value_reasons
from dcmon.checks.dataset_schema import CheckValue, DatasetSchema, storable
from dcmon.checks.kinds import CATEGORICAL_TYPES
from dcmon.checks.library.datasets import LABEL, PreparedRows
from dcmon.checks.library.displays import Display
from dcmon.checks.workload import Picture
from dcmon.states import ResultState, TaskType

ANCHOR = "report"  # of the links inside the page
# The library writes names and categories into the page, some of them without escaping.
_HARMLESS = str.maketrans({"<": "‹", ">": "›", '"': "”", "'": "’"})
_SCRIPT = re.compile(r"(<script\b.*?</script>)", re.DOTALL | re.IGNORECASE)
_OUTER_LINK = re.compile(r"<a\b[^>]*\bhref=[\"']?https?://[^>]*>(.*?)</a>", re.DOTALL | re.IGNORECASE)
# Addresses in plotly.js, such as those of maps. Those of w3.org name formats, and are never loaded.
_ADDRESS = re.compile(r"https?://(?!www\.w3\.org/)")
# A browser that obeys it loads nothing: should the library write an address here that no pattern above knows.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
)


def run(title: str, schema: DatasetSchema, current: PreparedRows, reference: PreparedRows | None) -> Display:
    """Run the production suite, and return its report. Raises only MemoryError.

    `reference`: None to look at the current rows alone. Rows without a prediction are left out; labels may be missing.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            page = _page(title, _suite_result(schema, current, reference))
    except MemoryError:
        raise
    except Exception as error:  # the library raises any exception for rows that it does not expect
        sentence = no_value_reasons.error_sentence(error, DeepchecksBaseError)
        return Display(storable(CheckValue(ResultState.ERROR, reason=f"The production suite failed: {sentence}")))
    return Display(CheckValue(ResultState.OK), (Picture("html", page),))


def _suite_result(schema: DatasetSchema, current: PreparedRows, reference: PreparedRows | None) -> SuiteResult:
    schema = _harmless_schema(schema)
    has_probabilities = all(side.probabilities is not None for side in (current, reference) if side is not None)
    suite = production_suite(task_type=schema.task_type, is_comparative=reference is not None)
    for check in suite.checks.values():
        if hasattr(check, "n_samples"):
            check.n_samples = None
    train = _side(schema, current if reference is None else reference, "train", has_probabilities)
    test = {} if reference is None else _side(schema, current, "test", has_probabilities)
    return suite.run(
        **train, **test, feature_importance=_importance(schema), model_classes=_classes(schema), with_display=True
    )


def _side(schema: DatasetSchema, rows: PreparedRows, name: str, has_probabilities: bool) -> dict[str, Any]:
    """Return the arguments of a suite for one side. `name`: "train" or "test"."""
    is_used = np.ones(len(rows), dtype=bool)
    if rows.predictions is not None:
        is_used &= rows.predictions.notna().to_numpy()
    probabilities = _in_order_of_classes(rows) if has_probabilities else None
    if probabilities is not None:
        is_used &= ~np.isnan(probabilities).any(axis=1)
    rows = rows.drawable
    frame = rows.frame.map(_harmless).rename(columns=_harmless)
    # deepchecks rewrites the index of both sides when they share a row number.
    frame.index = pd.RangeIndex(len(rows)) if name == "test" else pd.RangeIndex(-len(rows), 0)
    if rows.labels is not None:
        frame[LABEL] = rows.labels.map(_harmless).to_numpy()
    return {
        f"{name}_dataset": Dataset(
            frame[is_used],
            label=LABEL if rows.labels is not None else None,
            features=list(schema.features),
            cat_features=[feature for feature, kind in schema.features.items() if kind in CATEGORICAL_TYPES],
            label_type=schema.task_type,
        ),
        f"y_pred_{name}": None if rows.predictions is None else rows.predictions.map(_harmless).to_numpy()[is_used],
        f"y_proba_{name}": None if probabilities is None else probabilities[is_used],
    }


def _in_order_of_classes(rows: PreparedRows) -> "np.ndarray[Any, Any] | None":
    """Return the probabilities in the order of the harmless names of the classes: deepchecks wants sorted classes."""
    if rows.probabilities is None or not rows.schema.classes:
        return rows.probabilities
    names = [_harmless(name) for name in rows.schema.classes]
    return rows.probabilities[:, sorted(range(len(names)), key=names.__getitem__)]


def _harmless(value: Any) -> Any:
    return value.translate(_HARMLESS) if isinstance(value, str) else value


def _harmless_schema(schema: DatasetSchema) -> DatasetSchema:
    def renamed(values: Mapping[str, Any]) -> dict[str, Any]:
        return {_harmless(name): value for name, value in values.items()}

    classes = None if schema.classes is None else sorted(_harmless(name) for name in schema.classes)
    importance = None if schema.feature_importance is None else renamed(schema.feature_importance)
    return replace(schema, features=renamed(schema.features), classes=classes, feature_importance=importance)


def _classes(schema: DatasetSchema) -> list[str] | None:
    return list(schema.classes) if schema.classes and schema.task_type != TaskType.REGRESSION else None


def _importance(schema: DatasetSchema) -> "pd.Series[float] | None":
    """Return the importance of the features; None if one has none: deepchecks then gives all the same weight."""
    known = schema.feature_importance or {}
    if not all(name in known for name in schema.features) or not sum(known[name] for name in schema.features):
        return None
    return pd.Series({name: float(known[name]) for name in schema.features})


def _page(title: str, result: SuiteResult) -> str:
    """Return the report as a page: the scripts of the library are in it, and links to other hosts are not."""
    result.name = html.escape(title)
    body = SuiteResultSerializer(result).serialize(
        output_id=ANCHOR, include_requirejs=True, include_plotlyjs=True, connected=False
    )
    parts = [
        _ADDRESS.sub("about:", part) if part.startswith("<script") else _OUTER_LINK.sub(r"\1", part)
        for part in _SCRIPT.split(body)
    ]
    name = html.escape(title)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n<title>{name}</title>\n</head>\n'
        '<body style="background-color: white; padding: 1rem 1rem 0 1rem; font-family: sans-serif;">\n'
        f"{''.join(parts)}\n</body>\n</html>\n"
    )

"""Describe a user's own check. Importing this module loads deepchecks.

`python -m dcmon.checks.introspection NAME MODULE:CLASS` prints the description, so that the caller need not load it.
"""

import inspect
import json
import sys
import warnings
from importlib.metadata import EntryPoint
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from deepchecks.core.reduce_classes import (
        ReduceFeatureMixin,
        ReduceLabelMixin,
        ReduceMetricClassMixin,
        ReduceMixin,
    )
    from deepchecks.tabular import SingleDatasetCheck, TrainTestCheck, checks

from dcmon.checks.kinds import REGISTRY, CheckKind

SET_BY_DCMON = ("n_samples", "n_top_columns", "random_state", "kwargs")

WANTED = (
    "It has to be a class that derives from deepchecks.tabular.SingleDatasetCheck or TrainTestCheck, and from a mixin"
    " of deepchecks.core.reduce_classes: see docs/own-checks.md."
)


def describe(registered: EntryPoint) -> dict[str, Any]:
    """Return what the class needs and which choices it has; under "refused", why it can't be used."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = registered.load()
    # A user's module may raise any exception when it is imported.
    except Exception as error:
        return {"refused": f"Loading {registered.value} raised {type(error).__name__}: {' '.join(str(error).split())}"}
    is_check = inspect.isclass(found) and issubclass(found, SingleDatasetCheck | TrainTestCheck)
    if not is_check or not issubclass(found, ReduceMixin):
        return {"refused": WANTED}
    if inspect.isabstract(found):
        return {"refused": f"Its class lacks {', '.join(sorted(found.__abstractmethods__))}."}
    choices = ["feature", "aggregation method"] if issubclass(found, ReduceFeatureMixin) else []
    return {
        "needs_labels": issubclass(found, ReduceLabelMixin),
        "needs_reference": issubclass(found, TrainTestCheck),
        "choices": choices + (["scorer", "class"] if issubclass(found, ReduceMetricClassMixin) else []),
    }


def parameters(kind: CheckKind) -> dict[str, Any]:
    """Return the parameters of a check with their defaults, without those that dcmon sets itself."""
    if kind.is_own:
        found = EntryPoint(kind.class_name, kind.implementation, REGISTRY).load()
    else:
        found = getattr(checks, kind.class_name)
    named = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    taken = {name: each for name, each in inspect.signature(found).parameters.items() if each.kind in named}
    return {name: _default(each.default) for name, each in taken.items() if name not in SET_BY_DCMON}


def _default(value: Any) -> Any:
    if value is inspect.Parameter.empty:
        return "required"
    return value if isinstance(value, str | int | float | bool | list | dict | None) else str(value)


if __name__ == "__main__":
    print(json.dumps(describe(EntryPoint(sys.argv[1], sys.argv[2], REGISTRY))))  # noqa: T201

"""Describe the class of a check. Importing this module loads deepchecks.

`python -m dcmon.checks.library.introspection NAME MODULE:CLASS` prints the description of a user's check as JSON, so
that the caller does not have to load deepchecks.
"""

import inspect
import json
import sys
import warnings
from dataclasses import asdict
from importlib.metadata import EntryPoint
from typing import Any

from dcmon.checks.library.quick_import import quick_import

with quick_import():
    from deepchecks.core.reduce_classes import (
        ReduceFeatureMixin,
        ReduceLabelMixin,
        ReduceMetricClassMixin,
        ReduceMixin,
    )
    from deepchecks.tabular import SingleDatasetCheck, TrainTestCheck

from dcmon import user_code
from dcmon.checks.kinds import REGISTRY, Choice, OwnCheckDescription

SET_BY_DCMON = ("n_samples", "n_top_columns", "random_state", "kwargs")

REQUIREMENTS = (
    "The class must derive from deepchecks.tabular.SingleDatasetCheck or TrainTestCheck, and from a mixin"
    ' of deepchecks.core.reduce_classes: see "dcmon docs own-checks".'
)


def describe(registered: EntryPoint) -> OwnCheckDescription:
    """Load the class of a user's check and describe it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_class = registered.load()
    # A user's module may raise any exception when it is imported.
    except Exception as error:
        message = " ".join(str(error).split())
        return OwnCheckDescription(f"Loading {registered.value} raised {type(error).__name__}: {message}")
    is_check = inspect.isclass(check_class) and issubclass(check_class, SingleDatasetCheck | TrainTestCheck)
    if not is_check or not issubclass(check_class, ReduceMixin):
        return OwnCheckDescription(REQUIREMENTS)
    if inspect.isabstract(check_class):
        missing = ", ".join(sorted(check_class.__abstractmethods__))
        return OwnCheckDescription(f"Its class does not define {missing}.")
    feature_choices: tuple[Choice, ...] = ("feature", "aggregation method", "max features")
    metric_choices: tuple[Choice, ...] = ("scorer", "class")
    return OwnCheckDescription(
        needs_labels=issubclass(check_class, ReduceLabelMixin),
        needs_reference=issubclass(check_class, TrainTestCheck),
        choices=(
            *(feature_choices if issubclass(check_class, ReduceFeatureMixin) else ()),
            *(metric_choices if issubclass(check_class, ReduceMetricClassMixin) else ()),
        ),
        parameters=_parameters(check_class),
    )


def _parameters(check_class: type) -> dict[str, Any]:
    named_kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    return {
        name: _default(parameter.default)
        for name, parameter in inspect.signature(check_class).parameters.items()
        if parameter.kind in named_kinds and name not in SET_BY_DCMON
    }


def _default(value: Any) -> Any:
    if value is inspect.Parameter.empty:
        return "required"
    return value if isinstance(value, str | int | float | bool | list | dict | None) else str(value)


if __name__ == "__main__":
    user_code.enter(sys.argv[3:])
    print(json.dumps(asdict(describe(EntryPoint(sys.argv[1], sys.argv[2], REGISTRY))), default=str))  # noqa: T201

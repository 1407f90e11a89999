"""What deepchecks shows of a check: plots and tables as JSON. Importing this module loads deepchecks."""

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import pandas as pd

from dcmon.checks.library.quick_import import quick_import

with quick_import():
    from deepchecks.core.errors import DeepchecksBaseError
    from deepchecks.tabular import checks as library

from dcmon.checks import no_value_reasons
from dcmon.checks.check_run import CheckSetup
from dcmon.checks.dataset_schema import CheckValue, storable
from dcmon.checks.kinds import PERFORMANCE
from dcmon.checks.library.runner import OwnCheckRun, PreparedRows
from dcmon.checks.no_value_reasons import NoValue
from dcmon.checks.workload import Picture
from dcmon.states import ResultState, TaskType

# The library shows one bar for each score; these show what the scores are made of.
_CLASSIFIED, _REGRESSION = "ConfusionMatrixReport", "RegressionErrorDistribution"


class Display(NamedTuple):
    """What is shown of a check. `value`: has no metrics; its state and reason say why there is no picture."""

    value: CheckValue
    pictures: tuple[Picture, ...] = ()


def run(setup: CheckSetup, current: PreparedRows, reference: PreparedRows | None = None) -> Display:
    """Run a check on rows, and return its plots and tables. Raises only MemoryError, as runner.run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            display = _DisplayRun(setup)
            pictures = display.pictures(current, reference)
            return Display(storable(CheckValue(ResultState.OK, reason="; ".join(display.remarks) or None)), pictures)
    except NoValue as no_value:
        return Display(storable(CheckValue(no_value.state, reason=str(no_value))))
    except MemoryError:
        raise
    # A check may be a user's code, and the library raises any exception for parameters that it does not know.
    except Exception as error:
        sentence = no_value_reasons.error_sentence(error, DeepchecksBaseError)
        reason = no_value_reasons.not_drawn(setup.kind.class_name, sentence)
        return Display(storable(CheckValue(ResultState.ERROR, reason=reason)))


class _DisplayRun(OwnCheckRun):
    """One run of a check for what it shows: a user's own, or the library's in place of dcmon's."""

    with_display = True

    def new_check(self, params: Mapping[str, Any]) -> Any:
        if self.kind.is_own:
            return super().new_check(params)
        if self.kind.implementation == PERFORMANCE:
            name = _REGRESSION if self.schema.task_type == TaskType.REGRESSION else _CLASSIFIED
            return getattr(library, name)(n_samples=None)
        return getattr(library, self.kind.implementation)(**self.arguments)

    def pictures(self, current: PreparedRows, reference: PreparedRows | None) -> tuple[Picture, ...]:
        """Return the plots and tables. Raises NoValue if there are none."""
        if self.kind.needs_classes and self.schema.task_type == TaskType.REGRESSION:
            raise NoValue(ResultState.ERROR, no_value_reasons.no_classes(self.kind.class_name))
        self._require_rows(current, reference)
        if not self.kind.is_own:
            current, reference = current.drawable, reference and reference.drawable
        return tuple(_pictures(self.enough_result(current, reference).display))

    def uses_probabilities(self, *sides: PreparedRows) -> bool:
        """Return True if the check reads probabilities, and all sides have them."""
        is_read = self.kind.is_own or (self.kind.reads_predictions and self.kind.implementation != PERFORMANCE)
        is_derived = self.kind.reads_predictions and any(side.predictions is None for side in sides)
        return (is_read or is_derived) and super().uses_probabilities(*sides)


def _pictures(items: Iterable[Any]) -> Iterator[Picture]:
    """Yield the plots and tables of a result. Texts explain what a page of deepchecks says around them: left out."""
    for item in items:
        if isinstance(item, Mapping):  # one list for each feature
            for part in item.values():
                yield from _pictures(part)
        elif hasattr(item, "to_plotly_json"):
            yield Picture("plotly", item.to_json())
        elif isinstance(item, pd.DataFrame):
            yield Picture("table", _table(item))
        elif isinstance(getattr(item, "data", None), pd.DataFrame):  # a table with colors
            yield Picture("table", _table(item.data))


def _table(frame: pd.DataFrame) -> str:
    """Return the rows as JSON: a list of objects. An index that is no number of a row is the first column."""
    if not pd.api.types.is_integer_dtype(frame.index.dtype):
        names = [name if name is not None else f"index {level}" for level, name in enumerate(frame.index.names)]
        unused = [str(name) if name not in frame.columns else f"{name} (index)" for name in names]
        frame = frame.rename_axis(unused).reset_index()
    frame = frame.set_axis([str(name) for name in frame.columns], axis="columns")
    records = json.loads(frame.to_json(orient="split", date_format="iso", default_handler=str))
    return json.dumps([dict(zip(records["columns"], row, strict=True)) for row in records["data"]])

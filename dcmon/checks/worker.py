"""Running the checks of a workload, on rows that are read already. Importing this module loads deepchecks."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import Any

import pandas as pd

from dcmon import errors
from dcmon.checks.catalogue import CheckKind, entry
from dcmon.checks.dataset_schema import Layout, Value
from dcmon.checks.runner import Prepared, dataset, run
from dcmon.checks.workload import Answer, Ask, Key, Workload
from dcmon.states import ResultState
from dcmon.storage.column_blocks import Sheet
from dcmon.storage.columns import LABEL


@dataclass
class Rows:
    """Rows, and what was made of them for deepchecks, by the features asked for."""

    sheet: Sheet
    layout: Layout
    _columns: dict[str, Any] = field(default_factory=dict)
    _prepared: dict[tuple[str, ...], Prepared] = field(default_factory=dict)

    def prepared(self, features: tuple[str, ...]) -> Prepared:
        """The rows with these features, ready for deepchecks. Raises InvalidInput for one that there is not."""
        if features not in self._prepared:
            wanted = [name for name in self.sheet.kinds if name in features or name not in self.layout.features]
            frame = pd.DataFrame({name: self._column(name) for name in wanted}, copy=False)
            self._prepared[features] = dataset(frame, self.layout, list(features), with_label=True)
        return self._prepared[features]

    def _column(self, name: str) -> Any:
        if name not in self._columns:
            self._columns[name] = self.sheet.column(name)
        return self._columns[name]

    @cached_property
    def labelled(self) -> int:
        """How many rows have a label: a check on labels looks at no others."""
        return int(pd.notna(self._column(LABEL)).sum())


class Bench:
    """Runs workloads, one after the other, and keeps the rows of references until it is told to forget them."""

    def __init__(self) -> None:
        self._kept: dict[Key, Rows | None] = {}

    def run(self, workload: Workload) -> Iterator[Answer]:
        """The answer to each ask, in their order, as soon as it is there."""
        given = {
            key: None if sheet is None else Rows(sheet, workload.layout)
            for key, sheet in workload.rows.items()
            if key not in self._kept
        }
        self._kept.update((key, found) for key, found in given.items() if key.is_lasting)
        rows = {**self._kept, **given}
        for key in workload.forgotten:
            self._kept.pop(key, None)
        for ask in workload.asks:
            began = time.perf_counter()
            current, compared = rows[ask.current], rows[ask.compared] if ask.compared else None
            assert current is not None, "a workload asks for nothing that has no rows"
            value, n = _value(workload.layout, ask, current, compared)
            spent = timedelta(seconds=time.perf_counter() - began)
            yield Answer(ask.monitor_id, value, n, spent, ask.current.limit, is_baseline=ask.is_baseline)


def _value(layout: Layout, ask: Ask, current: Rows, compared: Rows | None) -> tuple[Value, int]:
    """What a check says, and of how many rows."""
    try:
        kind = entry(ask.module_name, ask.class_name)
        value = _said(kind, layout, ask, current, compared)
        return value, current.labelled if kind.needs_labels else len(current.sheet)
    except errors.InvalidInput as error:  # a feature that this version does not have, a check that is not installed
        return Value(ResultState.ERROR, reason=str(error)), len(current.sheet)


def _said(kind: CheckKind, layout: Layout, ask: Ask, current: Rows, compared: Rows | None) -> Value:
    # An earlier window's labels may still come: what is known of the reference says nothing of it.
    is_with_reference = ask.compared is not None and ask.compared.window is None
    return run(
        kind,
        ask.params,
        ask.additional_kwargs,
        replace(layout, balance_classes=layout.balance_classes and is_with_reference),
        current.prepared(ask.features),
        compared.prepared(ask.features) if compared else None,
        compared="earlier window" if ask.compared and ask.compared.window else "reference",
    )

"""Checks as a user of dcmon writes them."""

import os
from contextlib import suppress
from pathlib import Path

from deepchecks.core import CheckResult
from deepchecks.core.reduce_classes import ReduceLabelMixin, ReduceMixin
from deepchecks.tabular import SingleDatasetCheck, TrainTestCheck


class Span(SingleDatasetCheck, ReduceMixin):
    """The difference between the largest and the smallest value."""

    def __init__(self, column="age", **kwargs):
        super().__init__(**kwargs)
        self.column = column

    def run_logic(self, context, dataset_kind):
        return CheckResult(context.get_data_by_kind(dataset_kind).data[self.column])

    def reduce_output(self, result):
        return {"Span": result.value.max() - result.value.min()}


class ShareOfOnes(SingleDatasetCheck, ReduceLabelMixin):
    """The share of labels that are 1."""

    def run_logic(self, context, dataset_kind):
        labels = context.get_data_by_kind(dataset_kind).label_col
        if len(labels) < 10:
            raise ValueError("so few labels")
        return CheckResult((labels == "1").mean())

    def reduce_output(self, result):
        return {"Share": result.value}


class Wider(TrainTestCheck, ReduceMixin):
    """The ratio between the range of the window and the range of the reference."""

    def run_logic(self, context):
        train, test = (side.data["age"] for side in (context.train, context.test))
        return CheckResult((test.max() - test.min()) / (train.max() - train.min()))

    def reduce_output(self, result):
        return {"Wider": result.value}


class Surroundings(SingleDatasetCheck, ReduceMixin):
    """The user that the check runs as, and what it finds of a text in environments of processes."""

    def __init__(self, text="canary", **kwargs):
        super().__init__(**kwargs)
        self.text = text

    def run_logic(self, context, dataset_kind):
        return CheckResult(self.text.encode())

    def reduce_output(self, result):
        found = 0
        for file in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):  # another user's
                found += result.value in file.read_bytes()
        own = sum(result.value in value for value in os.environb.values())
        return {"User": os.getuid(), "Own": own, "All": found, "Named": os.environ.get("MODEL_DIR") == "/models"}


def no_class():
    """A function, which dcmon refuses as a check."""

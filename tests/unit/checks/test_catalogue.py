"""The table of checks agrees with the deepchecks library."""

import inspect
import subprocess
import sys
from importlib.metadata import version as installed

import pytest

from dcmon.checks import catalogue
from dcmon.checks.catalogue import KINDS, NOT_REDUCIBLE, for_config
from dcmon.errors import InvalidInput


def test_catalogue_has_all_tabular_checks_with_their_needs() -> None:
    """The needs are those that the library declares."""
    from deepchecks.core.checks import BaseCheck
    from deepchecks.core.reduce_classes import ReduceFeatureMixin, ReduceLabelMixin, ReduceMixin
    from deepchecks.tabular import TrainTestCheck, checks

    classes = {
        name: check_class
        for name, check_class in inspect.getmembers(checks, inspect.isclass)
        if issubclass(check_class, BaseCheck) and name in checks.__all__ + [kind.class_name for kind in KINDS]
    }
    reducible = {name for name, check_class in classes.items() if issubclass(check_class, ReduceMixin)}
    assert {kind.class_name for kind in KINDS} == reducible
    assert set(classes) - reducible <= NOT_REDUCIBLE
    for kind in KINDS:
        check_class = classes[kind.class_name]
        assert kind.module_name == check_class.__module__
        assert kind.needs_labels == issubclass(check_class, ReduceLabelMixin)
        assert kind.needs_reference == issubclass(check_class, TrainTestCheck)
        assert kind.reads_features == issubclass(check_class, ReduceFeatureMixin)
        assert issubclass(check_class, getattr(checks, kind.implementation))
        assert for_config(check_class.__module__, kind.class_name) is kind


def test_check_config_of_the_sdk_is_found() -> None:
    from deepchecks.tabular import checks

    config = checks.FeatureDrift(min_samples=100).config()
    kind = for_config(config["module_name"], config["class_name"])
    assert kind.docs_link == (
        "https://docs.deepchecks.com/stable/tabular/auto_checks/train_test_validation/plot_feature_drift.html"
    )


def test_library_version_is_that_of_the_installed_library() -> None:
    assert installed("deepchecks") == catalogue.LIBRARY_VERSION


def test_scorers_equal_the_tables_of_the_library() -> None:
    from deepchecks.tabular.metric_utils import scorers

    binary, multiclass = (
        tuple(name for name in catalogue.scorers(task_type) if not name.startswith("deepchecks_"))
        for task_type in ("binary", "multiclass")
    )
    assert binary == tuple(scorers.binary_scorers_dict)
    assert multiclass == tuple(scorers.multiclass_scorers_dict)
    regression = {**scorers.regression_scorers_lower_is_better_dict, **scorers.regression_scorers_higher_is_better_dict}
    assert catalogue.scorers("regression") == tuple(regression)


@pytest.mark.parametrize(
    ("module_name", "class_name", "says"),
    [
        ("deepchecks.tabular.checks", "ConfusionMatrixReport", "returns a report"),
        ("antigravity", "FeatureDrift", "no check 'FeatureDrift' in 'antigravity'"),
        ("deepchecks.tabular.checks", "Nonsense", "FeatureDrift, LabelDrift"),
        ("deepchecks.nlp.checks", "PredictionDrift", "no check"),
    ],
)
def test_class_outside_the_catalogue_is_never_imported(module_name: str, class_name: str, says: str) -> None:
    """A class outside the table is refused, and its module is not imported."""
    with pytest.raises(InvalidInput, match=says):
        for_config(module_name, class_name)
    assert "antigravity" not in sys.modules


def test_catalogue_defaults_and_layout_load_nothing_heavy() -> None:
    code = (
        "import sys, dcmon.checks.catalogue, dcmon.checks.defaults, dcmon.checks.dataset_schema;"
        "print([m for m in ('deepchecks', 'pandas', 'numpy', 'sklearn', 'plotly') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_loading_deepchecks_connects_writes_and_prints_nothing() -> None:
    """Loading the library opens no connection, writes no file and prints nothing."""
    code = """
import sys
from importlib.metadata import version as installed
def watch(event, args):
    if event.startswith("socket.") and event not in ("socket.__new__", "socket.gethostname"):
        print(event, args)
    if event == "open" and str(args[0]).endswith(".user_id"):
        print(event, args)
sys.addaudithook(watch)
import dcmon.checks.library.runner
import numpy, os
print(os.environ["OPENBLAS_NUM_THREADS"], os.environ["OMP_NUM_THREADS"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]
    assert done.stderr == ""

"""The known parameters of checks equal those of the library."""

import inspect
from collections.abc import Mapping

import pytest

from dcmon.checks import catalogue, parameters
from dcmon.checks.kinds import CheckKind
from dcmon.errors import InvalidInput


@pytest.mark.parametrize("kind", catalogue.KINDS, ids=lambda kind: kind.class_name)
def test_known_parameters_equal_those_of_the_library(kind: CheckKind) -> None:
    accepted = _accepted(kind).values()
    assert parameters.known(kind) == {
        parameter.name for parameter in accepted if parameter.kind is not parameter.VAR_KEYWORD
    }


@pytest.mark.parametrize("kind", catalogue.KINDS, ids=lambda kind: kind.class_name)
def test_defaults_equal_those_of_the_library(kind: CheckKind) -> None:
    accepted = _accepted(kind)
    for name, default in parameters.defaults(kind).items():
        assert accepted[name].default == default


def test_unknown_parameter_is_refused() -> None:
    with pytest.raises(InvalidInput, match="FeatureDrift has no parameter 'min_smaples'"):
        parameters.require(catalogue.find("FeatureDrift"), {"columns": None, "min_smaples": 5})
    with pytest.raises(InvalidInput, match="DataFlow has no parameter"):
        parameters.require(catalogue.DATA_FLOW, {"min_samples": 5})


def test_args_of_an_alias_are_left_out_of_what_runs() -> None:
    """Deepchecks writes {"args": []} into the config of an alias, for any arguments."""
    alias, kind = catalogue.find("TrainTestFeatureDrift"), catalogue.find("FeatureDrift")
    assert parameters.effective(alias, {"args": [], "min_samples": 5}) == {"min_samples": 5}
    assert parameters.effective(alias, {"args": [1]}) == {"args": [1]}
    assert parameters.effective(kind, {"args": []}) == {"args": []}


def _accepted(kind: CheckKind) -> Mapping[str, inspect.Parameter]:
    from deepchecks.tabular import checks  # takes seconds: each process that collects tests would wait

    return inspect.signature(getattr(checks, kind.implementation)).parameters

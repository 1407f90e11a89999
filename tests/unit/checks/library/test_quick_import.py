"""Importing deepchecks leaves a package out that takes long to load; other code can still import it."""

import importlib
import sys
import warnings

import pytest

from dcmon.checks.library.quick_import import UNUSED, quick_import


def test_unused_package_is_hidden_only_during_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, UNUSED, raising=False)
    with quick_import(), pytest.raises(ImportError, match=UNUSED):
        importlib.import_module(UNUSED)
    assert UNUSED not in sys.modules


def test_unused_package_that_is_loaded_already_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = type(sys)(UNUSED)
    monkeypatch.setitem(sys.modules, UNUSED, loaded)
    with quick_import():
        assert importlib.import_module(UNUSED) is loaded
    assert sys.modules[UNUSED] is loaded


@pytest.mark.filterwarnings("error")
def test_warnings_of_the_import_are_hidden() -> None:
    with quick_import():
        warnings.warn("deprecated", DeprecationWarning, stacklevel=1)

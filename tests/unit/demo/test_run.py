"""The demo says what to install before it starts anything."""

from pathlib import Path

import pytest

from dcmon import errors
from dcmon.app import App
from dcmon.demo import run
from dcmon.output import Output
from dcmon.settings import Settings


def test_demo_without_its_extra_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "PACKAGES", ("pathlib", "not_installed_one", "not_installed_two"))
    data_dir = tmp_path / "data"
    with (
        App(Settings(data_dir=data_dir), Output(quiet=True)) as app,
        pytest.raises(errors.DemoPackagesMissing) as failed,
    ):
        run.run(app, fresh=True, stay=False, report=None)
    assert str(failed.value) == (
        "The demo needs not_installed_one and not_installed_two, not installed here."
        ' Install dcmon\'s wheel again with the extra [demo]: see "dcmon docs install".'
    )
    assert not data_dir.exists()

"""Fixtures that run the installed `dcmon` in subprocesses."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.installed import Dcmon
from tests.helpers.ports import free_port


@pytest.fixture
def dcmon(data_dir: Path) -> Iterator[Dcmon]:
    """Yield dcmon with its own data directory; stop all its processes at the end."""
    installation = Dcmon(data_dir, free_port())
    yield installation
    installation("down")


@pytest.fixture
def with_url(data_dir: Path) -> Callable[[str], Dcmon]:
    """Return a function that runs dcmon on a given database."""
    return lambda url: Dcmon(data_dir, free_port(), {"DCMON_DATABASE_URL": url})

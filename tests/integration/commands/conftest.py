"""Fixtures that run commands in processes forked from one that has loaded dcmon."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.command_line import LoadedDcmon
from tests.helpers.installed import Dcmon
from tests.helpers.ports import free_port


@pytest.fixture
def installation(data_dir: Path) -> Dcmon:
    """Return dcmon with an empty data directory."""
    return LoadedDcmon(data_dir, free_port())


@pytest.fixture
def with_url(data_dir: Path) -> Callable[[str], Dcmon]:
    """Return a function that gives dcmon on a database."""
    return lambda url: LoadedDcmon(data_dir, free_port(), {"DCMON_DATABASE_URL": url})

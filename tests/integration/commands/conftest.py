"""Fixtures that run commands in processes forked from one that has loaded dcmon."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import TemplateWithAcme, copied_database
from tests.helpers import example_world
from tests.helpers.command_line import LoadedDcmon
from tests.helpers.example_world import World
from tests.helpers.installed import Dcmon
from tests.helpers.ports import free_port
from tests.helpers.s3_server import server


@pytest.fixture
def installation(data_dir: Path) -> Dcmon:
    """Return dcmon with an empty data directory."""
    return LoadedDcmon(data_dir, free_port())


@pytest.fixture
def with_url(data_dir: Path) -> Callable[[str], Dcmon]:
    """Return a function that gives dcmon on a database."""
    return lambda url: LoadedDcmon(data_dir, free_port(), {"DCMON_DATABASE_URL": url})


@pytest.fixture(scope="session")
def world(
    server_url: str, template_with_acme: TemplateWithAcme, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """Return the world of the examples of --help; a test changes only a copy of it."""
    files = tmp_path_factory.mktemp("examples") / "files"
    with server() as s3, copied_database(server_url, template_with_acme.name) as url:
        s3.client.create_bucket(Bucket="acme")
        yield example_world.create(url, files, template_with_acme.acme, s3.environment)

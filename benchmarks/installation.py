"""A temporary installation for a benchmark: an App on its own PostgreSQL, with one organization."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil
from pydantic import SecretStr
from sqlalchemy import text

from benchmarks.sample_rows import CLASSES, FEATURES
from dcmon.app import App
from dcmon.db import Organization, migrations
from dcmon.embedded import postgres
from dcmon.embedded.process import free_port
from dcmon.output import Output
from dcmon.settings import Http, Settings
from dcmon.storage import models, versions
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from dcmon.tenancy import provisioning


class CreatedVersion(NamedTuple):
    """The ids of a new model and its version."""

    model_id: int
    version_id: int


@dataclass(frozen=True)
class Installation:
    """An App on a temporary PostgreSQL, an organization, the main process of the server, and the owner's token."""

    app: App
    org: Organization
    server: psutil.Process
    token: str

    def stored_rows(self, version_id: int) -> int:
        """Return how many rows of a version are committed."""
        statement = text("select coalesce(sum(n), 0) from quarter_hours where version_id = :id")
        with self.app.org(self.org) as session:
            return int(session.scalar(statement, {"id": version_id}) or 0)

    def ledger_rows(self) -> int:
        """Return how many rows the organization's ledger counts."""
        with self.app.org(self.org) as session:
            return int(session.scalar(text("select coalesce(sum(taken), 0) from batches")) or 0)

    def create_version(self, model_name: str) -> CreatedVersion:
        """Create a model and a version with the benchmark's 20 features."""
        with self.app.org(self.org) as session:
            model = models.create(session, NewModel(model_name, "multiclass"))
            version = versions.create(session, model, NewVersion("v1", FEATURES, classes=CLASSES))
            return CreatedVersion(model.id, version.id)

    def checkpoint(self) -> None:
        """Write all dirty pages, so that a measurement does not pay for earlier work."""
        with self.app.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(text("checkpoint"))


@contextmanager
def temporary_installation() -> Iterator[Installation]:
    """Start the embedded PostgreSQL, with its usual options, in a temporary directory.

    The directory is removed at the end.
    """
    directory = Path(tempfile.mkdtemp(prefix="dcmon-bench-"))
    directory.chmod(0o755)
    server = postgres.start(directory)
    try:
        settings = Settings(database_url=SecretStr(server.url), data_dir=directory, http=Http(port=free_port()))
        with App(settings, Output(quiet=True)) as app:
            app.tune_for_long_run()
            migrations.upgrade_public(app.engine)
            created = provisioning.create_organization(app.engine, "bench", "owner@bench.example")
            yield Installation(app, created.organization, psutil.Process(server.process.pid), created.token)
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)

"""A command imports only what it uses: each heavy module costs 50 to 500 ms of CPU at each start."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from dcmon.db import Organization

HEAVY = frozenset(
    {
        "IPython", "alembic", "apscheduler", "boto3", "botocore", "confluent_kafka", "deepchecks", "fastapi", "http",
        "matplotlib", "numpy", "pandas", "plotly", "psycopg", "pyarrow", "pydantic", "redis", "requests", "rich",
        "scipy", "sklearn", "smtplib", "sqlalchemy", "starlette", "urllib3", "uvicorn",
    }
)  # fmt: skip
DATABASE = frozenset({"psycopg", "pydantic", "rich", "sqlalchemy"})  # what each command may load
# The commands that import more, and what they import. A command that is missing here imports nothing more.
MORE = {
    "adopt": {"alembic", "numpy"},
    "backup create": {"alembic"},
    "backup restore": {"alembic"},
    "backup verify": {"alembic"},
    "dead_letter delete": {"numpy"},
    "dead_letter list": {"numpy"},
    "dead_letter retry": {"numpy"},
    "dead_letter show": {"numpy"},
    "demo": {"alembic", "http", "numpy", "urllib3"},
    "ingest file": {"numpy"},
    "ingest lag": {"confluent_kafka"},
    "ingest seek": {"confluent_kafka"},
    "migrate check": {"alembic"},
    "migrate revision": {"alembic"},
    "migrate status": {"alembic"},
    "monitor backfill": {"numpy"},
    "monitor run": {"numpy"},
    "org create": {"alembic"},
    "org delete": {"alembic"},
    "org export": {"alembic"},
    "org import": {"alembic"},
    "org rename": {"alembic"},
    "org set": {"alembic"},
    "quarantine delete": {"numpy"},
    "quarantine retry": {"numpy"},
    "migrate roles": {"alembic"},
    "serve": {"confluent_kafka", "fastapi", "http", "numpy", "starlette", "uvicorn"},
    "wait": {"alembic"},
}
# Commands that only read, and what a run may load in addition.
RUNS: dict[str, set[str]] = {
    "alert list": set(),
    "alert list --all": set(),
    "audit": set(),
    "check list": set(),
    "migrate status": {"alembic"},
    "model list": set(),
    "monitor list": set(),
    "mute list": set(),
    "notification list": set(),
    "org list": set(),
    "org show": set(),
    "quarantine list": set(),
    "rule list": set(),
    "silence list": set(),
    "source list": set(),
    "status": set(),
    "token list": set(),
    "receiver list": set(),
}


def heavy_modules(*commands: str, environment: Mapping[str, str] | None = None) -> dict[str, set[str]]:
    """Return the heavy modules that each command loads beyond those of the database."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.module_loads", *commands],
        cwd=Path(__file__).parents[3], env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=300,
    )  # fmt: skip
    loads: dict[str, list[str]] = json.loads(done.stdout)
    return {command: HEAVY.intersection(modules) - DATABASE for command, modules in loads.items()}


def test_each_command_imports_only_what_it_uses() -> None:
    """All commands are compared, so that a new command or import needs a decision here."""
    imports = heavy_modules()
    assert len(imports) > 60
    assert {command: modules for command, modules in imports.items() if modules} == MORE


def test_commands_that_only_read_load_no_more_in_a_run(data_dir: Path, database_url: str, org: Organization) -> None:
    """The commands run against a real database: a module that is imported late counts too."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DCMON_")}
    environment |= {"DCMON_DATABASE_URL": database_url, "DCMON_DATA_DIR": str(data_dir), "DCMON_ORG": org.name}
    assert heavy_modules(*RUNS, environment=environment) == RUNS

"""A command imports only what it uses: each heavy module costs 50 to 500 ms of CPU at each start."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dcmon.db import Organization

HEAVY = frozenset(
    {
        "alembic", "apscheduler", "botocore", "confluent_kafka", "deepchecks", "fastapi", "http", "numpy", "pandas",
        "plotly", "psycopg", "pyarrow", "pydantic", "redis", "rich", "scipy", "sklearn", "smtplib", "sqlalchemy",
        "urllib3", "uvicorn",
    }
)  # fmt: skip
DATABASE = frozenset({"psycopg", "pydantic", "rich", "sqlalchemy"})
# What a command may load. A command that is missing here is free.
ALLOWED = {
    "alert list": DATABASE,
    "alert list --all": DATABASE,
    "check list": DATABASE,
    "migrate status": DATABASE | {"alembic"},
    "model list": DATABASE | {"numpy"},
    "monitor list": DATABASE,
    "mute list": DATABASE,
    "notification list": DATABASE | {"http", "smtplib", "urllib3"},
    "org list": DATABASE,
    "org show": DATABASE,
    "rule list": DATABASE,
    "silence list": DATABASE,
    "source list": DATABASE,
    "status": DATABASE,
    "token list": DATABASE,
    "webhook list": DATABASE | {"http", "smtplib", "urllib3"},
}
SCRIPT = """
import json, sys
from dcmon import cli
sys.argv = ["dcmon", *json.loads(sys.argv[1])]
try:
    cli.main()
except SystemExit:
    pass
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})), file=sys.stderr)
"""


@pytest.mark.parametrize("command", ALLOWED)
def test_command_loads_no_heavy_module_it_does_not_use(
    command: str, data_dir: Path, database_url: str, org: Organization
) -> None:
    """The command runs against a real database, and its process prints which modules it has loaded."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DCMON_")}
    environment |= {"DCMON_DATABASE_URL": database_url, "DCMON_DATA_DIR": str(data_dir), "DCMON_ORG": org.name}
    call = [sys.executable, "-c", SCRIPT, json.dumps([*command.split(), "-o", "table"])]
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=True, timeout=300)
    loaded = HEAVY.intersection(json.loads(done.stderr.splitlines()[-1]))
    assert loaded - ALLOWED[command] == set()

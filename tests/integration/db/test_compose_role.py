"""The script of docker-compose.yml gives dcmon a role in PostgreSQL with which both walls hold."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from dcmon import db, privileges
from dcmon.embedded import postgres
from dcmon.tenancy import missing_roles, provisioning, schema_migration
from tests.helpers.directories import server_directory
from tests.helpers.paths import ROOT
from tests.helpers.waiting import eventually

PASSWORD = "it's a $PASSWORD"
ATTRIBUTES = text("select rolsuper, rolcreaterole, rolcreatedb, rolbypassrls from pg_roles where rolname = 'dcmon'")


@pytest.fixture
def cluster(server_url: str) -> Iterator[Path]:
    """Run a new PostgreSQL as the image does, with superuser postgres, and yield the directory of its socket."""
    del server_url  # the programs of the embedded server are installed
    user = privileges.account(None)
    with server_directory() as place:
        binaries = postgres._binaries(place, user) / "bin"
        if user is not None:
            os.chown(place, user.uid, user.gid)
        start: dict[str, Any] = {"cwd": "/", "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        start |= {} if user is None else user.credentials
        data = place / "data"
        subprocess.run([binaries / "initdb", "-D", data, "-U", "postgres", "--auth=trust"], check=True, **start)
        server = subprocess.Popen([binaries / "postgres", "-D", data, "-k", place, "-h", "", "-F"], **start)
        variables = {"PATH": f"{binaries}:/usr/bin:/bin", "PGHOST": str(place), "POSTGRES_USER": "postgres"}
        try:
            ready = [binaries / "pg_isready", "-h", place, "-q"]
            assert eventually(lambda: subprocess.run(ready, check=False).returncode == 0)
            script = ROOT / "deploy" / "postgres-init.sh"
            subprocess.run(["/bin/sh", script], check=True, env=variables | {"POSTGRES_PASSWORD": PASSWORD})
            yield place
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()


def test_compose_role_is_no_superuser_and_holds_both_walls(cluster: Path) -> None:
    administrator = db.engine(f"postgresql://postgres@/dcmon?host={cluster}")
    with administrator.connect() as connection:
        assert tuple(connection.execute(ATTRIBUTES).one()) == (False, True, False, False)
        passwords = dict(connection.execute(text("select rolname, rolpassword from pg_authid where rolcanlogin")).all())  # type: ignore[arg-type]
        assert passwords["postgres"] is None
        assert passwords["dcmon"].startswith("SCRAM-SHA-256$")
    administrator.dispose()
    engine = db.engine(f"postgresql://dcmon@/dcmon?host={cluster}")
    schema_migration.migrate(engine)
    org = provisioning.create_organization(engine, "acme", "owner@acme.example").organization
    with db.public_session(engine) as session:
        assert missing_roles.count(session) == 0
    with db.org_session(engine, org) as session:
        assert str(session.scalar(text("select current_user"))).endswith(f"_org_{org.id}")
    engine.dispose()

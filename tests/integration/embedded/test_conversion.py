"""A data directory of an older release, whose role `dcmon` is the superuser, is converted at the next start."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from dcmon.embedded import json_file, postgres, postgres_cluster
from dcmon.embedded.server import Server

FORBIDDEN = [
    "select pg_read_file('/etc/passwd')", "create extension postgres_fdw", "copy (select 1) to '/tmp/out'",
    "copy (select 1) to program 'id'", "select rolpassword from pg_authid", "alter role postgres password 'x'",
    "create role x superuser", "grant pg_read_server_files to dcmon", "set session authorization postgres",
]  # fmt: skip
OWNERS = """
    select distinct pg_get_userbyid(relowner) from pg_class where relname in ('kept', 'kept_id_seq', 'parts', 'part')
     union select pg_get_userbyid(proowner) from pg_proc where proname = 'one'
     union select pg_get_userbyid(nspowner) from pg_namespace where nspname = 'org_1'
     union select pg_get_userbyid(datdba) from pg_database where datname = 'dcmon'
"""


@pytest.fixture
def older(data_dir: Path) -> Iterator[Path]:
    """Yield a data directory as older releases made it: initdb's superuser is called dcmon and owns everything."""
    user = postgres._unprivileged_user(None)
    binaries, cluster, password = postgres._binaries(data_dir, user), data_dir / "postgres", secrets.token_urlsafe(24)
    cluster.mkdir(mode=0o700)
    if user is not None:
        os.chown(cluster, user.uid, user.gid)
    secret = data_dir / "password"
    secret.write_text(password)
    secret.chmod(0o644)
    subprocess.run(
        [str(binaries / "bin" / "initdb"), "-D", str(cluster), "-U", "dcmon", "--auth=scram-sha-256",
         f"--pwfile={secret}", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"],
        check=True, capture_output=True, cwd="/", env=postgres_cluster.environment(),
        **({} if user is None else user.credentials),
    )  # fmt: skip
    json_file.write(data_dir / postgres.STATE_FILE, {"password": password, "port": None, "url": ""})
    postgres_cluster.run(binaries, cluster, ["create database dcmon"], user=user)
    made = [
        "create schema org_1", "create table org_1.kept (id serial primary key, word text)",
        "insert into org_1.kept (word) values ('a'), ('b')", "create table org_1.parts (a int) partition by list (a)",
        "create table org_1.part partition of org_1.parts default",
        "create function org_1.one() returns int language sql security definer as 'select 1'",
    ]  # fmt: skip
    postgres_cluster.run(binaries, cluster, made, database="dcmon", user=user)
    yield data_dir
    shutil.rmtree(cluster)


def require_converted(server: Server) -> None:
    """Check that dcmon has all its data and none of the superuser's rights."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        role = connection.execute("select rolsuper, rolcreatedb from pg_roles where rolname = current_user").fetchone()
        assert role == (False, False)
        assert connection.execute(OWNERS).fetchall() == [("dcmon",)]
        assert connection.execute("select word from org_1.kept order by id").fetchall() == [("a",), ("b",)]
        connection.execute("insert into org_1.kept (word) values ('c')")
        connection.execute("alter table org_1.parts detach partition org_1.part")
        names = {name for [name] in connection.execute("select rolname from pg_roles where rolsuper")}
        assert names == {"postgres"}
        for statement in FORBIDDEN:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.url.replace("//dcmon:", "//postgres:"))


def test_older_data_directory_is_converted_once(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = postgres.start(older)
    try:
        require_converted(server)
    finally:
        server.stop()
    monkeypatch.delattr(postgres_cluster, "convert")
    postgres.start(older).stop()


def test_killed_conversion_is_finished_at_the_next_start(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The conversion ends after each of its steps once, as after kill -9; the last start finds all done."""
    run, steps = postgres_cluster.run, list[int]()

    def killed_after_the_next_step(*arguments: object, **options: object) -> str:
        steps.append(1)
        output = run(*arguments, **options)  # type: ignore[arg-type]
        if len(steps) >= limit:
            raise KeyboardInterrupt
        return output

    monkeypatch.setattr(postgres_cluster, "run", killed_after_the_next_step)
    for limit in (1, 2, 3, 4, 5):  # noqa: B007 (used above)
        steps.clear()
        with pytest.raises(KeyboardInterrupt):
            postgres.start(older)
    monkeypatch.undo()

    server = postgres.start(older)
    try:
        require_converted(server)
    finally:
        server.stop()


def test_new_data_directory_has_no_superuser_to_log_in(data_dir: Path) -> None:
    server = postgres.start(data_dir)
    try:
        with psycopg.connect(server.url, autocommit=True) as connection:
            for statement in FORBIDDEN:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement.encode())
            with pytest.raises(psycopg.errors.UndefinedTable):
                connection.execute("select 'top-secret' from missing")
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(server.url.replace("//dcmon:", "//postgres:"))
        assert "top-secret" not in (data_dir / "logs" / "postgres.log").read_text()
        assert not (data_dir / "postgres.initdb").exists()
    finally:
        server.stop()


def test_killed_creation_starts_again(data_dir: Path) -> None:
    """What a killed first start left is replaced, and the password of the second one is right."""
    (data_dir / "postgres.initdb" / "base").mkdir(parents=True)
    (data_dir / "postgres.initdb" / "PG_VERSION").write_text("18\n")
    json_file.write(data_dir / postgres.STATE_FILE, {"password": "of the first start", "is_superuser": False})

    server = postgres.start(data_dir)
    try:
        psycopg.connect(server.url).close()
        assert not (data_dir / "postgres.initdb").exists()
    finally:
        server.stop()

"""The files of the embedded PostgreSQL: create them, and set up the role that dcmon connects as.

The superuser has no password, so no client can connect as superuser. What needs one is done while the server does not
run, by PostgreSQL's single-user mode, which only the owner of the files can use, without a password or a socket.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from psycopg.sql import Literal

from dcmon import errors
from dcmon.embedded import process
from dcmon.privileges import Account

USER, DATABASE, SUPERUSER = "dcmon", "dcmon", "postgres"
DISK_FULL = "No space left on device"
STILL_USED, USED_SECONDS = "is still in use", 60
ROLE_OPTIONS = "login createrole"
# The sessions of dcmon handle their errors themselves. In PostgreSQL's log, the messages would show values of rows.
SET_UP_ROLE = "alter role dcmon set log_min_messages = 'log'"
CREATE_DATABASE = "create database dcmon owner dcmon"
CREATE_HELPER = """
do $$
begin
  if not exists (select from pg_roles where rolname = 'dcmon_setup') then
    create role dcmon_setup superuser;
  end if;
end $$
"""
# A session can't rename its own role, so it runs as dcmon_setup. 10 is the oid of the superuser that initdb creates.
SPLIT_ROLE = """
do $$
declare password text;
begin
  if (select rolname from pg_authid where oid = 10) = 'dcmon' then
    if exists (select from pg_roles where rolname = 'postgres') then
      alter role dcmon rename to dcmon_superuser;
    else
      alter role dcmon rename to postgres;
    end if;
    password := (select rolpassword from pg_authid where oid = 10);
    execute 'create role dcmon login createrole password ' || quote_literal(password);
    execute 'alter role ' || quote_ident((select rolname from pg_authid where oid = 10)) || ' password null';
  end if;
end $$
"""
# Each schema is one transaction: an installation may have more tables than a transaction can lock. The sequence of a
# column and the indexes of a table follow their table.
GIVE_OBJECTS = """
do $$
declare
  space oid;
  name text;
begin
  for space in
    select n.oid from pg_namespace n where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' order by n.oid
  loop
    for name in
      select quote_ident(n.nspname) || '.' || quote_ident(c.relname)
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where n.oid = space and c.relowner = 10 and c.relkind in ('r', 'p', 'v', 'm', 'S')
         and not exists (select from pg_depend d where c.relkind = 'S' and d.classid = 'pg_class'::regclass
                            and d.objid = c.oid and d.deptype in ('a', 'i'))
       order by c.relkind = 'S'
    loop
      execute 'alter table ' || name || ' owner to dcmon';
    end loop;
    for name in
      select cast(p.oid as regprocedure) from pg_proc p where p.pronamespace = space and p.proowner = 10
    loop
      execute 'alter routine ' || name || ' owner to dcmon';
    end loop;
    select quote_ident(nspname) into name from pg_namespace where oid = space and nspowner = 10;
    if found then
      execute 'alter schema ' || name || ' owner to dcmon';
    end if;
    commit;
  end loop;
end $$
"""
# dcmon's role connects with a password, from this machine only. The superuser has none and is refused.
HOST_AUTHENTICATION = "host all all 127.0.0.1/32 scram-sha-256\n"


def environment() -> dict[str, str]:
    """Return an environment without the caller's locale and PG* variables, which would change the cluster."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def create(binaries: Path, cluster: Path, password: str, user: Account | None) -> None:
    """Create the cluster with dcmon's role and database, or nothing: it gets its name when it is complete.

    Raises DiskFull or DataDirectoryUnusable.
    """
    new = cluster.with_suffix(".initdb")
    shutil.rmtree(new, ignore_errors=True)  # a former start was killed
    new.mkdir(mode=0o700)
    if user is not None:
        os.chown(new, user.uid, user.gid)
    try:
        _initialize(binaries, new, user)
        (new / "pg_hba.conf").write_text(HOST_AUTHENTICATION)
        create_role = f"create role {USER} {ROLE_OPTIONS} password {Literal(password).as_string()}"
        run(binaries, new, [create_role, SET_UP_ROLE, CREATE_DATABASE], user=user)
        new.rename(cluster)
    except OSError as error:
        raise errors.DataDirectoryUnusable(path=cluster, reason=f"{error.strerror}.") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def convert(binaries: Path, cluster: Path, user: Account | None) -> None:
    """Take the superuser's rights from dcmon's role in a cluster of an older release, whose superuser it is.

    The superuser gets another name and loses its password; a new role gets the name, the password, the database and all
    in it. It can be repeated: after a kill, the next start continues.
    """
    run(binaries, cluster, [CREATE_HELPER, "set session authorization dcmon_setup", SPLIT_ROLE], user=user)
    run(binaries, cluster, ["drop role dcmon_setup", SET_UP_ROLE], user=user)
    databases = run(binaries, cluster, ["select datname from pg_database where not datistemplate"], user=user)
    if f'"{DATABASE}"' not in databases:  # the first start of the older release was killed
        run(binaries, cluster, [CREATE_DATABASE], user=user)
    run(binaries, cluster, [f"alter database {DATABASE} owner to {USER}"], user=user)
    run(binaries, cluster, [GIVE_OBJECTS], database=DATABASE, user=user)


def run(
    binaries: Path, cluster: Path, statements: Sequence[str], *, database: str = "postgres", user: Account | None
) -> str:
    """Run statements as superuser, each in a transaction of its own, while the server does not run; return the output.

    Raises DataDirectoryUnusable with PostgreSQL's message at the first error.
    """
    # A statement ends with a semicolon and an empty line. A statement that fails is not written to the log: it may have
    # the password.
    script = "".join(f"{re.sub(chr(10) + chr(10) + '+', chr(10), statement)};\n\n" for statement in statements)
    command = [
        str(binaries / "bin" / "postgres"), "--single", "-j", "-D", str(cluster), "-c", "exit_on_error=on",
        "-c", "log_min_error_statement=panic", "-c", "log_statement=none", database,
    ]  # fmt: skip
    completed, deadline = _run(command, user, script), time.monotonic() + USED_SECONDS
    while STILL_USED in completed.stderr and time.monotonic() < deadline:
        time.sleep(0.1)  # processes of a killed server need a moment to notice that it has ended
        completed = _run(command, user, script)
    if completed.returncode or "ERROR:" in completed.stderr:
        raise _error(cluster, completed)
    return completed.stdout


def _initialize(binaries: Path, cluster: Path, user: Account | None) -> None:
    command = [
        str(binaries / "bin" / "initdb"), "-D", str(cluster), "-U", SUPERUSER, "--auth=reject", "--encoding=UTF8",
        "--locale-provider=builtin", "--locale=C.UTF-8",
    ]  # fmt: skip
    completed = _run(command, user)
    if completed.returncode:
        raise _error(cluster, completed)


def _run(command: Sequence[str], user: Account | None, script: str = "") -> "subprocess.CompletedProcess[str]":
    credentials: dict[str, Any] = {} if user is None else user.credentials
    return subprocess.run(
        command, env=environment(), cwd="/", input=script, capture_output=True, text=True, check=False,
        preexec_fn=process.dies_with_parent(signal.SIGTERM), **credentials,
    )  # fmt: skip


def _error(cluster: Path, completed: "subprocess.CompletedProcess[str]") -> errors.DcmonError:
    """Return the error of a program that failed, with its last error message."""
    output = completed.stderr + completed.stdout
    if DISK_FULL in output:
        return errors.DiskFull(where=cluster)
    lines = [line for line in completed.stderr.splitlines() if re.search("FATAL|PANIC|ERROR|error:", line)]
    line = (lines or completed.stderr.strip().splitlines() or ["PostgreSQL ended without a message"])[-1]
    return errors.DataDirectoryUnusable(path=cluster, reason=re.sub(r"^.*?(FATAL|PANIC|ERROR|error): *", "", line))

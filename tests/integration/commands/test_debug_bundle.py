"""A debug bundle has what a helper needs, no secret, and is written also when PostgreSQL is down or hangs."""

import base64
import json
import secrets
import socket
import tarfile
import threading
import zipfile
from pathlib import Path
from types import UnionType
from typing import Any, get_args
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from dcmon import setting_names
from dcmon.app import App
from dcmon.commands.operations import debug_bundle
from dcmon.commands.operations.bundle_parts import Part
from dcmon.commands.operations.debug_bundle import PartState
from dcmon.db import encryption
from dcmon.db.tables.org import Webhook
from dcmon.errors import Conflict, InvalidInput
from dcmon.output import Output
from dcmon.settings import Settings
from tests.conftest import Acme
from tests.helpers.command_line import dcmon
from tests.helpers.waiting import PATIENCE

SPECIAL = '/@ +ü"'  # characters that each encoding writes in its own way


def canary(kind: str, special: str = SPECIAL) -> str:
    return f"canary{kind}{secrets.token_hex(6)}{special}{secrets.token_hex(6)}"


def content(path: Path) -> dict[str, str]:
    """Return the files of a bundle, without their directory."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name).decode() for name in archive.namelist()}
    with tarfile.open(path) as tar:
        members = {member.name.partition("/")[2]: tar.extractfile(member) for member in tar.getmembers()}
        return {name: file.read().decode() for name, file in members.items() if file is not None}


def written(secret: str) -> set[str]:
    """Return how a secret may be written, without the code of dcmon: base64 also after one and two bytes."""
    encoded = secret.encode()
    shifted = [base64.b64encode(b"x" * number + encoded + b"y") for number in range(3)]
    return {
        secret, quote(secret, safe=""), json.dumps(secret)[1:-1], encoded.hex(), *(form.decode() for form in shifted),
        base64.urlsafe_b64encode(b"user:" + encoded).decode(),
    }  # fmt: skip


def forms(secret: str) -> set[str]:
    """Return what is looked for: of base64 the part that depends on the secret alone."""
    encoded = secret.encode()
    shifted = [base64.b64encode(b"x" * number + encoded + b"yy").decode()[4 * (number > 0) : -6] for number in range(3)]
    return {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], encoded.hex(), *shifted}


def leaks(files: dict[str, str], canaries: dict[str, str]) -> list[tuple[str, str, str]]:
    return [
        (name, kind, form)
        for name, text in files.items()
        for kind, value in canaries.items()
        for form in forms(value)
        if form in text or form.replace("+", "-").replace("/", "_") in text
    ]


def has_secret(kind: Any) -> bool:
    return kind is SecretStr or (isinstance(kind, UnionType) and SecretStr in get_args(kind))


def settings_with_canaries(url: str, data_dir: Path, canaries: dict[str, str]) -> Settings:
    """Put a canary into each setting that holds a secret."""
    values: dict[str, Any] = {"data_dir": data_dir}
    canaries["database password"] = str(urlsplit(url).password)
    for variable in setting_names.variables(Settings):
        if has_secret(variable.field.annotation):
            canaries[variable.name] = canary("setting")
            group = values
            for name in variable.path[:-1]:
                group = group.setdefault(name, {})
            group[variable.path[-1]] = canaries[variable.name]
    canaries["DCMON_SECRET_KEYS"] = Fernet.generate_key().decode()
    canaries["ping path"] = canary("ping", "")
    values |= {"database_url": url, "secret_keys": canaries["DCMON_SECRET_KEYS"]}
    values["redis_url"] = f"redis://:{quote(canaries['DCMON_REDIS_URL'], safe='')}@127.0.0.1:1/0"
    values["ping"]["url"] = f"http://127.0.0.1:1/{canaries['ping path']}"
    for replaced in ("DCMON_DATABASE_URL", "DCMON_PING__URL"):  # by URLs that have canaries
        del canaries[replaced]
    return Settings(**values)


def fill(app: App, acme: Acme, canaries: dict[str, str]) -> None:
    """Give the organization receivers with secrets, and write all canaries to a log."""
    for kind in ("url", "query", "header", "key", "argument", "signing"):
        canaries[kind] = canary(kind, "")
    address = f"https://hooks.example/services/{canaries['url']}"
    with app.org(acme.org) as session:
        session.add(
            Webhook(
                name="hook", kind="webhook", url=f"{address}?key={canaries['query']}",
                secret=canaries["signing"].encode(), severities=["high"],
                options={"argv": ["/bin/false", canaries["argument"]]},
                credentials={"X-Key": canaries["header"], "routing_key": canaries["key"]},
            )
        )  # fmt: skip
    lines = [form for secret in canaries.values() for form in written(secret)]
    canaries["token"] = acme.token
    lines.append(f"the token {acme.token} was used")
    unknown = ("basic", "bearer", "url", "named", "json", "sql", "webhook", "dsn")  # secrets that dcmon does not know
    canaries |= {f"logged {kind}": canary(kind, "") for kind in unknown}
    basic, bearer, url, named, json_, sql, webhook, dsn = (canaries[f"logged {kind}"] for kind in unknown)
    lines += [
        f"Authorization: Basic {basic}", f"authorization: bearer {bearer}", f"alter role x password '{sql}'",
        f"can't reach postgresql://user:{url}@host/db", f"password={named} host=x", f'{{"x": 1, "api_key": "{json_}"}}',
        f"POST https://example.com/{webhook} 500", f"source s3://key:{dsn}@bucket/",
    ]  # fmt: skip
    logs = app.settings.data_dir / "logs"
    logs.mkdir()
    (logs / "serve.log").write_text("\n".join([*lines, "the last line stays"]))


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
def test_no_canary_is_in_a_bundle(
    suffix: str, database_url: str, data_dir: Path, acme: Acme, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encryption, "_keys", ())
    canaries: dict[str, str] = {}
    settings = settings_with_canaries(database_url, data_dir, canaries)
    with App(settings, Output(quiet=True)) as app, psycopg.connect(database_url, autocommit=True) as other:
        fill(app, acme, canaries)
        canaries["statement"] = canary("statement", "")
        other.execute(f"select '{canaries['statement']}'".encode())
        file = tmp_path / f"bundle{suffix}"
        written = debug_bundle.write(app, file, PATIENCE)
    files = content(file)
    assert leaks(files, canaries) == []
    assert {row["part"]: row for row in written.rows if row["state"] == PartState.FAILED} == {}
    assert "the last line stays" in files["logs/serve.log"]
    assert json.loads(files["receivers.json"])["acme"][0]["name"] == "hook"
    assert json.loads(files["revisions.json"])["orgs"][0]["name"] == "acme"
    assert json.loads(files["tables.json"])["counts"]["organizations"] == 1
    assert "'…'" in files["sessions.json"]
    assert file.stat().st_mode & 0o777 == 0o600
    for name, text in files.items():
        assert not name.endswith(".json") or json.loads(text) is not None


LOGS = {
    "postgres": """2026-12-01 02:52:23.829 UTC [18816] LOG:  database system is ready to accept connections
2026-12-01 02:52:24.000 UTC [18817] ERROR:  invalid input syntax for type integer: "whsec_canary"
2026-12-01 02:52:24.000 UTC [18817] STATEMENT:  update webhooks set secret = 'whsec_canary'
\tand more of whsec_canary
2026-12-01 02:52:25.000 UTC [18817] LOG:  duration: 12 ms  statement: select 'whsec_canary'
2026-12-01 02:52:26.000 UTC [18818] FATAL:  sorry, too many clients already""",
    "valkey": "562:M 01 Dec 2026 02:55:09.648 * Ready to accept connections tcp",
    "supervisor": """{"time": "2026-12-01T02:55:09+00:00", "level": "warning", "logger": "dcmon", \
"message": "process ended: notify with signal SIGKILL, restart in 1.0 s"}
{"time": "2026-12-01T02:55:09+00:00", "level": "warning", "logger": "dcmon", "message": "whsec_canary"}
02:55:10 WARNING process started again: notify, restart 1
02:55:10 WARNING process started again: notify, restart 1 of whsec_canary
whsec_canary""",
    "notify": "whsec_canary",
}


def test_bundle_without_postgres_has_logs_of_servers(data_dir: Path, tmp_path: Path) -> None:
    """Secrets of receivers can't be removed then: only lines stay that quote nothing. One sentence says it."""
    (data_dir / "logs").mkdir()
    for part, text in LOGS.items():
        (data_dir / "logs" / f"{part}.log").write_text(text + "\n")
    file = tmp_path / "bundle.zip"

    done = dcmon("debug", "bundle", str(file), data_dir=data_dir)

    files = content(file)
    assert [name for name, text in files.items() if "whsec_canary" in text] == []
    assert files["logs/postgres.log"].splitlines() == [LOGS["postgres"].split("\n")[line] for line in (0, -1)]
    assert files["logs/valkey.log"].strip() == LOGS["valkey"]
    assert files["logs/supervisor.log"].splitlines() == [LOGS["supervisor"].split("\n")[line] for line in (0, 2)]
    said = " ".join(done.stdout.split())
    assert said.count("stored secrets can't be read, and so not removed") == 1
    assert "doctor.json and logs/notify.log: stored secrets" in said
    assert said.count("dcmon does not run here") == 1


def test_bundle_is_written_while_postgres_hangs(data_dir: Path, tmp_path: Path) -> None:
    """A server that accepts connections and never answers costs the parts that need it, and no more."""
    (data_dir / "logs").mkdir()
    (data_dir / "logs" / "serve.log").write_text("a line")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://dcmon:{canary('x', '')}@127.0.0.1:{silent.getsockname()[1]}/dcmon"
        with App(Settings(database_url=SecretStr(url), data_dir=data_dir), Output(quiet=True)) as app:
            written = debug_bundle.write(app, tmp_path / "bundle.zip", 30.0)
    states = {row["part"]: row["state"] for row in written.rows}
    assert not written.is_complete
    assert states["postgres.json"] in (PartState.FAILED, PartState.UNFINISHED)
    assert states["logs/serve.log"] == PartState.LEFT_OUT  # secrets of receivers can't be told in it
    assert "logs/serve.log" not in content(written.path)
    assert states["about.json"] == states["settings.json"] == states["machine.json"] == PartState.COLLECTED


@pytest.mark.parametrize("reason", ["too many", "unreadable organization"])
def test_what_secrets_cannot_be_removed_from_is_left_out(
    reason: str, app: App, acme: Acme, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canaries: dict[str, str] = {}
    fill(app, acme, canaries)
    if reason == "too many":
        monkeypatch.setattr(debug_bundle, "MOST_STORED_SECRETS", 1)
    else:
        with app.public() as session:
            session.connection().exec_driver_sql(f"update {acme.org.schema}.alembic_version set version_num = '0001'")
    written = debug_bundle.write(app, tmp_path / "bundle.zip", PATIENCE)
    files, states = content(written.path), {row["part"]: row["state"] for row in written.rows}
    assert not written.is_complete
    assert states["logs/serve.log"] == states["status.json"] == PartState.LEFT_OUT
    assert states["tables.json"] == PartState.COLLECTED
    assert leaks(files, {kind: canaries[kind] for kind in ("header", "argument", "signing", "url")}) == []


def test_command_without_a_database_is_partly_done(data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "bundle.tar.gz"
    done = dcmon("-o", "json", "debug", "bundle", str(file), data_dir=data_dir)
    assert done.returncode == 8, done.stderr
    parts = {row["part"]: row for row in json.loads(done.stdout)["parts"]}
    assert "dcmon up" in parts["postgres.json"]["note"]
    assert "about.json" in content(file)
    again = dcmon("debug", "bundle", str(file), data_dir=data_dir)
    assert (again.returncode, "exists already" in again.stderr) == (6, True)


def test_late_parts_are_left_behind(app: App) -> None:
    never = threading.Event()
    late = Part("late.json", lambda _: never.wait())
    wrong = Part("wrong.json", lambda _: 1 / 0)
    collected = debug_bundle.collect(app, [late, wrong], 0.2)
    assert [part.state for part in collected] == [PartState.UNFINISHED, PartState.FAILED]
    assert collected[1].note == "ZeroDivisionError: division by zero"
    never.set()


def test_other_files_are_refused(app: App, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"tar\.gz"):
        debug_bundle.write(app, tmp_path / "bundle.rar", 1)
    (tmp_path / "bundle.zip").touch()
    with pytest.raises(Conflict):
        debug_bundle.write(app, tmp_path / "bundle.zip", 1)

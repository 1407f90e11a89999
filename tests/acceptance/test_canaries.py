"""No secret gets out: distinct canaries in all secrets of a running system, and a search wherever people look."""

import base64
import json
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
import urllib3
from cryptography.fernet import Fernet

from dcmon.embedded import postgres, valkey
from tests.conftest import Acme
from tests.helpers.command_line import LoadedDcmon
from tests.helpers.http_receiver import HttpReceiver, http_receiver
from tests.helpers.installed import Dcmon
from tests.helpers.ports import free_port
from tests.helpers.waiting import PATIENCE

SHOWN = (
    "alert list --all", "audit-log list", "member list", "model show credit", "org show acme",
    "notification list", "status", "token list", "receiver list",
    "receiver show hook", "receiver show pager", "receiver show room", "receiver show query",
    "receiver show chat", "receiver show page", "ingest lag", "source list", "org list",
    "source create bucket s3://key:{source}@bucket/in --model credit", "secret-key rotate --dry-run",
)  # fmt: skip
PAGES = (
    "/metrics", "/health/ready", "/health/live", "/configuration/models", "/configuration/alert-rules", "/invitation",
    "/api/v1/openapi.json", "/api/v1/alert-webhooks", "/api/v1/tokens", "/api/v1/audit-log",
    "/api/v1/organization/members", "/api/v1/organization/invitations", "/api/v1/data-sources",
)  # fmt: skip
KEPT_BY_TABLES = {"row"}  # a row that was refused is quarantined as it was sent


def canary(kind: str) -> str:
    return f"canary{kind}{secrets.token_hex(8)}"


@dataclass
class System:
    """A running system, its canaries by what they are, and where they were found."""

    dcmon: Dcmon
    receiver: HttpReceiver | None
    canaries: dict[str, str] = field(default_factory=dict)
    token: str = ""
    outputs: dict[str, str] = field(default_factory=dict)

    def new(self, kind: str) -> str:
        self.canaries[kind] = canary(kind)
        return self.canaries[kind]

    def call(self, method: str, path: str, body: Any = None, token: str | None = None, **headers: str) -> bytes:
        headers = {"authorization": f"Basic {token or self.token}", "content-type": "application/json", **headers}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return urllib3.request(
            method, f"{self.dcmon.url}{path}", body=content, headers=headers, retries=False, timeout=PATIENCE
        ).data

    def leaks(self, texts: dict[str, str]) -> list[tuple[str, str]]:
        return [
            (place, kind) for place, text in texts.items() for kind, value in self.canaries.items() if value in text
        ]


@pytest.fixture
def system(dcmon: Dcmon) -> Iterator[System]:
    """Start everything with canaries in the settings, and give an organization secrets of all kinds."""
    with http_receiver() as receiver:
        receiver.status = 500
        new = System(dcmon, receiver)
        key = Fernet.generate_key().decode()
        new.canaries["secret key"] = key
        settings = {
            "DCMON_SMTP__HOST": "127.0.0.1", "DCMON_SMTP__PORT": "1", "DCMON_SMTP__SECURITY": "none",
            "DCMON_SMTP__USERNAME": "dcmon", "DCMON_SMTP__PASSWORD": new.new("smtp"),
            "DCMON_HTTP__METRICS_TOKEN": new.new("metrics"), "DCMON_SECRET_KEYS": key,
            "DCMON_PING__URL": f"http://127.0.0.1:1/{new.new('ping')}", "DCMON_PING__EVERY": "1",
            "DCMON_WEBHOOKS__ALLOW": "127.0.0.1", "DCMON_HEALTH__EVERY": "1",
        }  # fmt: skip
        new.dcmon = replace(dcmon, settings=settings)
        started = new.dcmon("-vv", "up")
        assert started.returncode == 0, started.stderr
        new.dcmon = LoadedDcmon(dcmon.data_dir, dcmon.port, settings)
        for server in (postgres, valkey):
            new.canaries[server.__name__] = str(urlsplit(str(server.url(dcmon.data_dir))).password)
        _fill(new)
        yield new


def _fill(system: System) -> None:
    """Create objects with secrets, let deliveries fail, and send requests that are refused or crash."""
    assert system.receiver is not None
    dcmon, hook = system.dcmon, system.receiver.url
    system.token = system.canaries["token"] = dcmon.json("org", "create", "acme", "--owner", "ann@acme.example")[
        "token"
    ]
    dcmon.json("model", "create", "credit", "--task", "binary", "--version", "v1", "--feature", "age:numeric")
    chat, room = (f"{hook}/services/T0/B0/{system.new(kind)}" for kind in ("slack", "teams"))
    for name, *address in (
        ("hook", f"{hook}/hook", "--header", f"X-Key: {system.new('header')}"),
        ("pager", f"{hook}/pager", "--kind", "pagerduty", "--key", system.new("routing")),
        ("chat", chat, "--kind", "slack"),
        ("room", room, "--kind", "teams"),
        ("query", f"{hook}/hook?token={system.new('query')}"),
        ("mail", "ann@acme.example", "--kind", "email"),
        ("page", "--kind", "command", "--", "/bin/false", system.new("argument")),
    ):
        added = dcmon("receiver", "create", name, *address)
        assert added.returncode == 0, added.stderr
        tested = dcmon("receiver", "test", name, "--timeout", "5m")
        assert (tested.returncode, "notify worker" in tested.stderr) in ((1, False), (7, False)), tested.stderr
    created = system.call("POST", "/api/v1/tokens", {"name": "second"})
    system.canaries["second token"] = json.loads(created)["token"]
    invited = system.call("PUT", "/api/v1/organization/invite", {"email": "bob@acme.example"})
    system.canaries["invitation"] = json.loads(invited)["invitations"][0]["code"]
    _import_token(system)
    system.new("source")
    keyed = {"kind": "STANDARD", "name": "keyed", "http_url": f"{hook}/{system.new('keyedurl')}", "http_method": "POST",
             "http_headers": {"X-Key": system.new("keyedheader")}}  # fmt: skip
    for _ in range(2):
        headers = {"idempotency-key": "once"}
        assert b'"id"' in system.call("POST", "/api/v1/alert-webhooks", keyed, **headers)
    system.call("GET", "/api/v1/models", token=system.new("badtoken"))
    system.call("POST", "/api/v1/models", {"name": system.new("body"), "task_type": 7})
    system.call("POST", "/api/v1/models", b'{"name": "' + system.new("halfbody").encode())
    row = {"_dc_sample_id": "s1", "_dc_time": "never", "age": system.new("row")}
    system.call("POST", "/api/v1/model-versions/1/data", [row])
    with psycopg.connect(_database_url(dcmon.data_dir), autocommit=True) as connection:
        schema = connection.execute("select nspname from pg_namespace where nspname like 'org%'").fetchone()
        assert schema is not None
        connection.execute(f'alter table "{schema[0]}".webhooks rename column description to hidden')  # type: ignore[call-overload]
        webhook = {"kind": "STANDARD", "name": "n", "http_url": f"{hook}/{system.new('crash')}", "http_method": "POST"}
        crashed = system.call("POST", "/api/v1/alert-webhooks", webhook)
        assert b"internal error" in crashed, crashed
        connection.execute(f'alter table "{schema[0]}".webhooks rename column hidden to description')  # type: ignore[call-overload]


def _import_token(system: System) -> None:
    """Import a token of the old system, use it, and use a wrong one of the same user."""
    user = base64.urlsafe_b64encode(b"eve@acme.example").decode()
    file = system.dcmon.data_dir.parent / f"{system.dcmon.data_dir.name}-tokens.txt"
    try:
        file.write_text(f"{user}.{system.new('imported')}\nnot-{system.new('unusable')}\n")
        system.outputs["token import"] = _output(system.dcmon("-vv", "token", "import", str(file)))
    finally:
        file.unlink()
    assert b"eve@acme.example" in system.call("GET", "/api/v1/users/me", token=f"{user}.{system.canaries['imported']}")
    system.call("GET", "/api/v1/users/me", token=f"{user}.{system.new('wrongimported')}")


def _output(done: "subprocess.CompletedProcess[str]") -> str:
    return done.stdout + done.stderr


def _command_lines() -> str:
    """Return the arguments of all processes of the machine."""
    return "\n".join(" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))


def _logs(data_dir: Path) -> dict[str, str]:
    files = {*data_dir.glob("**/*.log*"), *(data_dir / "logs").iterdir()}
    return {str(path): path.read_text(errors="replace") for path in files if path.is_file()}


def _tables(url: str) -> Iterator[tuple[str, str]]:
    """Yield each table of dcmon with its rows, as text."""
    names = (
        "select table_schema, table_name from information_schema.tables where table_schema ~ '^(public|org_[0-9]+)$'"
    )
    with psycopg.connect(url) as connection:
        for schema, name in connection.execute(names).fetchall():
            rows = connection.execute(f'select * from "{schema}"."{name}"').fetchall()  # type: ignore[call-overload]
            yield f"table {schema}.{name}", "\n".join(map(repr, rows))


def _database_url(data_dir: Path) -> str:
    url = postgres.url(data_dir)
    assert url is not None
    return url


def test_no_canary_is_found_where_people_look(system: System) -> None:
    dcmon, places = system.dcmon, system.outputs
    for command in SHOWN:
        for output in ("table", "json"):
            words = command.format(**system.canaries).split()
            places[f"{command} ({output})"] = _output(dcmon("-vv", "-o", output, *words))
    places |= {path: system.call("GET", path).decode() for path in PAGES}
    places["/metrics with token"] = urllib3.request(
        "GET",
        f"{dcmon.url}/metrics",
        headers={"authorization": f"Bearer {system.canaries['metrics']}"},
        timeout=PATIENCE,
    ).data.decode()
    places["processes"] = _command_lines()
    assert "dcmon" in places["processes"]
    places |= _logs(dcmon.data_dir)

    assert system.leaks(places) == []
    tables = dict(_tables(_database_url(dcmon.data_dir)))
    assert {"table org_1.webhooks", "table org_1.idempotency_keys", "table public.tokens"} <= set(tables)
    assert [leak for leak in system.leaks(tables) if leak[1] not in KEPT_BY_TABLES] == []
    # Files that have secrets belong to their owner only.
    assert [str(path) for path in dcmon.data_dir.glob("*.json") if path.stat().st_mode & 0o077] == []


@pytest.mark.thorough  # its sibling is above, with servers that dcmon starts
def test_no_canary_of_outer_servers_is_found(dcmon: Dcmon, database_url: str, acme: Acme) -> None:
    """The password in DCMON_DATABASE_URL, and that of Kafka, whose brokers can't be reached."""
    password = str(urlsplit(database_url).password)
    system = System(dcmon, None, {"database": password}, acme.token)
    kafka = {
        "BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}", "SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "SASL_MECHANISM": "PLAIN", "USERNAME": "dcmon", "PASSWORD": system.new("kafka"), "ACK_WAIT": "1",
    }  # fmt: skip
    settings = {f"DCMON_KAFKA__{name}": value for name, value in kafka.items()}
    redis = f"redis://:{system.new('redis')}@127.0.0.1:1/0"
    settings |= {"DCMON_DATABASE_URL": database_url, "DCMON_REDIS_URL": redis}
    system.dcmon = replace(dcmon, settings=settings)
    started = system.dcmon("-vv", "up")
    assert started.returncode == 0, started.stderr
    model = {"name": "credit", "task_type": "binary"}
    system.call("POST", "/api/v1/models", model)
    version = {"name": "v1", "features": {"age": "numeric"}, "additional_data": {}, "classes": ["0", "1"]}
    system.call("POST", "/api/v1/models/1/version", version)
    row = {"_dc_sample_id": "s1", "_dc_time": "2026-03-01T00:00:00Z", "_dc_prediction": "1", "age": 1}
    places = {"POST data": system.call("POST", "/api/v1/model-versions/1/data", [row]).decode()}
    assert "error" in places["POST data"], places
    for command in ("status", "ingest lag", "audit --kafka", "migrate status", "worker start nonsense"):
        for output in ("table", "json"):
            places[f"{command} ({output})"] = _output(system.dcmon("-vv", "-o", output, *command.split()))
    for url in (f"postgresql://dcmon:{password}@127.0.0.1:1/none", f"postgresql://dcmon:{password}@[none/none",
                f"mysql://dcmon:{password}@host/x", f"postgresql://dcmon:{password}@host:port/x", password,
                database_url.replace(password, system.new("wrong"))):  # fmt: skip
        refused = replace(dcmon, settings={"DCMON_DATABASE_URL": url})("-vv", "status")
        assert refused.returncode != 0
        places[f"status of {url.replace(password, '')}"] = _output(refused)
    places["processes"] = _command_lines()
    places |= _logs(dcmon.data_dir)

    assert system.leaks(places | dict(_tables(database_url))) == []

"""No secret gets out: distinct canaries in all secrets of a running system, and a search wherever people look."""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import urllib3
from cryptography.fernet import Fernet

from dcmon.embedded import postgres, valkey
from tests.helpers.command_line import LoadedDcmon
from tests.helpers.http_receiver import HttpReceiver, http_receiver
from tests.helpers.installed import Dcmon, processes_of
from tests.helpers.waiting import PATIENCE

SHOWN = (
    "alert list --all", "audit-log list", "member list", "model show credit", "org show acme",
    "notification list", "status", "token list", "webhook list",
    "webhook show hook", "webhook show pager",
    "webhook show chat", "webhook show page", "ingest lag",
)  # fmt: skip


def canary(kind: str) -> str:
    return f"canary{kind}{secrets.token_hex(8)}"


@dataclass
class System:
    """A running system, its canaries by what they are, and where they were found."""

    dcmon: Dcmon
    receiver: HttpReceiver
    canaries: dict[str, str] = field(default_factory=dict)
    token: str = ""

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
    dcmon, hook = system.dcmon, system.receiver.url
    system.token = system.canaries["token"] = dcmon.json("org", "create", "acme", "--owner", "ann@acme.example")[
        "token"
    ]
    dcmon.json("model", "create", "credit", "--task", "binary", "--version", "v1", "--feature", "age:numeric")
    chat = f"{hook}/services/T0/B0/{system.new('slack')}"
    for name, *address in (
        ("hook", f"{hook}/hook", "--header", f"X-Key: {system.new('header')}"),
        ("pager", f"{hook}/pager", "--kind", "pagerduty", "--key", system.new("routing")),
        ("chat", chat, "--kind", "slack"),
        ("mail", "ann@acme.example", "--kind", "email"),
        ("page", "--kind", "command", "--", "/bin/false", system.new("argument")),
    ):
        added = dcmon("webhook", "add", name, *address)
        assert added.returncode == 0, added.stderr
        tested = dcmon("webhook", "test", name, "--timeout", "5m")
        assert (tested.returncode, "notify worker" in tested.stderr) in ((1, False), (7, False)), tested.stderr
    created = system.call("POST", "/api/v1/tokens", {"name": "second"})
    system.canaries["second token"] = json.loads(created)["token"]
    invited = system.call("PUT", "/api/v1/organization/invite", {"email": "bob@acme.example"})
    system.canaries["invitation"] = json.loads(invited)["invitations"][0]["code"]
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


def _database_url(data_dir: Path) -> str:
    url = postgres.url(data_dir)
    assert url is not None
    return url


def test_no_canary_is_found_where_people_look(system: System) -> None:
    dcmon, places = system.dcmon, dict[str, str]()
    for command in SHOWN:
        for output in ("table", "json"):
            done = dcmon("-vv", "-o", output, *command.split())
            places[f"{command} ({output})"] = done.stdout + done.stderr
    for path in ("/metrics", "/health/ready", "/api/v1/alert-webhooks", "/api/v1/tokens", "/api/v1/audit-log"):
        places[path] = system.call("GET", path).decode()
    places["/metrics with token"] = urllib3.request(
        "GET",
        f"{dcmon.url}/metrics",
        headers={"authorization": f"Bearer {system.canaries['metrics']}"},
        timeout=PATIENCE,
    ).data.decode()
    places["processes"] = "\n".join(processes_of(dcmon.data_dir))
    places |= {
        str(path): path.read_text(errors="replace") for path in dcmon.data_dir.glob("**/*.log*") if path.is_file()
    }
    places |= {str(path): path.read_text() for path in (dcmon.data_dir / "logs").iterdir()}
    with psycopg.connect(_database_url(dcmon.data_dir)) as connection:
        for table in (
            "audit_log",
            "org_1.audit_log",
            "org_1.receiver_tests",
            "tokens",
            "invitations",
        ):
            rows = connection.execute(f"select * from {table}").fetchall()  # type: ignore[call-overload]
            places[f"table {table}"] = "\n".join(map(repr, rows))

    assert system.leaks(places) == []


def test_files_with_secrets_belong_to_their_owner_only(system: System) -> None:
    readable = [str(path) for path in system.dcmon.data_dir.glob("*.json") if path.stat().st_mode & 0o077]
    assert readable == []

"""Faults of this machine: settings, files, ports, certificates, processes, and servers that don't answer."""

import base64
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from dcmon import errors
from dcmon.doctor import inspection
from dcmon.doctor.faults import Finding
from dcmon.doctor.installation import Installation
from dcmon.embedded import json_file, process, supervisor_state, valkey
from dcmon.embedded.environment import comparable
from dcmon.embedded.supervisor_state import SupervisorState
from dcmon.health import local_problems
from dcmon.health.process_heartbeats import HOSTNAME
from dcmon.settings import Health, Http, Kafka, Settings, Webhooks
from tests.helpers.waiting import eventually
from tests.integration.doctor.conftest import Healthy

KEY = base64.urlsafe_b64encode(bytes(32)).decode()
STARTED_AT = "2026-11-30T03:00:00+00:00"


def examine(settings: Settings, seconds: float = 60) -> list[Finding]:
    installation = Installation(settings)
    try:
        return inspection.examine(installation, seconds)
    finally:
        installation.close()


def codes(settings: Settings, seconds: float = 60) -> list[str]:
    return sorted({finding.fault.code for finding in examine(settings, seconds)})


@pytest.fixture
def settings(healthy: Healthy) -> Settings:
    return healthy.settings


@pytest.fixture
def silent_server() -> Iterator[int]:
    """Yield the port of a server that takes connections and says nothing, as one that hangs."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(50)
        yield server.getsockname()[1]


def test_unusable_setting_is_the_only_finding() -> None:
    refusal = errors.InvalidInput("DCMON_HTP__PORT in the environment is no setting. Do you mean DCMON_HTTP__PORT?")

    (finding,) = inspection.examine(Installation(None, refusal), 60)

    assert (finding.fault.code, finding.fact.sentence) == ("setting-unusable", str(refusal))
    assert finding.fact.command == "dcmon config show DCMON_HTP__PORT --origin"


def test_old_name_of_a_setting_is_found(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCMON_WATCH__EVERY", "60")

    (finding,) = examine(settings)

    assert finding.fault.code == "setting-old-name"
    assert finding.fact.command == "dcmon config show DCMON_HEALTH__EVERY --origin"


def test_unusable_key_is_found(settings: Settings) -> None:
    found = codes(settings.model_copy(update={"secret_keys": SecretStr("abc")}))

    assert "secret-key-unusable" in found


def test_data_directory_below_a_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert codes(Settings(data_dir=tmp_path / "file" / "data")) == ["data-directory-unwritable", "nothing-runs"]


def test_readable_secrets_are_found(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.data_dir.mkdir(mode=0o700)
    key = settings.data_dir / "secret.key"
    key.write_text("x")
    key.chmod(0o644)

    (finding,) = examine(settings)

    assert (finding.fault.code, finding.fact.command) == ("files-readable-by-others", f"chmod 600 {key}")
    subprocess.run(finding.fact.command.split(), check=True)
    assert examine(settings) == []


def test_large_log_is_found(settings: Settings) -> None:
    logs = settings.data_dir / "logs"
    logs.mkdir(mode=0o700, parents=True)
    settings.data_dir.chmod(0o700)
    with (logs / "postgres.log").open("wb") as file:
        file.truncate(200_000_000)

    (finding,) = examine(settings)

    assert finding.fault.code == "logs-large"
    assert "postgres.log, has 200.0 MB" in finding.fact.sentence


def test_state_of_a_killed_supervisor_is_found(settings: Settings) -> None:
    settings.data_dir.mkdir(mode=0o700)
    ended = subprocess.Popen(["true"])
    ended.wait()
    path = settings.data_dir / supervisor_state.STATE_FILE
    json_file.write(path, {"pid": ended.pid, "url": "", "started_at": "", "is_ready": True, "children": []})
    path.chmod(0o600)

    (finding,) = examine(settings)

    assert (finding.fault.code, finding.fact.command) == ("stale-state-file", "dcmon up")


@pytest.fixture
def running(settings: Settings) -> Iterator[Settings]:
    """Yield settings of a data directory in which a supervisor runs, with a secret and an allowed network."""
    changed = settings.model_copy(update={"webhooks": Webhooks(allow=["10.0.0.0/8"]), "secret_keys": SecretStr(KEY)})
    changed.data_dir.mkdir(mode=0o700)
    known = comparable(changed, STARTED_AT)
    with supervisor_state.exclusive(changed.data_dir):
        state = SupervisorState(os.getpid(), "", STARTED_AT, True, [], "", known)
        supervisor_state.write(changed.data_dir, state)
        for path in changed.data_dir.iterdir():
            path.chmod(0o600)
        yield changed


def test_settings_as_those_of_the_supervisor_are_no_finding(running: Settings) -> None:
    assert codes(running) == []


def test_settings_that_only_the_shell_has_are_found(running: Settings) -> None:
    """A restart gives them to the processes of the supervisor."""
    health = Health(every=timedelta(minutes=2))

    (finding,) = examine(running.model_copy(update={"health": health}))

    assert (finding.fault.code, finding.fact.command) == ("settings-differ", "dcmon down && dcmon up")
    assert "DCMON_HEALTH__EVERY (only this shell has it)" in finding.fact.sentence


def test_settings_that_the_shell_lacks_are_found(running: Settings) -> None:
    """A restart would lose them: the command shows what this shell has."""
    other = SecretStr(KEY.replace("A", "B", 1))

    (finding,) = examine(running.model_copy(update={"webhooks": Webhooks(), "secret_keys": other}))

    assert finding.fact.command == "dcmon config show --changed --origin"
    assert "DCMON_WEBHOOKS__ALLOW (this shell does not have it)" in finding.fact.sentence
    assert "DCMON_SECRET_KEYS (this shell has another value)" in finding.fact.sentence
    assert KEY not in (running.data_dir / supervisor_state.STATE_FILE).read_text()


def test_pid_file_of_a_killed_postgresql_is_found(settings: Settings) -> None:
    cluster = settings.data_dir / "postgres"
    cluster.mkdir(parents=True)
    settings.data_dir.chmod(0o700)
    (cluster / "postmaster.pid").write_text(f"{os.getpid()}\n")  # another process has its number now

    assert codes(settings) == ["stale-pid-file"]


def test_taken_port_is_found(settings: Settings) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", settings.http.port))
        other.listen()

        (finding,) = examine(settings)

    assert finding.fault.code == "port-taken"
    assert f"127.0.0.1:{settings.http.port}" in finding.fact.sentence


def write_certificate(path: Path, days: int) -> None:
    """Write a self-signed certificate with its key that ends in so many days."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dcmon")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - timedelta(days=90))
    certificate = builder.not_valid_after(now + timedelta(days=days)).sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)


@pytest.mark.parametrize(("days", "wanted"), [(90, []), (9, ["tls-expires"]), (-9, ["tls-expires"])])
def test_certificate_is_told_before_its_end(settings: Settings, tmp_path: Path, days: int, wanted: list[str]) -> None:
    path = tmp_path / "tls.pem"
    write_certificate(path, days)
    http = settings.http.model_copy(update={"tls_certificate": path})

    findings = examine(settings.model_copy(update={"http": http}))

    assert [finding.fault.code for finding in findings] == wanted
    assert [finding.severity for finding in findings] == ["critical" if days < 0 else "high"] * len(wanted)


def test_missing_certificate_is_found(settings: Settings, tmp_path: Path) -> None:
    http = settings.http.model_copy(update={"tls_certificate": tmp_path / "none.pem"})

    assert codes(settings.model_copy(update={"http": http})) == ["tls-unusable"]


def test_nothing_runs_in_a_new_directory(tmp_path: Path) -> None:
    (finding,) = examine(Settings(data_dir=tmp_path / "data", http=Http(port=1)))

    assert (finding.fault.code, finding.fact.command) == ("nothing-runs", "dcmon up")


def test_url_of_another_database_is_found(settings: Settings) -> None:
    url = SecretStr("mysql://root@127.0.0.1/x")
    assert codes(settings.model_copy(update={"database_url": url})) == ["database-url-unusable"]


def test_wrong_password_is_found(settings: Settings) -> None:
    url = SecretStr(
        str(settings.database_url and settings.database_url.get_secret_value()).replace("dcmon:", "dcmon:x")
    )

    (finding,) = examine(settings.model_copy(update={"database_url": url}))

    assert finding.fault.code == "postgresql-refuses"
    assert url.get_secret_value().split(":")[2].split("@")[0] not in finding.fact.sentence


def test_refused_connection_is_found(settings: Settings) -> None:
    url = SecretStr("postgresql://dcmon@127.0.0.1:1/x")

    (finding,) = examine(settings.model_copy(update={"database_url": url}))

    assert finding.fault.code == "postgresql-unreachable"
    assert "127.0.0.1:1/x" in finding.fact.sentence


def test_hanging_postgresql_hides_no_other_finding(settings: Settings, silent_server: int) -> None:
    """The connection times out, and another part says what is wrong with it."""
    url = SecretStr(f"postgresql://dcmon:x@127.0.0.1:{silent_server}/x?connect_timeout=2")
    redis = SecretStr("redis://127.0.0.1:1/0")

    found = codes(settings.model_copy(update={"database_url": url, "redis_url": redis}))

    assert found == ["postgresql-hangs", "redis-unreachable"]


@pytest.fixture
def dropping_port() -> Iterator[int]:
    """Yield a port where connections time out, as behind a firewall: the queue of its server is full."""
    with socket.socket() as server, ExitStack() as stack:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield server.getsockname()[1]


def test_dropped_connections_are_told_from_a_hang(settings: Settings, silent_server: int, dropping_port: int) -> None:
    error = errors.Unreachable(what="PostgreSQL", where="db", reason="connection timeout expired")

    def named(port: int) -> list[str]:
        url = SecretStr(f"postgresql://dcmon:x@127.0.0.1:{port}/x")
        changed = settings.model_copy(update={"database_url": url})
        return [problem.name.code for problem in local_problems.find(changed, None, error)]

    assert named(silent_server) == ["postgresql-hangs"]
    assert named(dropping_port) == ["postgresql-unreachable"]


def test_part_without_an_answer_is_a_finding(settings: Settings, silent_server: int) -> None:
    """PostgreSQL is left after the timeout of the part, though its own is minutes."""
    url = SecretStr(f"postgresql://dcmon:x@127.0.0.1:{silent_server}/x?connect_timeout=300")

    findings = examine(settings.model_copy(update={"database_url": url, "secret_keys": SecretStr("abc")}), seconds=3)

    assert sorted({finding.fault.code for finding in findings}) == ["part-hangs", "secret-key-unusable"]
    (hanging,) = [finding for finding in findings if finding.fault.code == "part-hangs"]
    assert hanging.fact.sentence.startswith("postgresql did not answer within 3 s")


def test_kafka_without_an_answer_is_found(settings: Settings, silent_server: int) -> None:
    kafka = Kafka(bootstrap_servers=f"127.0.0.1:{silent_server}")

    assert codes(settings.model_copy(update={"kafka": kafka})) == ["no-kafka"]


def test_redis_that_drops_random_keys_is_found(settings: Settings, data_dir: Path) -> None:
    import redis

    server = valkey.start(data_dir)
    try:
        with redis.Redis.from_url(server.url) as client:
            client.config_set("maxmemory-policy", "allkeys-random")
        found = codes(settings.model_copy(update={"redis_url": SecretStr(server.url)}))
    finally:
        server.stop()

    assert found == ["redis-evicts"]


def test_full_disk_is_named_with_path_and_size(tmp_path: Path) -> None:
    """The limit is raised above the disk's free share instead of filling the disk."""
    findings = examine(Settings(data_dir=tmp_path, http=Http(port=1), health=Health(disk=1.0)))

    assert [finding.fault.code for finding in findings] == ["disk-full", "nothing-runs"]
    assert re.search(rf"{tmp_path} has [\d.,]+ .B of [\d.,]+ .B \([\d.]+%\) left", findings[0].fact.sentence)


def test_stopped_worker_is_found_at_once(healthy: Healthy) -> None:
    """Its last heartbeat is recent: the process table of this machine shows it."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "dcmon"]) as worker:
        healthy.execute(f"update workers set host = '{HOSTNAME}', pid = {worker.pid} where kind = 'notify'")
        assert healthy.codes() == []
        worker.send_signal(signal.SIGSTOP)
        assert eventually(lambda: process.is_stopped(worker.pid))

        (finding,) = healthy.findings()

        assert finding.fault.code == "process-stopped"
        assert finding.fact.command == f"kill -CONT {worker.pid}"
        subprocess.run(finding.fact.command.split(), check=True)
        assert healthy.codes() == []
        worker.kill()


def test_killed_worker_is_missed_at_once(healthy: Healthy) -> None:
    """Its heartbeat is recent, but its number is not in the process table of its machine."""
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    ended.wait()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "dcmon"]) as other:
        healthy.execute(f"update workers set host = '{HOSTNAME}', pid = {other.pid} where kind = 'notify'")
        healthy.execute(f"update workers set host = '{HOSTNAME}', pid = {ended.pid} where kind = 'evaluate'")
        healthy.execute("update workers set seen_at = now() - interval '31 seconds' where kind = 'evaluate'")

        assert healthy.codes() == ["no-worker"]
        other.kill()

"""Started as root, everything but the supervisor runs as an unprivileged user, and the data directory is private."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import psycopg
import pytest

from dcmon import privileges
from tests.conftest import Acme
from tests.helpers.directories import server_directory
from tests.helpers.installed import Dcmon
from tests.helpers.paths import ROOT
from tests.helpers.ports import free_port
from tests.helpers.waiting import eventually

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can step down")


def uids(pid: int) -> list[int]:
    """Return the real, effective, saved and file system user ids of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return [int(number) for number in status.split("Uid:")[1].split("\n")[0].split()]


def children_of(pid: int) -> list[int]:
    """Return a process's descendants."""
    children = [int(number) for task in Path(f"/proc/{pid}/task").iterdir() for number in _children(task)]
    return [*children, *(grandchild for child in children for grandchild in children_of(child))]


def _children(task: Path) -> list[str]:
    try:
        return (task / "children").read_text().split()
    except OSError:
        return []


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


@pytest.fixture(scope="module")
def running() -> Iterator[Dcmon]:
    """Yield dcmon with an organization, started under a umask that hides nothing. Its tests only look at it."""
    with server_directory() as path:
        dcmon = Dcmon(path, free_port())
        before = os.umask(0)
        try:
            done = dcmon("up")
        finally:
            os.umask(before)
        assert done.returncode == 0, done.stderr
        assert dcmon("org", "create", "acme").returncode == 0
        yield dcmon
        dcmon("down")


@pytest.fixture
def supervisor(running: Dcmon) -> int:
    return int(json.loads((running.data_dir / "supervisor.json").read_text())["pid"])


@needs_root
def test_every_process_but_the_supervisor_is_unprivileged(supervisor: int) -> None:
    user = privileges.account(None)
    assert user is not None
    assert set(uids(supervisor)) == {0}
    found = {pid: command_line(pid) for pid in children_of(supervisor)}
    for part in ("postgres", "valkey-server", "serve", "evaluate", "notify", "scheduler"):
        assert any(part in line for line in found.values()), part
    for pid, line in found.items():
        assert set(uids(pid)) == {user.uid}, line
        status = Path(f"/proc/{pid}/status").read_text()
        assert "CapEff:\t0000000000000000" in status, line
        groups = status.split("Groups:")[1].split("\n")[0].split()
        assert set(map(int, groups)) <= {user.gid, *user.groups}, line


def test_files_are_private_under_any_umask(running: Dcmon) -> None:
    """Nothing in the data directory can be read by others; programs that everybody may have are no secret."""
    data_dir = running.data_dir
    allowed = 0o710 if os.geteuid() == 0 else 0o700
    assert data_dir.stat().st_mode & 0o777 == allowed
    for path in data_dir.rglob("*"):
        if "binaries" not in path.relative_to(data_dir).parts and not path.is_symlink():
            assert path.stat().st_mode & 0o077 == 0, path


def test_no_password_is_in_arguments(running: Dcmon, supervisor: int) -> None:
    secrets = [json.loads((running.data_dir / name).read_text())["url"] for name in ("postgres.json", "valkey.json")]
    passwords = [url.split("@")[0].rsplit(":", 1)[1] for url in secrets]
    for pid in (supervisor, *children_of(supervisor)):
        line, environment = command_line(pid), Path(f"/proc/{pid}/environ")
        assert not any(password in line for password in passwords)
        assert environment.stat().st_mode & 0o077 == 0


@needs_root
def test_receiver_command_runs_unprivileged(running: Dcmon) -> None:
    """The worker and `receiver test` run a command as the same unprivileged user."""
    user = privileges.account(None)
    assert user is not None
    with server_directory() as place:
        program, output = place / "receiver", place / "output"
        program.write_text(f"#!/bin/sh\nid -u >> {output}\ncat /etc/shadow >> {output} 2>/dev/null\nexit 0\n")
        program.chmod(0o755)
        output.touch()
        output.chmod(0o666)
        added = running("receiver", "create", "page", "--kind", "command", "--", str(program))
        assert added.returncode == 0, added.stderr
        for here in ([], ["--here"]):
            tested = running("receiver", "test", "page", *here)
            assert tested.returncode == 0, tested.stderr
        assert output.read_text().split() == [str(user.uid)] * 2


@needs_root
def test_second_worker_of_root_runs_unprivileged(running: Dcmon) -> None:
    """What only root can read in the data directory, the key and the URLs, is read before it steps down."""
    user = privileges.account(None)
    assert user is not None
    worker = running.start("worker", "start", "notify")
    try:
        assert eventually(lambda: worker.pid in [row["pid"] for row in running.json("status")["workers"]], every=1)
        assert set(uids(worker.pid)) == {user.uid}
    finally:
        worker.terminate()
        said = worker.communicate(timeout=300)[1]
    assert worker.returncode == 0, said


SECRET = "canary-of-own-checks"
OWN_CHECKS = ROOT / "tests" / "helpers" / "own_checks"
ROWS = "".join(f"r{number},2026-03-01T00:{number % 60:02}:00Z,1,{number}\n" for number in range(120))


@pytest.fixture
def own_checks() -> Iterator[dict[str, str]]:
    """Install a package of checks that everybody can read; yield settings with it, and with secrets."""
    with server_directory() as place:
        offline = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--target", str(place / "own")]
        subprocess.run([sys.executable, "-m", "pip", "install", *offline, str(OWN_CHECKS)], check=True)
        yield {"PYTHONPATH": str(place / "own"), "DCMON_SMTP__PASSWORD": SECRET, "PGPASSWORD": SECRET}


def surroundings_of_checks(dcmon: Dcmon, rows: Path) -> None:
    """Create a model with a monitor on one day, whose check looks for the secret in its surroundings."""
    rows.write_text("_dc_sample_id,_dc_time,_dc_prediction,age\n" + ROWS)
    dcmon.json("model", "create", "credit", "--task", "binary", "--version", "v1", "--feature", "age:numeric",
               "--class", "0", "--class", "1", "--defaults", "none")  # fmt: skip
    dcmon.json("ingest", "file", str(rows), "--model", "credit")
    dcmon.json("monitor", "create", "Who", "--model", "credit", "--check", "surroundings", "--param", f"text={SECRET}")


@needs_root
def test_own_check_in_a_worker_runs_unprivileged(dcmon: Dcmon, own_checks: dict[str, str], tmp_path: Path) -> None:
    running = replace(dcmon, settings={**own_checks, "DCMON_EVALUATE__LAST_WINDOW_QUIET": "0"})
    assert running("up").returncode == 0
    running.json("org", "create", "acme", "--owner", "ann@acme.example")
    surroundings_of_checks(running, tmp_path / "rows.csv")

    def history() -> list[dict[str, object]]:
        rows: list[dict[str, object]] = running.json("monitor", "history", "Who")
        return rows

    assert eventually(lambda: history() != [], every=1)
    assert_unprivileged(history())


@needs_root
@pytest.mark.thorough  # its sibling is above: the command evaluates as the worker does
def test_own_check_in_a_command_of_root_runs_unprivileged(
    with_url: Callable[[str], Dcmon], database_url: str, acme: Acme, own_checks: dict[str, str], tmp_path: Path
) -> None:
    """No worker runs: the command itself evaluates."""
    dcmon = with_url(database_url)
    dcmon.settings.update(own_checks)
    surroundings_of_checks(dcmon, tmp_path / "rows.csv")
    assert_unprivileged(dcmon.json("monitor", "run", "Who", "--at", "2026-03-02"))
    assert dcmon.json("check", "show", "surroundings")["parameters"] == {"text": "canary"}


def assert_unprivileged(results: list[dict[str, object]]) -> None:
    user = privileges.account(None)
    assert user is not None
    assert [row["metrics"] for row in results] == [{"User": user.uid, "Own": 0, "All": 0, "Named": 0}]


@pytest.fixture
def closed_directory() -> Iterator[Path]:
    """Yield a directory that only root can enter."""
    with server_directory() as path:
        (path / "closed").mkdir(mode=0o700)
        yield path / "closed"


@needs_root
def test_python_below_a_closed_directory_is_readable(closed_directory: Path) -> None:
    """As where Python is below /root: the process alone sees it, and nothing else of the directory."""
    package = closed_directory / "packages"
    shutil.copytree(Path(privileges.__file__).parent, package / "dcmon", ignore=shutil.ignore_patterns("__pycache__"))
    (closed_directory / "secret").write_text("secret")
    code = (
        "import sys, os; from pathlib import Path\n"
        f"sys.path.insert(0, {str(package)!r})\n"
        "from dcmon import privileges; user = privileges.step_down(None); import json\n"
        f"import dcmon.windows; print(json.dumps([os.getuid(), user.uid, dcmon.windows.__file__,"
        f" os.path.exists({str(closed_directory / 'secret')!r}), sorted(os.listdir({str(closed_directory)!r}))]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    uid, expected, file, has_secret, listed = json.loads(done.stdout)
    assert (uid, has_secret, listed) == (expected, False, ["packages"])
    assert file.startswith(str(package))


@needs_root
def test_serve_binds_a_low_port_and_steps_down(database_url: str, data_dir: Path) -> None:
    """The port is bound by root, and requests are answered by the unprivileged user."""
    port = next(port for port in range(611, 700) if _is_free(port))
    dcmon = Dcmon(data_dir, port, {"DCMON_DATABASE_URL": database_url})
    process = dcmon.start("serve")
    try:

        def answers() -> bool:
            try:
                with urlopen(f"{dcmon.url}/api/v1/health-check", timeout=5) as response:
                    return bool(response.status == 200)
            except OSError:
                return False

        assert eventually(answers)
        user = privileges.account(None)
        assert user is not None
        assert set(uids(process.pid)) == {user.uid}
    finally:
        process.terminate()
        process.communicate(timeout=300)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@needs_root
def test_run_as_names_an_unknown_user(data_dir: Path) -> None:
    dcmon = Dcmon(data_dir, free_port(), {"DCMON_RUN_AS": "no-such-user"})
    done = dcmon("up")
    assert done.returncode == 2
    assert "no-such-user" in done.stderr


@needs_root
def test_run_as_root_stays_root_but_for_postgresql(data_dir: Path) -> None:
    dcmon = Dcmon(data_dir, free_port(), {"DCMON_RUN_AS": "root"})
    try:
        assert dcmon("up").returncode == 0
        pid = int(json.loads((data_dir / "supervisor.json").read_text())["pid"])
        kinds = {"postgres" in command_line(child): set(uids(child)) for child in children_of(pid)}
        assert kinds[False] == {0}
        assert 0 not in kinds[True]
        with psycopg.connect(json.loads((data_dir / "postgres.json").read_text())["url"]) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
    finally:
        dcmon("down")

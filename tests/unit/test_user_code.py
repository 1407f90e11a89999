"""What code of users gets of dcmon's environment, and what it can read of dcmon's processes."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from dcmon import user_code

PROGRAM = """
import ctypes, os
from dcmon import user_code
user_code.hide_own_environment()
is_dumpable = ctypes.CDLL(None).prctl(3, 0)
child = os.fork()
if not child:
    os._exit(ctypes.CDLL(None).prctl(3, 0))
print(is_dumpable, os.waitpid(child, 0)[1], os.stat(f"/proc/{os.getpid()}/environ").st_uid)
"""


@pytest.fixture(autouse=True)
def _defaults_afterwards() -> Iterator[None]:
    yield
    user_code.use(None, [])


def test_environment_has_what_programs_need_and_named_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DCMON_SMTP__PASSWORD", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY", "LC_ALL", "MODEL_DIR"):
        monkeypatch.setenv(name, "x")
    assert {"PATH", "LC_ALL"} <= set(user_code.environment())
    assert not {"DCMON_SMTP__PASSWORD", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY", "MODEL_DIR"} & set(
        user_code.environment()
    )
    user_code.use("nobody", ["MODEL_DIR"])
    assert user_code.environment()["MODEL_DIR"] == "x"
    assert user_code.arguments() == ["nobody"]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has prctl and /proc")
def test_process_and_its_forks_are_closed_to_others() -> None:
    """The kernel gives /proc/PID/environ to root, and refuses to attach to the process."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "0", "0"]

"""A command on the worker's machine: no shell; the message as JSON on its standard input, the main facts as variables.

It runs in a process group of its own, with an environment that holds none of the worker's secrets, and is killed with
all it started when the time is over. Exit code 0 means delivered.
"""

import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dcmon.errors import InvalidInput
from dcmon.notifications.http_delivery import Attempt
from dcmon.notifications.integrations import message_text
from dcmon.notifications.integrations.base import DeliverySettings, DeliveryTarget, Given, Message, StoredAddress
from dcmon.notifications.integrations.webhook import encode
from dcmon.settings import Webhooks

IS_PER_ALERT, IS_LOCAL, IS_SIGNED = False, True, False
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
KEPT, READ_AT_ONCE = 4096, 65536  # bytes of the output


def accept(given: Given, settings: Webhooks) -> StoredAddress:
    """A program and its arguments. It must be there: on this machine, as on those that notify."""
    if not given.targets:
        raise InvalidInput("Say a command: dcmon webhook add page --kind command -- /usr/local/bin/page --loud")
    if any("\0" in each for each in given.targets):
        raise InvalidInput("A command can't have a NUL character.")
    if shutil.which(given.targets[0], path=PATH) is None:
        raise InvalidInput(f"{given.targets[0]!r} is no program here: say where it is, /usr/local/bin/page.")
    return StoredAddress("", {"argv": list(given.targets)})


def shown(url: str, options: Mapping[str, Any]) -> str:
    """The program; its arguments may hold a secret."""
    argv: Sequence[str] = options["argv"]
    return argv[0] if len(argv) == 1 else f"{argv[0]} …"


def send(to: DeliveryTarget, message: Message, ways: DeliverySettings) -> Attempt:
    """Run it, within the time that settings give."""
    seconds = ways.webhooks.timeout.total_seconds()
    with tempfile.TemporaryFile() as given:  # not a pipe: one that is not read would hold us up
        given.write(encode(message.body))
        given.seek(0)
        try:
            process = subprocess.Popen(
                list(to.options["argv"]), stdin=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                env=variables(message), cwd="/", start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            return Attempt(None, f"The command can't be started: {error.strerror}.")
    try:
        said = _watch(process, seconds)
    finally:
        _kill(process)
    if said is None:
        _kill_detached(message.id)
        return Attempt(None, f"The command did not end within {seconds:g} s and was killed.")
    code = process.returncode
    if code == 0:
        return Attempt(None, None, is_taken=True)
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    line = " ".join("".join(each if each.isprintable() else " " for each in said.decode("utf-8", "replace")).split())
    return Attempt(None, f"The command {how}{f': {line[:200]}' if line else '.'}")


def _watch(process: subprocess.Popen[bytes], seconds: float) -> bytes | None:
    """The beginning of what it says, once it ended; None when it did not in time. The rest is read and dropped."""
    assert process.stdout is not None
    said, ends, is_open = b"", time.monotonic() + seconds, True
    with selectors.DefaultSelector() as selector, process.stdout as output:
        selector.register(output, selectors.EVENT_READ)
        while process.poll() is None:
            if (left := ends - time.monotonic()) <= 0:
                return None
            if not is_open:
                time.sleep(min(left, 0.01))
            elif selector.select(min(left, 0.05)):
                chunk = os.read(output.fileno(), READ_AT_ONCE)
                said, is_open = (said + chunk)[:KEPT], bool(chunk)
        while is_open and len(said) < KEPT and selector.select(0):
            chunk = os.read(output.fileno(), READ_AT_ONCE)
            said, is_open = (said + chunk)[:KEPT], bool(chunk)
    return said


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End whatever is left of its process group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _kill_detached(message_id: str) -> None:
    """End what left the process group of a command that did not end: known by its environment, where /proc is."""
    mark = f"DCMON_MESSAGE_ID={message_id}".encode()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # another user's, or gone meanwhile
            if mark in environment.read_bytes().split(b"\0"):
                os.kill(int(environment.parent.name), signal.SIGKILL)


def variables(message: Message) -> dict[str, str]:
    """The environment: where programs are, and the first alert of the message."""
    found = {
        "PATH": PATH,
        "LANG": "C.UTF-8",
        "HOME": str(Path.home()),
        "DCMON_MESSAGE_ID": message.id,
        "DCMON_TYPE": str(message.body["type"]),
        "DCMON_ORG": str(message.body["organization"]),
        "DCMON_SUBJECT": message_text.subject(message.body),
    }
    about = message_text.notifications(message.body)
    if about:
        alert = about[0]["alert"]
        for name in ("id", "model", "version", "monitor", "severity", "state", "value", "rule"):
            found[f"DCMON_ALERT_{name.upper()}"] = message_text.text(alert.get(name))
        found["DCMON_ALERT_LINK"] = str(about[0].get("link") or "")
    return {name: value.replace("\0", "") for name, value in found.items()}

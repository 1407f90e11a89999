"""A command on the notify worker's machine: it reads the message on its standard input.

It runs without a shell, in its own process group. Its environment has the main values of the message, and none of the
worker's secrets. After the timeout it is killed with all processes that it started. Exit code 0 means delivered.
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

from dcmon import user_code
from dcmon.errors import InvalidInput
from dcmon.notifications.attempt import Attempt
from dcmon.notifications.integrations import message_text
from dcmon.notifications.integrations.base import Address, DeliverySettings, DeliveryTarget, Message, StoredAddress
from dcmon.notifications.integrations.webhook import encode
from dcmon.settings import Webhooks

IS_PER_ALERT, IS_LOCAL, IS_SIGNED = False, True, False
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OUTPUT_SIZE, CHUNK_SIZE = 4096, 65536  # bytes of the output that are kept, and that are read at once
SHOWN_OUTPUT = 200  # characters of the output in an error


def validate(address: Address, settings: Webhooks) -> StoredAddress:
    """Accept a program and its arguments. The program must be on this machine and on those of the notify workers."""
    if not address.targets:
        raise InvalidInput("Give a command: dcmon receiver create page --kind command -- /usr/local/bin/page --loud")
    if any("\0" in argument for argument in address.targets):
        raise InvalidInput("A command can't have a NUL character.")
    program = address.targets[0]
    if shutil.which(program, path=PATH) is None:
        raise InvalidInput(f"There is no program {program!r} on this machine. Give its path, like /usr/local/bin/page.")
    return StoredAddress("", {"argv": list(address.targets)})


def display_address(url: str, options: Mapping[str, Any]) -> str:
    """Return the program; its arguments may hold a secret."""
    argv: Sequence[str] = options["argv"]
    return argv[0] if len(argv) == 1 else f"{argv[0]} …"


def send(target: DeliveryTarget, message: Message, settings: DeliverySettings) -> Attempt:
    """Run the command and wait for its end, at most until the timeout."""
    seconds, user = settings.webhooks.timeout.total_seconds(), settings.user
    user_code.hide_own_environment()  # the command may run as the same user
    with tempfile.TemporaryFile() as stdin:  # Not a pipe: a command that does not read it would block the worker.
        stdin.write(encode(message.body))
        stdin.seek(0)
        try:
            process = subprocess.Popen(
                list(target.options["argv"]), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                env=environment(message) if user is None else environment(message) | {"HOME": user.home}, cwd="/",
                start_new_session=True, **({} if user is None else user.credentials),
            )  # fmt: skip
        except OSError as error:
            return Attempt(None, f"The command can't be started: {error.strerror}.")
    try:
        output = _wait_for_output(process, seconds)
    finally:
        _kill(process)
    if output is None:
        _kill_detached(message.id)
        return Attempt(None, f"The command did not end within {seconds:g} s and was killed.")
    code = process.returncode
    if code == 0:
        return Attempt(None, None, is_accepted=True)
    end = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    line = message_text.one_line(output.decode("utf-8", "replace"))[:SHOWN_OUTPUT]
    return Attempt(None, f"The command {end}{f': {line}' if line else '.'}")


def _wait_for_output(process: subprocess.Popen[bytes], seconds: float) -> bytes | None:
    """Wait for the end of the process, and return the beginning of its output.

    None: the process did not end in time. All output is read, so that a full pipe does not block the process; what is
    longer than OUTPUT_SIZE is dropped.
    """
    assert process.stdout is not None
    output, deadline, is_open = b"", time.monotonic() + seconds, True
    with selectors.DefaultSelector() as selector, process.stdout as pipe:
        selector.register(pipe, selectors.EVENT_READ)
        while process.poll() is None:
            if (remaining := deadline - time.monotonic()) <= 0:
                return None
            if not is_open:
                time.sleep(min(remaining, 0.01))
            elif selector.select(min(remaining, 0.05)):
                chunk = os.read(pipe.fileno(), CHUNK_SIZE)
                output, is_open = (output + chunk)[:OUTPUT_SIZE], bool(chunk)
        while is_open and len(output) < OUTPUT_SIZE and selector.select(0):
            chunk = os.read(pipe.fileno(), CHUNK_SIZE)
            output, is_open = (output + chunk)[:OUTPUT_SIZE], bool(chunk)
    return output


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the processes that remain in the command's process group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _kill_detached(message_id: str) -> None:
    """Kill processes that left the command's process group; their environment in /proc shows which."""
    mark = f"DCMON_MESSAGE_ID={message_id}".encode()
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # The process belongs to another user, or has ended.
            if mark in environ.read_bytes().split(b"\0"):
                os.kill(int(environ.parent.name), signal.SIGKILL)


def environment(message: Message) -> dict[str, str]:
    """Return the command's environment: where programs are, and the first alert of the message."""
    variables = {
        "PATH": PATH,
        "LANG": "C.UTF-8",
        "HOME": str(Path.home()),
        "DCMON_MESSAGE_ID": message.id,
        "DCMON_TYPE": str(message.body["type"]),
        "DCMON_ORG": str(message.body["organization"]),
        "DCMON_SUBJECT": message_text.subject(message.body),
    }
    notifications = message_text.notifications(message.body)
    if notifications:
        alert = notifications[0]["alert"]
        for name in ("id", "model", "version", "monitor", "severity", "state", "value", "rule"):
            variables[f"DCMON_ALERT_{name.upper()}"] = message_text.text(alert.get(name))
        variables["DCMON_ALERT_LINK"] = str(notifications[0].get("link") or "")
    return {name: value.replace("\0", "") for name, value in variables.items()}

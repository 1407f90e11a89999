"""An S3 server for the tests: rclone, installed from a wheel.

It checks signatures, returns listings in pages and stores objects as files.
"""

import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

from botocore.config import Config
from botocore.session import Session

from dcmon.embedded import process
from dcmon.settings import S3
from tests.helpers.ports import free_port

KEY, SECRET = "dcmon-test", "a-secret-of-the-tests"


@dataclass
class Server:
    """An S3 server on this machine that can be stopped and started again."""

    port: int
    folder: Path
    running: Any = field(default=None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def settings(self) -> S3:
        return S3(endpoint_url=self.url, region="us-east-1")

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that a process needs to use this server."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "DCMON_S3__ENDPOINT_URL": self.url,
            "DCMON_S3__REGION": "us-east-1",
        }

    @cached_property
    def client(self) -> Any:
        return Session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self.url,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            config=Config(s3={"addressing_style": "path"}),
        )

    def put(self, bucket: str, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=bucket, Key=key, Body=body)

    def place(self, bucket: str, key: str, body: bytes) -> None:
        """Write an object to the server's disk, for many objects in a bucket that nobody has listed yet."""
        file = self.folder / bucket / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)

    def start(self) -> None:
        binary = Path(sys.executable).parent / "rclone"
        self.running = process.start(
            [
                str(binary), "serve", "s3", "--addr", f"127.0.0.1:{self.port}", "--auth-key", f"{KEY},{SECRET}",
                "--config", os.devnull, str(self.folder),
            ],
            output=DEVNULL,
            on_parent_death=signal.SIGKILL,
        )  # fmt: skip
        assert process.wait_until(self._answers, 300)

    def stop(self) -> None:
        process.stop(self.running, signal.SIGTERM, 10)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def server() -> Iterator[Server]:
    """Run a server without buckets."""
    new_server = Server(free_port(), Path(tempfile.mkdtemp(prefix="dcmon-s3-")))
    new_server.start()
    try:
        yield new_server
    finally:
        new_server.stop()
        shutil.rmtree(new_server.folder, ignore_errors=True)

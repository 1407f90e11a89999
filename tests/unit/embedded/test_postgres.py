"""What the start of PostgreSQL says when it fails."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest

from dcmon import errors
from dcmon.embedded import postgres
from dcmon.embedded.server import Server

REFUSAL = 'connection to server at "127.0.0.1" failed: FATAL:  could not write init file: No space left on device'


def test_full_disk_ends_the_wait_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL runs and refuses each connection: the start waited five minutes, and did not say why it failed."""

    def refuse(*_: Any, **__: Any) -> None:
        raise psycopg.OperationalError(REFUSAL)

    monkeypatch.setattr(psycopg, "connect", refuse)
    running = SimpleNamespace(
        url="", process=SimpleNamespace(poll=lambda: None), log=tmp_path / "logs" / "postgres.log"
    )
    with pytest.raises(errors.DiskFull, match=str(tmp_path)):
        postgres._wait_until_ready(cast(Server, running))

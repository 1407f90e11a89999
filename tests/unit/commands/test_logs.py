"""The logs of a data directory: one line of time, filters, older files, and following."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.app import App
from dcmon.commands.operations import logs
from dcmon.commands.operations.logs import LogFilter, Logs
from dcmon.commands.views import logs as view
from dcmon.data_formats import Format
from dcmon.embedded import log_files
from dcmon.errors import InvalidInput, NotFound
from dcmon.output import Output
from dcmon.settings import Settings
from dcmon.states import LogLevel
from tests.helpers.examples import examples

BEGIN = datetime(2026, 3, 10, tzinfo=UTC)


def line(second: int, message: str = "", level: str = "info", **fields: object) -> str:
    time = (BEGIN + timedelta(seconds=second)).isoformat()
    return json.dumps({"time": time, "level": level, "message": message or str(second), **fields}) + "\n"


def write(data_dir: Path, name: str, *lines: str) -> Path:
    path = data_dir / "logs" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(lines))
    return path


def messages(data_dir: Path, *parts: str, **chosen: object) -> list[str]:
    with ExitStack() as stack:
        read = logs.read(data_dir, parts, LogFilter(**chosen), stack)  # type: ignore[arg-type]
        return [entry.message for entry in read.entries]


def test_lines_of_all_parts_are_in_the_order_of_time(tmp_path: Path) -> None:
    write(tmp_path, "serve.log.1", line(1), line(2))
    write(tmp_path, "serve.log", line(5), line(8))
    write(tmp_path, "postgres.log", "2026-03-10 00:00:03.000 UTC [1] LOG:  3\n", "\tmore\n")
    write(tmp_path, "notify.log", line(4), line(9))
    assert messages(tmp_path) == ["1", "2", "3\n\tmore", "4", "5", "8", "9"]
    assert messages(tmp_path, since=BEGIN) == messages(tmp_path)
    assert messages(tmp_path, "serve", "notify", limit=3) == ["5", "8", "9"]


def test_options_choose_lines(tmp_path: Path) -> None:
    write(
        tmp_path, "serve.log", line(1, "GET /a", organization="acme"), line(2, "of acme-2"),
        line(3, "of acme:", "error"), line(4, "last", "critical", exception="Kaboom"),
    )  # fmt: skip
    assert messages(tmp_path, since=BEGIN + timedelta(seconds=2), until=BEGIN + timedelta(seconds=3)) == [
        "of acme-2", "of acme:",
    ]  # fmt: skip
    assert messages(tmp_path, level=LogLevel.ERROR) == ["of acme:", "last"]
    assert messages(tmp_path, org="acme") == ["GET /a", "of acme:"]
    assert messages(tmp_path, pattern=logs.parse_pattern("kaBOOM|get")) == ["GET /a", "last"]
    with pytest.raises(InvalidInput, match="regular expression"):
        logs.parse_pattern("(")


def test_cut_lines_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "serve.log", *map(line, range(5)))
    app = App(Settings(data_dir=tmp_path), Output(Format.jsonl))
    app.output.stream(view.batches(app, [], LogFilter(limit=2), is_followed=False), view.lines, endless=False)
    shown = capsys.readouterr()
    assert [json.loads(text)["message"] for text in shown.out.splitlines()] == ["3", "4"]
    assert "left out by --limit 2" in shown.err


def test_missing_logs_are_explained(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="journalctl"):
        messages(tmp_path)
    write(tmp_path, "serve.log", line(1))
    with pytest.raises(NotFound, match="no log of ingest"):
        messages(tmp_path, "ingest")


@settings(max_examples=examples(30))
@given(
    st.lists(
        st.sampled_from(["json", "plain", "  indented", "", "wide" * 9, "2026-03-10 00:00:01.0 UTC [1] LOG:  pg"])
    ),
    st.integers(1, 80),
    st.integers(0, 40),
)
def test_reading_from_the_end_finds_the_same(kinds: list[str], block: int, cut: int) -> None:
    """Blocks of any size, and files cut anywhere, give the same lines in both directions."""
    text = "".join(line(number) if kind == "json" else f"{kind}\n" for number, kind in enumerate(["json", *kinds]))
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_files, "BLOCK_BYTES", block)
        end = text.find("\n", min(len(text) - 1, cut * 20)) + 1 or len(text)
        write(Path(name), "serve.log.1", text[:end])
        write(Path(name), "serve.log", text[end:])
        assert messages(Path(name), limit=1000) == messages(Path(name), since=datetime.min.replace(tzinfo=UTC))


class Followed:
    """Follows a directory; each `step` lets the logs be read once."""

    def __init__(self, data_dir: Path, *parts: str) -> None:
        self.batches: Iterator[Logs] = logs.follow(data_dir, parts, LogFilter(), lambda: None)

    def step(self, action: Callable[[], object] = lambda: None) -> list[str]:
        action()
        return [entry.message for batch in islice(self.batches, 1) for entry in batch.entries]


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_followed_log_survives_rotation_and_truncation(tmp_path: Path) -> None:
    path = write(tmp_path, "serve.log", line(1), line(2)[:20])
    followed = Followed(tmp_path)
    assert followed.step() == ["1"]
    assert followed.step() == []
    append(path, line(2)[20:] + line(3))
    assert followed.step() == ["2", "3"]
    append(path, line(4))
    path.rename(path.with_name("serve.log.1"))
    write(tmp_path, "serve.log", line(5))
    assert followed.step() == ["4", "5"]
    path.write_text("")
    assert followed.step() == []
    append(path, line(7))
    write(tmp_path, "valkey.log", line(8))
    assert followed.step() == ["7", "8"]


def test_endless_lines_need_a_format_of_lines(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="jsonl"):
        Output(Format.json).stream([], view.lines, endless=True)

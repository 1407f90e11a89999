"""Lines of dcmon, PostgreSQL, Valkey and Python become entries with a time, a level and a message."""

import json
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.embedded import log_entries
from dcmon.embedded.log_entries import LogEntry
from dcmon.states import LogLevel
from tests.helpers.examples import examples

FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def parsed(text: str) -> list[LogEntry]:
    return list(log_entries.entries("serve", text.split("\n"), FIRST))


def test_json_line_keeps_its_fields() -> None:
    document = {"time": "2026-03-10T14:30:00.5+01:00", "level": "warning", "message": "slow", "ms": 7, "part": "x"}
    (entry,) = parsed(json.dumps(document))
    assert entry.row() == {
        "time": datetime(2026, 3, 10, 13, 30, 0, 500_000, tzinfo=UTC), "part": "serve", "level": LogLevel.WARNING,
        "message": "slow", "ms": 7,
    }  # fmt: skip


def test_details_of_postgres_belong_to_their_message() -> None:
    entries = parsed(
        "2026-11-30 05:40:31.046 UTC [12024] ERROR:  duplicate key value\n"
        "2026-11-30 05:40:31.046 UTC [12024] DETAIL:  Key (id)=(1) exists.\n"
        "\tof two lines\n"
        "2026-11-30 05:40:32.000 UTC [7] FATAL:  terminating connection\n"
        "2026-11-30 05:40:33.000 UTC [1] LOG:  ready\n"
    )
    assert [(entry.level, entry.message) for entry in entries] == [
        (LogLevel.ERROR, "duplicate key value\nDETAIL: Key (id)=(1) exists.\n\tof two lines"),
        (LogLevel.ERROR, "terminating connection"),
        (LogLevel.INFO, "ready"),
    ]
    assert entries[0].time == datetime(2026, 11, 30, 5, 40, 31, 46_000, tzinfo=UTC)


def test_line_of_valkey_has_its_level_and_local_time() -> None:
    (entry,) = parsed("12037:M 30 Nov 2026 05:40:31.137 # WARNING Memory overcommit must be enabled!")
    assert (entry.level, entry.fields) == (LogLevel.WARNING, {"pid": 12037})
    assert entry.time == datetime(2026, 11, 30, 5, 40, 31, 137_000).astimezone()


def test_plain_lines_have_the_time_of_the_line_before() -> None:
    entries = parsed(
        "worker started\n"
        '{"time": "2026-03-10T00:00:00Z", "level": "info", "message": "a"}\n'
        "Traceback (most recent call last):\n"
        '  File "x.py", line 1, in <module>\n'
        "ValueError: wrong\n"
        '{"time": "2026-03-10T00:00:0'
    )
    assert [(entry.time, entry.level, entry.message.partition("\n")[0]) for entry in entries] == [
        (FIRST, LogLevel.INFO, "worker started"),
        (datetime(2026, 3, 10, tzinfo=UTC), LogLevel.INFO, "a"),
        (datetime(2026, 3, 10, tzinfo=UTC), LogLevel.ERROR, "Traceback (most recent call last):"),
        (datetime(2026, 3, 10, tzinfo=UTC), LogLevel.ERROR, "ValueError: wrong"),
        (datetime(2026, 3, 10, tzinfo=UTC), LogLevel.INFO, '{"time": "2026-03-10T00:00:0'),
    ]


@settings(max_examples=examples(100))
@given(st.lists(st.one_of(st.text(), st.builds(json.dumps, st.recursive(st.none() | st.text(), st.lists)))))
def test_any_text_is_parsed_without_an_error(lines: list[str]) -> None:
    for entry in log_entries.entries("serve", lines, FIRST):
        assert entry.time.tzinfo is not None


def test_stamped_line_has_its_own_time() -> None:
    now = datetime(2026, 3, 10, 13, 30, tzinfo=UTC)
    line = log_entries.stamped("dcmon: no database", now)

    (entry,) = parsed(line)

    assert (entry.time, entry.level, entry.message) == (now, LogLevel.ERROR, "dcmon: no database")
    assert log_entries.without_stamp(line) == "dcmon: no database"


def test_lines_with_a_time_or_of_an_entry_are_not_stamped() -> None:
    for line in ("", '{"time": "2026-03-10T13:30:00Z"}', "    at line 7"):
        assert log_entries.stamped(line, FIRST) == line

"""What -v, -vv and -q write to stderr: steps, statements, and errors as one sentence at the end."""

import json
from collections.abc import Callable

import pytest

from dcmon.db import Organization
from tests.helpers.installed import Dcmon

UNREACHABLE = "postgresql://ann:s3cret@127.0.0.1:1/dcmon"


def messages(stderr: str) -> list[str]:
    """Return the messages of lines of a log in JSON."""
    return [json.loads(line)["message"] for line in stderr.splitlines()]


def test_v_says_where_and_vv_each_statement(
    database_url: str, org: Organization, with_url: Callable[[str], Dcmon]
) -> None:
    dcmon = with_url(database_url)
    assert dcmon("model", "list").stderr.strip() == 'No model yet: "dcmon model create NAME --task binary".'
    steps = messages(dcmon("-v", "-o", "json", "model", "list").stderr)
    assert steps[0].startswith("database ")
    assert "(DCMON_DATABASE_URL)" in steps[0]
    assert f"organization {org.name}, schema {org.schema}" in steps
    assert " statements took " in steps[-1]
    statements = messages(dcmon("-vv", "-o", "json", "model", "list").stderr)
    assert int(steps[-1].split()[0]) == len(statements) - len(steps) > 0
    assert any(line.endswith("FROM models ORDER BY models.name") for line in statements)


@pytest.mark.parametrize("options", [(), ("-v",), ("-q", "-v"), ("-q", "-vv"), ("-qvv", "--log-format", "json")])
def test_expected_error_is_the_last_line_without_traceback(
    options: tuple[str, ...], with_url: Callable[[str], Dcmon]
) -> None:
    done = with_url(UNREACHABLE)(*options, "model", "list")
    *logged, last = done.stderr.splitlines()
    assert (done.returncode, "Traceback" in done.stderr, "s3cret" in done.stderr) == (7, False, False)
    assert last.startswith("dcmon: PostgreSQL can't be reached at 127.0.0.1:1/dcmon")
    assert len(logged) == (2 if options == ("-v",) else 0)


def test_vv_shows_where_an_error_came_from_before_it(with_url: Callable[[str], Dcmon]) -> None:
    done = with_url(UNREACHABLE)("-vv", "--log-format", "text", "model", "list")
    lines = done.stderr.splitlines()
    assert "    Traceback (most recent call last):" in lines
    assert lines[0].endswith("INFO database 127.0.0.1:1/dcmon, user ann (DCMON_DATABASE_URL)")
    assert lines[-1].startswith("dcmon: PostgreSQL can't be reached")
    assert "s3cret" not in done.stderr


def test_vv_with_json_writes_an_object_in_each_line(with_url: Callable[[str], Dcmon]) -> None:
    done = with_url(UNREACHABLE)("-vv", "--log-format", "json", "-o", "json", "model", "list")
    *logged, last = map(json.loads, done.stderr.splitlines())
    assert last["error"]["exit_code"] == 7
    assert "Traceback" in logged[-1]["exception"]

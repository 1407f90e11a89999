"""The parts that `dcmon status` lists: each once, with the state that says most."""

from datetime import UTC, datetime
from typing import Any

import pytest

from dcmon.health.problem import Problem, ProblemName
from dcmon.health.status import PartState, with_missing_parts
from dcmon.severity import Severity

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
NO_EVALUATE = Problem(ProblemName.NO_WORKER, Severity.CRITICAL, "None.", "dcmon worker start", NOW, "evaluate")
NO_LEADER = Problem(ProblemName.NO_LEADER, Severity.CRITICAL, "None.", "dcmon worker start", NOW)


def states(parts: list[dict[str, Any]], *problems: Problem) -> list[tuple[str, str]]:
    return [(part["name"], part["state"]) for part in with_missing_parts(parts, problems)]


@pytest.mark.parametrize(
    ("here", "shown"),
    [
        (PartState.STOPPED, PartState.STOPPED),
        (PartState.ENDED, PartState.ENDED),
        ("restarting", "restarting"),
        (PartState.RUNNING, PartState.MISSING),  # it sends no heartbeat
    ],
)
def test_missing_worker_of_this_machine_is_one_part(here: str, shown: str) -> None:
    parts = [{"name": "supervisor", "state": PartState.RUNNING}, {"name": "evaluate", "state": here}]
    assert states(parts, NO_EVALUATE) == [("supervisor", "running"), ("evaluate", shown)]


def test_missing_parts_of_other_machines_are_added() -> None:
    assert states([], NO_LEADER, NO_EVALUATE) == [("evaluate", "is missing"), ("leader", "is missing")]
    assert states([{"name": "evaluate", "state": "running"}]) == [("evaluate", "running")]

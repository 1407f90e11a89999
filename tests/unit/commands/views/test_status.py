"""The status as people read it: alerts by organization, and with --quiet the reason of the exit code."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from dcmon import colors
from dcmon.commands.views import status as view
from dcmon.health.problem import Problem, ProblemName
from dcmon.health.running_settings import SettingsDifference
from dcmon.health.snapshot import HeldNotifications, OrganizationHealth
from dcmon.health.status import PartState, ProcessState, Status, held_notifications
from dcmon.output import Fields, Lines, Table
from dcmon.severity import Severity
from dcmon.states import HeldBy

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
WAITING = {
    "organizations": 1, "organizations_not_read": 0, "organizations_read_at": None,
    "organizations_unknown": 0,
    "windows_due": 0, "oldest_window": None, "notifications_waiting": 0,
    "oldest_notification": None, "notifications_given_up": 0, "unread_messages": None, "oldest_unread": None,
    "parked_messages": 0, "alerts_firing": {}, "alerts_by_organization": {}, "ping": None, "ping_sent": None,
    "failed_logins": 0, "notifications_held": 0, "notifications_held_by": [],
}  # fmt: skip
FULL = Problem(ProblemName.DISK_FULL, Severity.CRITICAL, "The disk has 1 % left.", "dcmon prune", NOW)


def alerts(organizations: int, **firing: dict[str, int]) -> str:
    """Return how the alerts of some organizations are shown."""
    total = {severity: sum(counts.get(severity, 0) for counts in firing.values()) for severity in ("critical", "low")}
    waiting = {
        **WAITING, "organizations": organizations, "alerts_by_organization": firing,
        "alerts_firing": {severity: count for severity, count in total.items() if count},
    }  # fmt: skip
    page = view.report(Status([], [], waiting, [], NOW), quiet=False)
    (fields,) = [part for part in page.parts if isinstance(part, Fields)]
    return str(fields.row["alerts firing"])


def test_alerts_of_the_only_organization_are_counted() -> None:
    assert alerts(1) == "none"
    assert alerts(1, acme={"critical": 1, "low": 2}) == "1 critical, 2 low"


def test_alerts_name_their_organization_the_worst_first() -> None:
    assert alerts(200, beta={"low": 9}, acme={"critical": 1}) == "1 critical, 9 low (acme: 1 critical; beta: 9 low)"


def test_alerts_of_many_organizations_are_cut() -> None:
    many = {f"t{number}": {"low": 1} for number in range(9)}
    assert alerts(200, **many).endswith("t4: 1 low; and 4 more organizations)")


def held(*entries: HeldNotifications, organizations: int = 1) -> tuple[str, list[str]]:
    """Return what is shown of held notifications: the line of the queue, and the last lines."""
    healths = [OrganizationHealth("acme", held_notifications=entries)]
    healths += [OrganizationHealth(f"t{number}") for number in range(organizations - 1)]
    rows = held_notifications(healths)
    waiting = {**WAITING, "organizations": organizations, "notifications_held_by": rows}
    page = view.report(Status([], [], waiting, [], NOW), quiet=False)
    (fields,) = [part for part in page.parts if isinstance(part, Fields)]
    last = [part for part in page.parts if isinstance(part, Lines)][-1]
    return str(fields.row["notifications"]), list(last.lines)


def test_held_notifications_are_counted_by_what_holds_them() -> None:
    silence, pause = HeldNotifications(HeldBy.SILENCE, "3", 4, 0, 0, NOW), HeldNotifications(HeldBy.PAUSE, "w", 2, 0, 0)
    severe = HeldNotifications(HeldBy.ALERT, "", 1, 0, 0)

    assert held() == ("none waits", ["All is well."])
    text, last = held(silence, pause, severe)
    assert text == "none waits; held back: 4 by silence 3, 2 by paused receiver w, 1 by more severe alerts"
    assert last == ["All is well."]
    assert held(silence, organizations=2)[0] == "none waits; held back: 4 by silence 3 of acme"
    assert held(silence, replace(silence, name="4"))[0] == "none waits; held back: 8 by silences"


def test_critical_alert_that_is_held_is_not_all_well() -> None:
    """A silence is a wish: no problem, exit 0. But who looks at the status learns of the alert."""
    silence = HeldNotifications(HeldBy.SILENCE, "3", 4, 2, 0, NOW)
    nights = HeldNotifications(HeldBy.MUTE_TIME, "my nights", 1, 1, 1, NOW)
    assert held(silence, nights)[1] == [
        "1 critical alert of acme fires, and no receiver has got a notification of it:"
        " held back by mute time my nights until 2026-11-26 12:00 UTC.",
        "    dcmon mute show 'my nights' --org acme",
        "2 alerts of acme fire, and no receiver has got a notification of them:"
        " held back by silence 3 until 2026-11-26 12:00 UTC.",
        "    dcmon silence show 3 --org acme",
    ]
    assert "2 alerts of acme fire, 1 of them critical, and" in held(replace(silence, critical_alerts=1))[1][0]
    assert lines(Status([], [], WAITING, [], NOW)) == []


def lines(status: Status) -> list[str]:
    """Return the lines of `dcmon status --quiet`."""
    page = view.report(status, quiet=True)
    return [line for part in page.parts if isinstance(part, Lines) for line in part.lines]


def test_status_names_settings_of_running_processes() -> None:
    """A receiver that the shell may reach, and the worker may not, is a problem without a cure otherwise."""
    sentence = "Settings of … (pid 7): DCMON_URL (only this shell has it)."
    difference = SettingsDifference(sentence, "dcmon down && dcmon up", NOW)
    current = Status([], [], WAITING, [FULL], NOW, difference=difference)

    assert lines(current)[2:] == [f"{view.OTHER_SETTINGS} {difference.sentence}", "    dcmon down && dcmon up"]
    assert view.report(current, quiet=False).data["settings_differ"]["command"] == "dcmon down && dcmon up"

    well = replace(current, problems=[])
    assert (lines(well), well.exit_code) == ([], 0)  # cron has other settings than a shell
    shown = [line for part in view.report(well, quiet=False).parts if isinstance(part, Lines) for line in part.lines]
    assert f"{view.OTHER_SETTINGS} {sentence}" in shown


@pytest.mark.parametrize(
    ("part", "line"),
    [
        (
            {"name": "redis", "state": PartState.DOES_NOT_ANSWER, "detail": "optional"},
            "redis does not answer: optional",
        ),
        ({"name": "notify", "state": PartState.STOPPED, "pid": 17}, "notify is stopped: 17"),
        ({"name": "evaluate", "state": PartState.ENDED, "pid": 18}, "evaluate is ended: 18"),
        ({"name": "ingest", "state": PartState.MISSING}, "ingest is missing: -"),
    ],
)
def test_quiet_status_names_the_part_that_is_down(part: dict[str, Any], line: str) -> None:
    assert lines(Status([part], [], WAITING, [], NOW)) == [line]


def test_organizations_that_were_not_read_are_said() -> None:
    """They are why the exit code is 1: of that, cron sends a mail only if there is a line."""
    waiting = {**WAITING, "organizations": 200, "organizations_not_read": 2, "organizations_unknown": 2}
    unread = Status([], [], waiting, [], NOW, unknown={"problems": "Organizations a and b could not be read."})
    line = 'No problem is known, and 2 organizations were not read yet: "dcmon wait --for health" reads all.'
    difference = SettingsDifference("Settings of … (pid 7): DCMON_URL.", "dcmon down && dcmon up", NOW)

    assert (unread.exit_code, lines(unread)) == (1, [line])
    for current in (unread, replace(unread, difference=difference)):
        page = view.report(current, quiet=False)
        shown = [shown for part in page.parts if isinstance(part, Lines) for shown in part.lines]
        assert line in shown
        assert "All is well." not in shown


def test_states_are_the_same_in_tables_and_in_data() -> None:
    parts = [{"name": "redis", "state": PartState.DOES_NOT_ANSWER}, {"name": "leader", "state": PartState.LEADS}]
    worker = {"kind": "notify", "host": "box", "pid": 1, "since": NOW, "last_heartbeat": NOW, "state": "works"}
    page = view.report(Status(parts, [worker], WAITING, [], NOW), quiet=False)

    tables = [part for part in page.parts if isinstance(part, Table)]

    assert [[row["state"] for row in table.rows] for table in tables] == [["does not answer", "leads"], ["works"]]
    data: Any = page.data
    assert [[row["state"] for row in data[key]] for key in ("parts", "workers")] == [
        ["does not answer", "leads"], ["works"],
    ]  # fmt: skip


@pytest.mark.parametrize("state", [*PartState, *ProcessState])
def test_states_have_a_colour(state: str) -> None:
    assert colors.style_of(state) or state in (PartState.STOPPED, PartState.ENDED)


def test_quiet_status_shows_problems_or_nothing() -> None:
    assert lines(Status([], [], WAITING, [], NOW)) == []
    assert lines(Status([], [], WAITING, [FULL], NOW))[0].startswith("[critical] The disk has 1 % left.")


def test_problems_have_their_code_in_data() -> None:
    data: Any = view.report(Status([], [], WAITING, [FULL], NOW), quiet=False).data
    assert data["problems"][0]["code"] == "disk-full"


def test_many_problems_of_one_name_are_cut() -> None:
    many = [
        Problem(ProblemName.RULES_FAIL, Severity.HIGH, f"Rule {number} fails.", "dcmon rule list", NOW, f"o{number}")
        for number in range(2_000)
    ]
    shown = lines(Status([], [], WAITING, [FULL, *many], NOW))

    assert shown[2:4] == ["[high] Rule 0 fails. Since 2026-11-26 12:00.", "    dcmon rule list"]
    assert shown[12:] == ["    1,995 more like these: dcmon status -o json"]

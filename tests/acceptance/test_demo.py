"""Run the demo on real flights until the report while workers are killed: on spring, and on the whole year."""

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tests.helpers.installed import COMMAND, Dcmon, processes_of, restore_ctrl_c
from tests.helpers.waiting import eventually


@dataclass(frozen=True)
class Flights:
    """The flights that a demo replays from April on, with their complete windows, most alerts and some monitors."""

    last_month: int
    samples: int
    days: int
    weeks: int
    alerts: int
    monitors: set[str]


SPRING = Flights(5, 57_126, 61, 8, 8, {"Drift Beyond Noise", "Fall of Scores"})
YEAR = Flights(12, 255_987, 275, 39, 35, {"Prediction Drift", "Label Drift", "New Category Train-Test"})
DEMO_OF = """
from dcmon.__main__ import main
from dcmon.demo import flights
load = flights.load
flights.load = lambda: load().query("month <= {}")
main()
"""


class Demo:
    """A process of `dcmon demo --exit` on some flights, and its output."""

    def __init__(self, dcmon: Dcmon, flights: Flights) -> None:
        of_some = [str(Path(COMMAND).parent / "python"), "-c", DEMO_OF.format(flights.last_month)]
        command = [COMMAND] if flights == YEAR else of_some
        self.process = subprocess.Popen(
            [*command, "-o", "json", "demo", "--exit"], env=dcmon.environment, cwd="/",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=restore_ctrl_c,
        )  # fmt: skip
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.said.extend(self.process.stderr)

    def says(self, text: str) -> bool:
        return any(text in line for line in list(self.said))

    def result(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        shown = self.process.stdout.read()
        self.process.wait(300)
        self._reader.join()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        assert self.process.returncode == 0, "".join(self.said)
        document: dict[str, Any] = json.loads(shown)
        return document


def go_on_of(data_dir: Path) -> str:
    """Return the day from which a demo would go on, as "2013-04-20"; "" before the first one."""
    file = data_dir / "demo.json"
    return str(json.loads(file.read_text())["go_on"]) if file.exists() else ""


def kill(data_dir: Path, name: str) -> None:
    """Kill the process of a part. It may be starting again."""
    supervisor = psutil.Process(json.loads((data_dir / "supervisor.json").read_text())["pid"])
    found = list[psutil.Process]()

    def is_found() -> bool:
        with suppress(psutil.NoSuchProcess):
            found.extend(child for child in supervisor.children() if child.cmdline()[-1:] == [name])
        return bool(found)

    assert eventually(is_found, every=0.1), name
    found[0].kill()


def assert_alerts_are_worth_reading(alerts: Sequence[Mapping[str, Any]], flights: Flights) -> None:
    """Weekdays and weather open no alert; what happened in 2013 does.

    Air traffic controllers were on furlough from 22 to 26 April, summer is warmer than the reference, and there is no
    weather of 31 December.
    """
    assert len(alerts) <= flights.alerts
    days = {(alert["monitor"].split("/")[1], alert["since"][:10]): alert for alert in alerts}
    assert ("Fall of Scores", "2013-04-22") in days
    assert (("Rise of Nulls", "2013-12-31") in days) == (flights == YEAR)
    warm = [alert for (name, _), alert in days.items() if name == "Drift Beyond Noise"]
    assert any(alert["driver"] in ("temp", "dewp") and "2013-05" in alert["since"] for alert in warm)
    assert not [name for name, _ in days if name in ("Frozen Features", "Volume of Rows", "Quarantined Rows")]


def assert_each_window_has_one_result(data_dir: Path, flights: Flights) -> None:
    counts = (
        "select lower(frequency), count(distinct window_start), count(*), max(results.revision)"
        " from results join monitors on monitors.id = monitor_id group by monitor_id, frequency"
    )
    with psycopg.connect(json.loads((data_dir / "postgres.json").read_text())["url"]) as connection:
        connection.execute("set search_path to org_1")
        for frequency, windows, results, revision in connection.execute(counts):
            assert (windows, results, revision) == (flights.days if frequency == "day" else flights.weeks, windows, 1)


@pytest.mark.parametrize("flights", [SPRING, pytest.param(YEAR, marks=pytest.mark.thorough)], ids=["spring", "year"])
def test_demo_completes_although_workers_are_killed(dcmon: Dcmon, data_dir: Path, flights: Flights) -> None:
    demo = Demo(dcmon, flights)
    for day, victim in (("2013-04-10", "evaluate"), ("2013-04-20", "serve")):
        assert eventually(lambda: go_on_of(data_dir) > day, every=0.1), demo.said  # noqa: B023
        kill(data_dir, victim)
    shown = demo.result()

    assert processes_of(data_dir) == []
    assert len(shown["monitors"]) == 17
    alerts = {alert["monitor"].split("/")[1]: alert for alert in shown["alerts"]}
    assert alerts["Aggregated Feature Drift"]["driver"] in ("temp", "dewp", "wind_gust")
    assert flights.monitors < set(alerts)
    assert_alerts_are_worth_reading(shown["alerts"], flights)
    page = Path(shown["report"]).read_text()
    assert 80_000 < len(page) < 1_000_000
    assert "Aggregated Feature Drift" in page
    assert not re.search(r'<(script|link|img)[^>]+(src|href)="http', page)

    assert dcmon("up").returncode == 0
    model = dcmon.json("model", "show", "flights-late")
    assert (model["versions"][0]["samples"], model["quarantined"]) == (flights.samples, {})
    assert_each_window_has_one_result(data_dir, flights)
    assert len(dcmon.json("monitor", "history", "flights-late/Aggregated Feature Drift")) == flights.weeks
    done = subprocess.run([sys.executable, shown["snippet"]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert dcmon.json("model", "show", "my-model", "--org", "demo")["versions"][0]["samples"] == 1
    assert dcmon("down").returncode == 0

    again = Demo(dcmon, flights)
    assert [alert["id"] for alert in again.result()["alerts"]] == [alert["id"] for alert in shown["alerts"]]
    assert again.says("The year was replayed before")


@pytest.mark.thorough  # test_up.py stops what it starts in the same way
def test_demo_after_ctrl_c_leaves_nothing_and_continues(dcmon: Dcmon, data_dir: Path) -> None:
    """Ctrl-C leaves no process behind, and the next demo continues."""
    demo = Demo(dcmon, SPRING)
    assert eventually(lambda: demo.says("Replaying")), demo.said
    assert eventually(lambda: go_on_of(data_dir) > "2013-04-20")
    demo.process.send_signal(signal.SIGINT)
    demo.process.communicate(timeout=300)

    assert demo.process.returncode == 130
    assert eventually(lambda: processes_of(data_dir) == [], every=0.2)
    assert not any("Traceback" in line for line in demo.said)
    assert go_on_of(data_dir) > "2013-04-20"

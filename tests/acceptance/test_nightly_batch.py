"""A nightly batch that loads a file for each day that is over, and its reference only later."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.helpers.installed import Dcmon
from tests.helpers.waiting import eventually

LOS_ANGELES = ZoneInfo("America/Los_Angeles")
START = datetime(2026, 3, 2, tzinfo=LOS_ANGELES)  # the clocks change on 8 March
NULLS, DRIFT = "credit/Nulls", "credit/Drift"


@pytest.fixture
def batch(dcmon: Dcmon) -> Dcmon:
    """Start dcmon with a model whose monitors have daily windows, in the time zone of Los Angeles."""
    dcmon.settings["DCMON_EVALUATE__LAST_WINDOW_QUIET"] = "1"
    assert dcmon("up").returncode == 0
    dcmon.json("org", "create", "acme", "--owner", "ann@acme.example")
    dcmon.json("model", "create", "credit", "--task", "binary", "--version", "v1", "--feature", "age:numeric",
               "--feature", "job:categorical", "--class", "0", "--class", "1",
               "--time-zone", "America/Los_Angeles")  # fmt: skip
    for name, check in (("Nulls", "PercentOfNulls"), ("Drift", "FeatureDrift")):
        dcmon.json(
            "monitor", "create", name, "--model", "credit", "--check", check, "--feature", "age", "--rule", "> 0.9"
        )
    return dcmon


def file_of(folder: Path, days: Iterable[int]) -> str:
    """Write the rows of days of Los Angeles, one for each 25 minutes from midnight; return the path."""
    lines = [
        f"{day}-{row},{(midnight + timedelta(minutes=25 * row)).isoformat()},{row % 2},{row % 60},j{row % 3}\n"
        for day in days
        for midnight in [(START + timedelta(days=day)).astimezone(UTC)]
        for row in range(48)
    ]
    path = folder / "rows.csv"
    path.write_text("_dc_sample_id,_dc_time,_dc_prediction,age,job\n" + "".join(lines))
    return str(path)


def results(batch: Dcmon, monitor: str) -> list[tuple[str, str, int, int]]:
    history = batch.json("monitor", "history", monitor, "--revisions")
    return [(row["window_end"][:13], row["state"], row["n"], row["revision"]) for row in history]


@pytest.mark.thorough  # its siblings are in tests/integration/monitoring/test_last_windows.py
def test_nightly_batch_sees_each_day_after_its_file(batch: Dcmon, tmp_path: Path) -> None:
    for number in range(2):
        batch.json("ingest", "file", file_of(tmp_path, [number]), "--model", "credit")
        assert eventually(lambda: len(results(batch, NULLS)) == number + 1, every=0.5)  # noqa: B023
    assert results(batch, NULLS) == [("2026-03-03T08", "OK", 48, 1), ("2026-03-04T08", "OK", 48, 1)]
    assert eventually(
        lambda: {row["liveness"] for row in batch.json("monitor", "list")} <= {"loaded", "waits for labels"}
    )

    last = batch.json("monitor", "run", NULLS)
    assert [row["window_end"][:13] for row in last] == ["2026-03-04T08"]
    for at in ("2026-03-04", "2026-03-04T08:00:00"):  # in the window, and at its end
        assert [row["window_end"][:13] for row in batch.json("monitor", "run", NULLS, "--at", at)] == ["2026-03-04T08"]
    span = ["--from", "2026-03-03T08:00:00", "--to", "2026-03-04T08:00:00"]
    assert [row["window_end"][:13] for row in batch.json("monitor", "run", NULLS, *span)] == ["2026-03-04T08"]
    assert batch.json("monitor", "backfill", NULLS, "--from", "2026-03-01")["windows"] == 2

    later = batch("monitor", "run", NULLS, "--at", "2026-03-06T08:00:00")
    assert (later.returncode, later.stdout) == (8, "")
    message = " ".join(later.stderr.split())
    for part in (
        "the window from 2026-03-05 08:00 UTC to 2026-03-06 08:00 UTC", "its newest sample is of 2026-03-04 03:35 UTC",
        "The last complete window ends at 2026-03-04 08:00 UTC (--at 2026-03-04T08:00:00)",
    ):  # fmt: skip
        assert part in message
    nothing = batch("monitor", "run", NULLS, "--from", "2026-03-05")
    assert nothing.returncode == 8
    assert "Complete windows end from 2026-03-03 08:00 UTC to 2026-03-04 08:00 UTC" in " ".join(nothing.stderr.split())


@pytest.mark.thorough  # its siblings are in tests/integration/monitoring/test_late_references.py
def test_reference_that_comes_late_fills_a_month(batch: Dcmon, tmp_path: Path) -> None:
    """Of 33 days the last 30 are in the lookback of a daily monitor."""
    batch.json("ingest", "file", file_of(tmp_path, range(33)), "--model", "credit")
    assert eventually(lambda: len(batch.json("monitor", "history", DRIFT)) == 33, every=0.5)
    assert {row["state"] for row in batch.json("monitor", "history", DRIFT)} == {"NO_DATA"}
    reference = tmp_path / "reference.csv"
    reference.write_text("_dc_prediction,age,job\n" + "".join(f"{n % 2},{n % 60},j{n % 3}\n" for n in range(200)))
    batch.json("reference", "load", str(reference), "--model", "credit", "--version", "v1")
    states = ["NO_DATA"] * 3 + ["OK"] * 30
    assert eventually(lambda: [row["state"] for row in batch.json("monitor", "history", DRIFT)] == states, every=0.5)

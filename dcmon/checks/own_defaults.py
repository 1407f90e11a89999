"""The default checks, monitors and rules of dcmon's own, which a model gets beside those of the SDK.

They judge changes in limits that know the number of rows and of features (checks.change_checks), so that one threshold
fits all models. benchmarks/defaults.py measures what they find, and how often they are wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dcmon.checks.catalogue import DCMON_KINDS
from dcmon.checks.kinds import DATA_FLOW_CLASS, MEAN_DRIFT, CheckKind
from dcmon.severity import Severity
from dcmon.windows import Frequency

MIN_N = 30  # rows of a window that a default rule judges
# ok windows that do not end an alert, so that a value at its limit, or high at the same hours, is one alert.
KEEP_FIRING, HOURS_KEEP_FIRING = 2, 11
# Of drift on days: what features follow, such as seasons and campaigns, goes up and down for weeks.
DRIFT_KEEP_FIRING: Mapping[str, int] = {Frequency.DAY: 6}
# How many windows back a rule looks for what is usual, and for the same hours of earlier weeks: if not days.
USUAL_OVER: Mapping[str, int] = {Frequency.HOUR: 504}
WEEKLY_OVER: Mapping[str, int] = {Frequency.HOUR: 672}
DAYS_OVER = 35
# Up to so many usual steps from day to day, drift is no alert. Without other days than noise makes, that is below 1.
STEPS, MEAN_STEPS = 8, 5
HOURS_FOR_VOLUME = 2  # hours in a row with few rows, or with many: one alone is often noise
MIN_VOLUME = 100  # rows in the same hours of earlier weeks, below which a fall may be noise


@dataclass(frozen=True)
class OwnRule:
    """A default rule of dcmon's own. `condition`: as text. `keep_firing`: None for that of most rules."""

    condition: str
    severity: Severity
    min_n: int = MIN_N
    keep_firing: int | None = None
    for_windows: int = 1


@dataclass(frozen=True)
class OwnMonitor:
    """A default monitor of dcmon's own, with its rules."""

    name: str
    rules: tuple[OwnRule, ...]
    additional_kwargs: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class OwnDefault:
    """A default check of dcmon's own, with its monitors."""

    name: str
    kind: CheckKind
    monitors: tuple[OwnMonitor, ...]


_KINDS = {kind.class_name: kind for kind in DCMON_KINDS}


def usual_over(frequency: str) -> int:
    """Return how many windows back a default rule looks for what is usual."""
    return USUAL_OVER.get(frequency, DAYS_OVER)


def keep_firing(frequency: str) -> int:
    """Return how many ok windows do not end an alert of a default rule."""
    return HOURS_KEEP_FIRING if frequency == Frequency.HOUR else KEEP_FIRING


def for_frequency(frequency: Frequency) -> list[OwnDefault]:
    """Return the default checks of dcmon's own for monitors of this frequency."""
    beyond = f"> 1 unless usual over {usual_over(frequency)}"
    any_feature, any_output = (OwnRule(f"any {entry} {beyond}", Severity.HIGH) for entry in ("feature", "output"))
    drift = OwnRule(f"any feature {beyond} steps {STEPS}", Severity.HIGH, keep_firing=DRIFT_KEEP_FIRING.get(frequency))
    mean_drift = replace(drift, condition=f'metric "{MEAN_DRIFT}" {beyond} steps {MEAN_STEPS}')
    return [
        OwnDefault(
            "Drift Beyond Noise",
            _KINDS["DriftBeyondNoise"],
            (OwnMonitor("Drift Beyond Noise", (drift, mean_drift)),),
        ),
        _default("Rise of Nulls", "NullRise", any_feature),
        _default("Frozen Features", "RepeatedValueRise", any_feature),
        _default("New Values", "NewValueRise", any_feature),
        _default("Prediction Drift Beyond Noise", "PredictionDriftBeyondNoise", any_output),
        _default("Fall of Scores", "ScoreFall", OwnRule(f"any score {beyond}", Severity.CRITICAL)),
        OwnDefault("Data Flow", _KINDS[DATA_FLOW_CLASS], _flow_monitors(frequency)),
    ]


def _default(name: str, class_name: str, rule: OwnRule) -> OwnDefault:
    return OwnDefault(name, _KINDS[class_name], (OwnMonitor(name, (rule,)),))


def _flow_monitors(frequency: Frequency) -> tuple[OwnMonitor, ...]:
    """Return the monitors of the flow of rows.

    A month has no same hours in earlier weeks. A rule on the number of rows must judge windows with few rows: its
    minimum is that of the weeks before.
    """
    quarantined = OwnMonitor(
        "Quarantined Rows", (OwnRule("quarantine share > 0.05", Severity.HIGH),), _chosen("quarantine share")
    )
    if frequency == Frequency.MONTH:
        return (quarantined,)
    over = f" over {WEEKLY_OVER[frequency]}" if frequency in WEEKLY_OVER else ""
    weekly = f"against weekly{over} floor {MIN_VOLUME}"
    for_windows = HOURS_FOR_VOLUME if frequency == Frequency.HOUR else 1
    rules = (
        OwnRule(f"rows drop > 45% {weekly}", Severity.HIGH, min_n=0, for_windows=for_windows),
        OwnRule(f"rows rise > 80% {weekly}", Severity.MEDIUM, min_n=0, for_windows=for_windows),
    )
    return OwnMonitor("Volume of Rows", rules, _chosen("rows")), quarantined


def _chosen(metric: str) -> dict[str, Any]:
    return {"check_conf": {}, "res_conf": [metric]}

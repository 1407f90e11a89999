"""What a rule of a monitor does on windows that are drawn from the reference, in which nothing changes."""

from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import Any

from dcmon import errors
from dcmon.alerting import noise_alerts
from dcmon.alerting.noise_alerts import NoiseAlerts
from dcmon.alerting.state_machine import Policy
from dcmon.monitoring import noise_series
from dcmon.monitoring.noise_source import NoiseSource, load

__all__ = ["NoiseSource", "RuleNoise", "load", "simulate"]


@dataclass(frozen=True)
class RuleNoise:
    """What a rule does on noise, and what its windows were drawn from."""

    source: NoiseSource
    alerts: NoiseAlerts

    def row(self) -> dict[str, Any]:
        """Return the numbers as a row for an output."""
        source = self.source
        return {
            **self.alerts.row(),
            "rows": round(median(source.sizes)),
            "rows_range": [min(source.sizes), max(source.sizes)],
            "features": source.n_features,
            "frequency": source.frequency.lower(),
            "units": source.units,
            "version": source.version,
            "reference_rows": len(source.check),
            "reason": None,
        }


def simulate(source: NoiseSource, policy: Policy) -> RuleNoise:
    """Draw windows without a change, with a fixed seed, and judge them by a rule.

    Takes a few seconds of CPU time. Raises InvalidInput if the windows are too large for that.
    """
    drawn = list(noise_series.draw(source, noise_series.plan(source, policy.condition.lookback)))
    if not drawn:
        raise errors.InvalidInput(
            f"Windows of {round(median(source.sizes)):,} rows and {source.n_features:,} features take too long to draw"
            ' enough of them. Test the rule on stored results with "dcmon rule backtest".'
        )
    per_day = timedelta(days=1) / noise_series.STEPS[source.frequency]
    return RuleNoise(source, noise_alerts.count(policy, drawn, per_day))

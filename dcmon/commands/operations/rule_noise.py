"""Estimate what a rule does when nothing changes. It imports what loads numpy only when it runs."""

from typing import TYPE_CHECKING

from dcmon import errors

if TYPE_CHECKING:
    from dcmon.alerting.state_machine import Policy
    from dcmon.app import App
    from dcmon.monitoring.rule_noise import RuleNoise


def estimate(app: "App", monitor_id: int, policy: "Policy") -> "RuleNoise | str":
    """Judge windows that are drawn from the reference by a rule; return the sentence that says why that can't be."""
    from dcmon.monitoring import rule_noise

    org = app.organization()
    try:
        with app.org(org) as session:
            source = rule_noise.load(session, org, monitor_id, app.settings.evaluate)
        return rule_noise.simulate(source, policy)
    except errors.InvalidInput as error:
        return str(error)

"""The keys of an alert in messages of Deepchecks Monitoring, for receivers that were written for them."""

from typing import Any

from dcmon.notifications.integrations.base import Body


def body(notification: Body) -> dict[str, Any]:
    """Return the whole body of a message about one alert."""
    alert = notification["alert"]
    return {
        "alert_id": alert["id"],
        "alert_name": f"model: {alert.get('model')} monitor: {alert.get('monitor')}",
        "alert_rule": f"{str(alert['severity']).capitalize()} - {alert.get('rule') or alert.get('reason')}",
        "severity": alert["severity"],
        "alert_link": notification.get("link"),
    }


def details(notification: Body) -> dict[str, Any]:
    """Return the details of an alert that PagerDuty shows. `failed_values`: by the name of the version."""
    alert, keys = notification["alert"], body(notification)
    value = alert.get("value")
    failed_values = {} if value is None else {str(alert.get("version")): {str(alert.get("metric")): value}}
    return {**{name: keys[name] for name in ("alert_id", "alert_name", "alert_rule")}, "failed_values": failed_values}

"""The dead man's switch: ping a monitoring service while dcmon works; the service alerts when the pings stop.

A ping says more than that a process lives. It says that windows would be evaluated and notifications delivered: a
scheduler leads, the database answers, the loops of the workers poll, and dcmon's own health was checked recently.
"""

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit, urlunsplit

from dcmon.health.checks import REQUIRED_WORKERS, Problem
from dcmon.health.snapshot import HealthSnapshot
from dcmon.notifications import egress_guard, http_delivery
from dcmon.notifications.http_delivery import Attempt
from dcmon.settings import Heartbeat, Watch, Webhooks
from dcmon.severity import Severity

HEADERS = {"content-type": "text/plain; charset=utf-8"}
MISSED_CHECKS = 5  # health checks in a row that may be missed


def blocking_reasons(snapshot: HealthSnapshot, problems: Iterable[Problem], limits: Watch) -> list[str]:
    """Return why no ping must be sent; nothing when dcmon works."""
    kinds = [*REQUIRED_WORKERS, *(["ingest"] if snapshot.is_kafka_up is not None else [])]
    reasons = [f"No {kind} worker runs." for kind in kinds if not _has_working(snapshot, kind, limits)]
    if not snapshot.has_leader:
        reasons.append("No scheduler leads.")
    check = snapshot.runs.get("watch")
    longest = MISSED_CHECKS * limits.every
    if check is None or check.succeeded_at is None or snapshot.now - check.succeeded_at > longest:
        reasons.append("dcmon's own health was not checked lately.")
    return reasons + [problem.sentence for problem in problems if problem.severity is Severity.CRITICAL]


def _has_working(snapshot: HealthSnapshot, kind: str, limits: Watch) -> bool:
    return any(process.seen_at - process.polled_at <= limits.turn for process in snapshot.alive(kind, limits))


def ping(reasons: Sequence[str], settings: Heartbeat, outgoing: Webhooks) -> Attempt | None:
    """Call the URL, or with `reasons` its /fail; None when there are reasons and DCMON_HEARTBEAT__FAIL is off."""
    if settings.url is None or (reasons and not settings.fail):
        return None
    url = settings.url.get_secret_value()
    text = "\n".join(reasons) or "dcmon works."
    return http_delivery.post(_fail_url(url) if reasons else url, text.encode(), HEADERS, outgoing)


def _fail_url(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/fail"))


def require_valid_url(settings: Heartbeat, outgoing: Webhooks) -> None:
    """Raise InvalidInput for a URL that could never be called."""
    if settings.url is not None:
        egress_guard.require_url(settings.url.get_secret_value(), outgoing.allow)

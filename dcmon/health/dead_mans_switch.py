"""The dead man's switch: ping a monitoring service while dcmon works.

The service alerts when the pings stop.
A ping means more than that a process is alive. It means that windows would be evaluated and notifications delivered: a
scheduler leads, the database answers, the loops of the workers poll, and dcmon's own health was checked recently.
An address that one organization mistyped says nothing of that, unless dcmon's own problems are notified there.
"""

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit, urlunsplit

from dcmon.health.problem import Problem, ProblemName
from dcmon.health.process_checks import required_workers
from dcmon.health.scheduler_runs import ScheduledJobName
from dcmon.health.snapshot import HealthSnapshot
from dcmon.notifications import egress_guard, http_delivery
from dcmon.notifications.attempt import Attempt
from dcmon.settings import Health, Ping, Webhooks
from dcmon.severity import Severity

HEADERS = {"content-type": "text/plain; charset=utf-8"}
MISSED_CHECKS = 5  # health checks in a row that may be missed


def blocking_reasons(snapshot: HealthSnapshot, problems: Iterable[Problem], limits: Health) -> list[str]:
    """Return the reasons why no ping may be sent; an empty list when dcmon works."""
    missing = [kind for kind in required_workers(snapshot) if not _has_working(snapshot, kind, limits)]
    reasons = [f"No {kind} worker runs." for kind in missing]
    if not snapshot.has_leader:
        reasons.append("No scheduler leads.")
    check = snapshot.runs.get(ScheduledJobName.CHECK_HEALTH)
    longest = MISSED_CHECKS * limits.every
    if check is None or check.succeeded_at is None or snapshot.now - check.succeeded_at > longest:
        reasons.append("dcmon's own health was not checked lately.")
    return reasons + [problem.sentence for problem in problems if _is_blocking(problem, limits)]


def _is_blocking(problem: Problem, limits: Health) -> bool:
    is_foreign = problem.subject.partition("/")[0] != limits.org
    is_address = problem.name == ProblemName.RECEIVER_UNREACHABLE
    return problem.severity is Severity.CRITICAL and not (is_address and is_foreign)


def _has_working(snapshot: HealthSnapshot, kind: str, limits: Health) -> bool:
    return any(process.seen_at - process.polled_at <= limits.poll_timeout for process in snapshot.alive(kind, limits))


def ping(reasons: Sequence[str], settings: Ping, outgoing: Webhooks) -> Attempt | None:
    """POST to the URL, or with `reasons` to its path /fail.

    Return None without a request when there are reasons and DCMON_PING__FAIL is off.
    """
    if settings.url is None or (reasons and not settings.fail):
        return None
    url = settings.url.get_secret_value()
    text = "\n".join(reasons) or "dcmon works."
    return http_delivery.post(_fail_url(url) if reasons else url, text.encode(), HEADERS, outgoing)


def _fail_url(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/fail"))


def require_valid_url(settings: Ping, outgoing: Webhooks) -> None:
    """Require that the URL may be called. Raises InvalidInput."""
    if settings.url is not None:
        egress_guard.require_url(settings.url.get_secret_value(), outgoing.allow)

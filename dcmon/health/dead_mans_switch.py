"""The heartbeat: a URL that is called while dcmon works. Who listens there says when it stops (a dead man's switch).

It is not sent because a process lives, but because windows would be evaluated and notifications delivered: who leads
leads, the database answers, workers go round, and dcmon itself was judged lately.
"""

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit, urlunsplit

from dcmon.health.checks import MUST_RUN, Problem
from dcmon.health.snapshot import HealthSnapshot
from dcmon.notifications import egress_guard, http_delivery
from dcmon.notifications.http_delivery import Attempt
from dcmon.settings import Heartbeat, Watch, Webhooks

HEADERS = {"content-type": "text/plain; charset=utf-8"}
JUDGED_WITHIN = 5  # judgements that may be missed


def blocking_reasons(facts: HealthSnapshot, conditions: Iterable[Problem], bounds: Watch) -> list[str]:
    """Why the heartbeat must not be sent; nothing when dcmon works."""
    kinds = [*MUST_RUN, *(["ingest"] if facts.kafka is not None else [])]
    missing = [f"No {kind} worker is there." for kind in kinds if not _turns(facts, kind, bounds)]
    if not facts.is_led:
        missing.append("No scheduler leads.")
    judged = facts.rounds.get("watch")
    if judged is None or judged.succeeded_at is None or facts.now - judged.succeeded_at > JUDGED_WITHIN * bounds.every:
        missing.append("dcmon itself was not judged lately.")
    return missing + [each.sentence for each in conditions if each.severity == "critical"]


def _turns(facts: HealthSnapshot, kind: str, bounds: Watch) -> bool:
    return any(each.seen_at - each.turned_at <= bounds.turn for each in facts.alive(kind, bounds))


def ping(ailments: Sequence[str], settings: Heartbeat, outgoing: Webhooks) -> Attempt | None:
    """Call the URL, or what stands for a failure; None when nothing is to be called."""
    if settings.url is None or (ailments and not settings.fail):
        return None
    url = settings.url.get_secret_value()
    said = "\n".join(ailments) or "dcmon works."
    return http_delivery.post(_failing(url) if ailments else url, said.encode(), HEADERS, outgoing)


def _failing(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/fail"))


def require_valid_url(settings: Heartbeat, outgoing: Webhooks) -> None:
    """Raises InvalidInput for a URL that could never be called."""
    if settings.url is not None:
        egress_guard.require_url(settings.url.get_secret_value(), outgoing.allow)

"""Who or what changes alerts, and whether receivers are notified of it."""

from dataclasses import dataclass
from datetime import timedelta

from dcmon.db import Organization
from dcmon.db.tables.org import Alert, Result
from dcmon.settings import Settings
from dcmon.states import ResolvedBy

RECENT = timedelta(days=2)


@dataclass(frozen=True)
class ChangeContext:
    """The cause of changes to alerts: a result, a changed rule, or an operator.

    `public_url`: notifications link to it; None: alerts change, but no notification is written.
    `recent`: how old the newest judged window may be for the first notification about an alert. The notification is
    not written when a window that is due now ends later by more than this; None: it is always written.
    `result`: the result that was judged. `by`, `note`: the operator, and the remark for the alert's history.
    `resolved_by`: why an alert ends whose windows are no longer violated.
    `ended_alert`: a resolved alert that is not retracted when its windows are no longer violated: it stays resolved.
    `has_savepoint`: the changes of several rules are written in a savepoint, so that a rule whose changes can't be
    written fails alone. False saves two round trips: a failure then ends the transaction, and the caller repeats it
    with savepoints.
    """

    org: Organization
    public_url: str | None = None
    recent: timedelta | None = RECENT
    result: Result | None = None
    by: str | None = None
    note: str | None = None
    resolved_by: ResolvedBy = ResolvedBy.REVISION
    ended_alert: Alert | None = None
    has_savepoint: bool = True


@dataclass(frozen=True)
class Actor:
    """A person who changes rules or alerts of an organization, by a command or over HTTP.

    `public_url`, `recent`: as in ChangeContext.
    """

    org: Organization
    name: str
    public_url: str | None
    recent: timedelta | None

    @classmethod
    def from_settings(cls, org: Organization, name: str, settings: Settings) -> "Actor":
        """Return an actor whose changes notify receivers as the settings say."""
        return cls(org, name, settings.url, settings.alerts.recent)

    def context(self, note: str | None = None) -> ChangeContext:
        """Return the context of a change by this person."""
        return ChangeContext(self.org, self.public_url, self.recent, by=self.name, note=note)

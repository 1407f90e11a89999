"""What applying a change needs, and what it returns."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.alerting.change_context import Actor
from dcmon.db import Organization
from dcmon.db.tables.org import Alert, AlertRule, Check, Model, Monitor
from dcmon.declarations.changes import Change
from dcmon.settings import Webhooks
from dcmon.states import AlertState

Effects = Mapping[str, int]  # counts by name; only those that are not 0 are shown
OPEN_STATES = (AlertState.PENDING, AlertState.FIRING)


@dataclass(frozen=True)
class Context:
    """Two transactions, in the organization and in "public", and who changes it with which settings.

    `administrators`: ids of the users who become members of a new model.
    """

    session: Session
    public: Session
    org: Organization
    actor: Actor
    webhooks: Webhooks
    now: datetime
    administrators: Collection[int] = ()

    def model(self, name: str) -> Model:
        """Return a model. Raises ModelNotFound."""
        model = self.session.scalar(select(Model).where(Model.name == name))
        if model is None:
            raise errors.ModelNotFound(name=name)
        return model

    def monitor(self, model: str, name: str) -> Monitor:
        """Return a monitor of a model. Raises MonitorNotFound."""
        statement = select(Monitor).join(Check).join(Model).where(Model.name == model, Monitor.name == name)
        monitor = self.session.scalar(statement)
        if monitor is None:
            raise errors.MonitorNotFound(name=f"{model}/{name}")
        return monitor

    def open_alerts(self, *conditions: object) -> int:
        """Count open alerts of rules for which the conditions hold."""
        statement = select(func.count()).select_from(Alert).join(AlertRule, AlertRule.id == Alert.rule_id)
        statement = statement.join(Monitor, Monitor.id == AlertRule.monitor_id)
        held = [Alert.state.in_(OPEN_STATES), *conditions]
        return int(self.session.scalar(statement.where(*held)) or 0)  # type: ignore[arg-type]


class Kind(Protocol):
    """How objects of a noun are created, changed and deleted, by the functions that commands call."""

    def create(self, context: Context, change: Change) -> Effects:
        """Create an object. Raises InvalidInput, NotFound or Conflict."""

    def change(self, context: Context, change: Change) -> Effects:
        """Change an object. Raises InvalidInput, NotFound, or Conflict if it is not as the plan says."""

    def delete(self, context: Context, change: Change) -> Effects:
        """Delete an object, if the noun is one that is pruned."""


def require_stored(change: Change, current: object) -> None:
    """Raise Conflict unless an object, read again after it was locked, is as the plan says."""
    if current != (None if change.stored is None else change.stored.values()):
        raise changed_meanwhile(f"{change.noun} {change.name!r}")


def changed_meanwhile(what: str) -> errors.Conflict:
    """Return the error that another session was faster."""
    return errors.Conflict(f"The {what} was changed meanwhile, so nothing was applied. Plan again.")

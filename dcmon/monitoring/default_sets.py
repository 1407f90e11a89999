"""Change which default monitors and rules a model has, without a loss of results or alerts."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon.alerting import rule_changes, rules
from dcmon.alerting.change_context import Actor
from dcmon.alerting.rules import Change
from dcmon.db.tables.org import AlertRule, Model
from dcmon.monitoring import default_monitors
from dcmon.states import DefaultSet
from dcmon.windows import Frequency


@dataclass(frozen=True)
class SetChange:
    """The effect of a choice: monitors created, rules turned on and off, notifications written."""

    monitors: int = 0
    rules_on: int = 0
    rules_off: int = 0
    notifications: int = 0


def choose(
    session: Session, actor: Actor, model: Model, chosen: DefaultSet, frequency: Frequency | None = None
) -> SetChange:
    """Choose which default monitors and rules a model has.

    Creates what is missing of the chosen set. The rules on default monitors outside of the set are turned off, which
    ends their open alerts; their monitors go on, so that results have no gap. They are turned on again with the set:
    only then, so that a rule which a person turned off stays off. Locks the model. `frequency`: of new monitors; None:
    the frequency that most default monitors have.
    """
    session.refresh(model, with_for_update={"key_share": True})
    before = DefaultSet(model.default_monitors or DefaultSet.ALL)
    existing = {placed.monitor.id: placed.spot for placed in default_monitors.spots(session, model)}
    frequency = frequency or default_monitors.usual_frequency(session, model)
    created = default_monitors.create_defaults(session, model, frequency, chosen)
    sdk, own = default_monitors.sdk_spots(model), default_monitors.own_spots()
    returning = (sdk if chosen.has_sdk > before.has_sdk else set()) | (
        own if chosen.has_own > before.has_own else set()
    )
    ending = (set() if chosen.has_sdk else sdk) | (set() if chosen.has_own else own)
    locked = _lock_rules(session, existing)
    to_activate = [rule for rule in locked if not rule.is_active and existing[rule.monitor_id] in returning]
    to_deactivate = [rule for rule in locked if rule.is_active and existing[rule.monitor_id] in ending]
    notifications = sum(
        rule_changes.change(session, actor, rule, Change(is_active=is_active))
        for is_active, changed in ((True, to_activate), (False, to_deactivate))
        for rule in changed
    )
    model.default_monitors = chosen
    session.flush()
    return SetChange(created, len(to_activate), len(to_deactivate), notifications)


def _lock_rules(session: Session, monitor_ids: Collection[int]) -> Sequence[AlertRule]:
    """Lock the rules of monitors, all in the order in which judging locks them."""
    rule_ids = session.scalars(select(AlertRule.id).where(AlertRule.monitor_id.in_(monitor_ids))).all()
    return rules.lock_all(session, rule_ids)

"""Change which default monitors and rules a model has, without a loss of results or alerts."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon.alerting import rule_changes, rules
from dcmon.alerting.change_context import Actor
from dcmon.alerting.rules import Change
from dcmon.db.tables.org import AlertRule, Model
from dcmon.monitoring import default_monitors, default_origins, schedules
from dcmon.states import DefaultOrigin, DefaultSet
from dcmon.windows import Frequency


@dataclass(frozen=True)
class SetChange:
    """The effect of a choice: monitors created; rules turned on, turned off and renewed; notifications written."""

    monitors: int = 0
    rules_on: int = 0
    rules_off: int = 0
    rules_renewed: int = 0
    notifications: int = 0


def choose(
    session: Session, actor: Actor, model: Model, chosen: DefaultSet, frequency: Frequency | None = None
) -> SetChange:
    """Choose which default monitors and rules a model has.

    Creates what is missing of the chosen set. The rules on default monitors outside of the set are turned off, which
    ends their open alerts; their monitors go on, so that results have no gap. They are turned on again with the set:
    only then, so that a rule which a person turned off stays off. At the first choice for a model of an earlier
    release, unchanged rules of the SDK get the settings of dcmon's own that new ones have. Locks the model.
    `frequency`: of new monitors; None: the frequency that most default monitors have.
    """
    session.refresh(model, with_for_update={"key_share": True})
    before = DefaultSet(model.default_monitors or DefaultSet.ALL)
    origins = _origins(session, model)
    frequency = frequency or default_monitors.usual_frequency(session, model)
    created = default_monitors.create_defaults(session, model, frequency, chosen)
    changes = Counter[str]()
    for rule in _lock_rules(session, list(origins)):
        origin = origins[rule.monitor_id]
        if not chosen.has(origin) and rule.is_active:
            name, change = "rules_off", Change(is_active=False)
        elif chosen.has(origin) and not before.has(origin) and not rule.is_active:
            name, change = "rules_on", Change(is_active=True)
        elif model.default_monitors is None and default_monitors.is_plain_sdk_rule(session, rule):
            name, change = "rules_renewed", default_monitors.own_settings(session, rule)
        else:
            continue
        changes[name] += 1
        changes["notifications"] += rule_changes.change(session, actor, rule, change)
    model.default_monitors = chosen
    session.flush()
    return SetChange(created, **changes)


def record(session: Session, model: Model, chosen: DefaultSet) -> None:
    """Record which default monitors a model has, where its monitors and rules are declared one by one."""
    model.default_monitors = chosen
    session.flush()


def _origins(session: Session, model: Model) -> dict[int, DefaultOrigin]:
    """Return whose default monitors the default monitors of a model are, by id."""
    origins = {
        monitor.id: default_origins.of_monitor(model, check, monitor.name)
        for monitor, check in schedules.monitors_of_model(session, model)
    }
    return {monitor_id: origin for monitor_id, origin in origins.items() if origin is not None}


def _lock_rules(session: Session, monitor_ids: Collection[int]) -> Sequence[AlertRule]:
    """Lock the rules of monitors, all in the order in which judging locks them."""
    rule_ids = session.scalars(select(AlertRule.id).where(AlertRule.monitor_id.in_(monitor_ids))).all()
    return rules.lock_all(session, rule_ids)

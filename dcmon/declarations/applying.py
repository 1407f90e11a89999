"""Apply the changes of a plan in one transaction of the organization, and one of "public" for its settings."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dcmon import errors
from dcmon.declarations.applying_context import Context, Effects, Kind
from dcmon.declarations.changes import Action, Change, Noun, Plan
from dcmon.declarations.declared_receivers import ReceiverDeclaration
from dcmon.declarations.model_kinds import CheckKind, ModelKind, SettingsKind, VersionKind
from dcmon.declarations.monitor_kinds import MonitorKind, RuleKind
from dcmon.declarations.notification_kinds import MuteTimeKind, ReceiverKind, SilenceKind
from dcmon.formatting import listed

# A new kind of objects is a noun, a declared type in the document, what state.py reads, and a line here.
KINDS: Mapping[Noun, Kind] = {
    Noun.ORGANIZATION: SettingsKind(),
    Noun.MODEL: ModelKind(),
    Noun.VERSION: VersionKind(),
    Noun.CHECK: CheckKind(),
    Noun.MONITOR: MonitorKind(),
    Noun.RULE: RuleKind(),
    Noun.RECEIVER: ReceiverKind(),
    Noun.MUTE_TIME: MuteTimeKind(),
    Noun.SILENCE: SilenceKind(),
}


@dataclass(frozen=True)
class Applied:
    """A change that was made, with its effects beside it; `is_tried`: False if it could not even be tried."""

    change: Change
    effects: Effects
    is_tried: bool = True


def run(context: Context, plan: Plan, *, is_trial: bool = False) -> Sequence[Applied]:
    """Make all changes of a plan, in its order; the caller commits, or rolls back what it only tried.

    A trial leaves out new receivers whose secrets are not known here. Raises InvalidInput, NotFound or Conflict, whose
    message names the object.
    """
    applied = []
    for change in plan.changes:
        if (
            is_trial
            and isinstance(change.declared, ReceiverDeclaration)
            and change.stored is None
            and change.declared.missing
        ):
            applied.append(Applied(change, {}, is_tried=False))
            continue
        applied.append(Applied(change, _apply(context, change)))
    return applied


def require_secrets(plan: Plan) -> None:
    """Check that all new receivers have their secrets here. Raises InvalidInput, which names all that is missing."""
    missing = {
        change.name: change.declared.missing
        for change in plan.changes
        if isinstance(change.declared, ReceiverDeclaration) and change.stored is None and change.declared.missing
    }
    if missing:
        needs = [f"receiver {name!r} needs {listed(texts)}" for name, texts in missing.items()]
        raise errors.InvalidInput(f"Secrets are missing here: {'; '.join(needs)}. Set them and apply again.")


def _apply(context: Context, change: Change) -> Effects:
    kind = KINDS[change.noun]
    try:
        match change.action:
            case Action.CREATE:
                return kind.create(context, change)
            case Action.CHANGE:
                return kind.change(context, change)
        return kind.delete(context, change)
    except (errors.InvalidInput, errors.NotFound, errors.Conflict) as error:
        if isinstance(error, errors.Conflict) or not str(error):
            raise
        raise errors.InvalidInput(f"{change.noun} {change.name!r} can't be {_DONE[change.action]}: {error}") from error


_DONE = {Action.CREATE: "created", Action.CHANGE: "changed", Action.DELETE: "deleted"}


def total(applied: Sequence[Applied]) -> Mapping[str, int]:
    """Return the effects of all changes together, by name."""
    counted = Counter[str]()
    for entry in applied:
        counted.update(entry.effects)
    return {name: count for name, count in counted.items() if count}

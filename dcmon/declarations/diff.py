"""Compare a document with what an organization has. This needs no database."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dcmon.declarations import rule_matching
from dcmon.declarations.changes import Action, Change, FieldChange, Noun, Object, Plan, is_same, shown
from dcmon.declarations.declared_holds import SilenceDeclaration
from dcmon.declarations.declared_models import (
    CheckDeclaration,
    ModelDeclaration,
    implicit_check,
    is_class,
)
from dcmon.declarations.declared_monitors import MonitorDeclaration
from dcmon.declarations.declared_receivers import ReceiverDeclaration
from dcmon.declarations.document import Document
from dcmon.declarations.state import State
from dcmon.declarations.values import Declaration, Problem, parse_time, problem
from dcmon.nearest import meant

# Nouns that --prune never deletes: samples would be lost with them.
NOT_PRUNED = (Noun.MODEL, Noun.VERSION)
# Nouns of which a key that is left out is left as it is; of the others only these keys.
UNMANAGED_IF_LEFT_OUT = (Noun.ORGANIZATION, Noun.MODEL, Noun.VERSION)
UNMANAGED_KEYS = {Noun.RECEIVER: ("signing_secret",)}
# Keys that can't change, and what to do.
FIXED = {
    Noun.MODEL: ("task",),
    Noun.VERSION: ("features", "additional", "classes", "label_map", "file_columns"),
    Noun.CHECK: ("class", "module"),
    Noun.RECEIVER: ("kind",),
}
Path = tuple[str | int, ...]


class Comparison:
    """Collects the changes from a state to a document.

    `problems` are what can't be changed, with the paths in the document.
    """

    def __init__(self, state: State, document: Document, now: datetime, *, prunes: bool = False) -> None:
        self.state, self.document, self.now, self.prunes = state, document, now, prunes
        self.problems = list[Problem]()
        self._changes, self._deleted, self._unmanaged = list[Change](), list[Change](), list[Object]()
        self._former_models: dict[str, str] = {}  # by former name

    def plan(self) -> Plan:
        """Return the plan; its changes are in the order in which they can be made."""
        stored, declared = self.state.document, self.document
        if declared.organization is not None and stored.organization is not None:
            self._compare(Noun.ORGANIZATION, (), stored.organization, declared.organization, ("organization",))
        for name, model in (declared.models or {}).items():
            self._model(name, model, stored.models or {})
        receivers = {name: self._with_new_names(receiver) for name, receiver in (stored.receivers or {}).items()}
        self._section(Noun.RECEIVER, (), receivers, declared.receivers, ("receivers",))
        self._section(Noun.MUTE_TIME, (), stored.mute_times or {}, declared.mute_times, ("mute_times",))
        if declared.silences is not None:
            self._silences(stored.silences or [], declared.silences)
        order = list(Noun)
        # What is deleted makes room for what is created, but checks are still run by monitors that get another one.
        first = [change for change in self._deleted if change.noun != Noun.CHECK]
        last = [change for change in self._deleted if change.noun == Noun.CHECK]
        changes = sorted(self._changes, key=lambda change: order.index(change.noun))
        first.sort(key=lambda change: -order.index(change.noun))
        return Plan([*first, *changes, *last], self._unmanaged)

    def _model(self, name: str, declared: ModelDeclaration, stored: Mapping[str, ModelDeclaration]) -> None:
        path: Path = ("models", name)
        current, former = self._current(name, declared, stored, path)
        if former is not None:
            self._former_models[former] = name
        if current is None:
            if declared.task is None:
                hint = meant(name, self.state.model_names)
                self._refuse(f"There is no model {name!r}.{hint} To create it, give its task.", *path)
                return
            self._changes.append(_created(Noun.MODEL, (name,), declared))
            current = ModelDeclaration.model_construct(versions={}, checks={}, monitors={})
        else:
            self._compare(Noun.MODEL, (name,), current, declared, path, former=former)
        self._section(Noun.VERSION, (name,), current.versions or {}, declared.versions, (*path, "versions"))
        checks = self._checks(name, declared, current.checks or {})
        self._section(
            Noun.CHECK, (name,), current.checks or {}, checks, (*path, "checks"), covers=declared.checks is not None
        )
        self._section(Noun.MONITOR, (name,), current.monitors or {}, declared.monitors, (*path, "monitors"))

    def _checks(
        self, name: str, declared: ModelDeclaration, stored: Mapping[str, CheckDeclaration]
    ) -> Mapping[str, CheckDeclaration]:
        """Return the declared checks, with those that monitors name by a class or that exist already."""
        checks = dict(declared.checks or {})
        for monitor_name, monitor in (declared.monitors or {}).items():
            if monitor.check in checks:
                continue
            if monitor.check in stored:
                checks[monitor.check] = stored[monitor.check]
            elif is_class(monitor.check):
                checks[monitor.check] = implicit_check(monitor.check)
            else:
                known = ", ".join(map(repr, stored)) or "none"
                hint = meant(monitor.check, stored)
                self._refuse(
                    f"Model {name!r} has no check {monitor.check!r}.{hint} Its checks: {known}.",
                    "models", name, "monitors", monitor_name, "check",
                )  # fmt: skip
        return checks

    def _section(
        self,
        noun: Noun,
        above: tuple[str, ...],
        stored: Mapping[str, Any],
        declared: Mapping[str, Any] | None,
        path: Path,
        *,
        covers: bool = True,
    ) -> None:
        """Compare the objects of a section by their names. `covers`: what it does not declare is unmanaged."""
        if declared is None:
            return
        used = set[str]()
        for name, wanted in declared.items():
            current, former = self._current(name, wanted, stored, (*path, name))
            if current is None:
                self._changes.append(_created(noun, (*above, name), wanted))
            else:
                used.add(former or name)
                self._compare(noun, (*above, name), current, wanted, (*path, name), former=former)
            if noun is Noun.MONITOR:
                self._rules((*above, name), former or name, current, wanted)
        if covers:
            for name in sorted(stored.keys() - used):
                self._left_over(noun, (*above, name), stored[name])

    def _current(
        self, name: str, declared: Any, stored: Mapping[str, Any], path: Path
    ) -> tuple[Any | None, str | None]:
        """Return the stored object that a declared one means, and its former name if it is renamed."""
        former = getattr(declared, "renamed_from", None)
        if former is None or former not in stored or former == name:
            return stored.get(name), None
        if name in stored:
            self._refuse(f"There are both {name!r} and its former name {former!r}: delete one of them.", *path)
            return stored[name], None
        return stored[former], former

    def _compare(
        self, noun: Noun, names: tuple[str, ...], stored: Any, declared: Any, path: Path, *, former: str | None = None
    ) -> None:
        fields = _differences(noun, stored, declared)
        for change in fields:
            if change.name in FIXED.get(noun, ()):
                self._refuse(
                    f"The {change.name} of a {noun} can't change from {change.before} to {change.after}. Give another"
                    " name to a new one.",
                    *path, *([change.name] if change.name in declared.values() else []),
                )  # fmt: skip
        if former is not None:
            fields.insert(0, FieldChange("name", former, names[-1]))
        if fields:
            self._changes.append(Change(Action.CHANGE, noun, names, tuple(fields), declared, stored, former=former))

    def _left_over(self, noun: Noun, names: tuple[str, ...], stored: Declaration, stored_id: int | None = None) -> None:
        if self.prunes and noun not in NOT_PRUNED:
            self._deleted.append(Change(Action.DELETE, noun, names, (), None, stored, stored_id))
        else:
            self._unmanaged.append(Object(noun, names))

    def _rules(
        self, names: tuple[str, ...], stored_name: str, stored: MonitorDeclaration | None, declared: MonitorDeclaration
    ) -> None:
        if declared.rules is None:
            return
        current = [] if stored is None else stored.rules or []
        models = {new: old for old, new in self._former_models.items()}
        ids = self.state.rule_ids.get((models.get(names[0], names[0]), stored_name), ())
        matches = rule_matching.match(current, declared.rules)
        for rule, number in zip(declared.rules, matches, strict=True):
            path = (*names, rule.name or rule.condition)
            if number is None:
                self._changes.append(_created(Noun.RULE, path, rule))
            elif fields := _differences(Noun.RULE, current[number], rule):
                change = Change(Action.CHANGE, Noun.RULE, path, tuple(fields), rule, current[number], ids[number])
                self._changes.append(change)
        for number, rule in enumerate(current):
            if number not in matches:
                self._left_over(Noun.RULE, (*names, rule.name or rule.condition), rule, ids[number])

    def _silences(self, stored: Sequence[SilenceDeclaration], declared: Sequence[SilenceDeclaration]) -> None:
        free = list(range(len(stored)))
        for silence in declared:
            if parse_time(silence.until) <= self.now:
                continue  # it is over: there is nothing to create
            same = next((number for number in free if _is_same_silence(stored[number], silence)), None)
            if same is None:
                self._changes.append(_created(Noun.SILENCE, (silence.label(),), silence))
            else:
                free.remove(same)
        for number in free:
            self._left_over(Noun.SILENCE, (stored[number].label(),), stored[number], self.state.silence_ids[number])

    def _with_new_names(self, receiver: ReceiverDeclaration) -> ReceiverDeclaration:
        """Return a stored receiver with the names that its models get in this plan."""
        if receiver.models is None or not self._former_models:
            return receiver
        models = [self._former_models.get(name, name) for name in receiver.models]
        return receiver.model_copy(update={"models": models})

    def _refuse(self, message: str, *path: str | int) -> None:
        self.problems.append(problem(message, *path))


def _is_same_silence(stored: SilenceDeclaration, declared: SilenceDeclaration) -> bool:
    wanted = declared.values()
    if not declared.by:
        wanted["by"] = stored.by
    return stored.values() == wanted


def _created(noun: Noun, path: tuple[str, ...], declared: Declaration) -> Change:
    fields = tuple(FieldChange(name, None, shown(value)) for name, value in declared.written().items())
    return Change(Action.CREATE, noun, path, fields, declared)


def _differences(noun: Noun, stored: Any, declared: Any) -> list[FieldChange]:
    before, after = stored.values(), declared.values()
    changes = []
    for name, value in after.items():
        is_left_out = value is None and (noun in UNMANAGED_IF_LEFT_OUT or name in UNMANAGED_KEYS.get(noun, ()))
        if not is_left_out and not is_same(before.get(name), value):
            changes.append(FieldChange(name, shown(before.get(name), is_stored=True), shown(value)))
    return changes

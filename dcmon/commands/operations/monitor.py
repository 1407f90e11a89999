"""Create, change and delete monitors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from dcmon.alerting import rules
from dcmon.checks import defaults
from dcmon.commands.operations import old_names
from dcmon.commands.shared.arguments import require_one
from dcmon.commands.shared.several import Deletion
from dcmon.commands.shared.wording import open_text
from dcmon.commands.views.monitor import COMPARE_WORDS
from dcmon.db import work_queue
from dcmon.formatting import count_of, listed
from dcmon.monitoring import lifecycle, model_checks, monitors
from dcmon.nearest import meant
from dcmon.storage import filter_parser, models, sample_tables
from dcmon.windows import ComparedWith

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from dcmon.alerting.rules import Condition
    from dcmon.app import App
    from dcmon.db.tables.org import Monitor
    from dcmon.monitoring.monitor_spec import MonitorSpec

# The names under which monitors store choices that options call otherwise.
STORED_AS = {"aggregation": "aggregation method", "max-features": "max features"}


@dataclass(frozen=True)
class CheckChoices:
    """The options of a check that a monitor sets; None: not set."""

    features: list[str] | None
    scorers: list[str] | None
    classes: list[str] | None
    aggregation: str | None
    metrics: list[str] | None
    max_features: int | None

    @property
    def conf(self) -> dict[str, list[Any]]:
        """Return the choices that are set, by the names under which monitors store them."""
        choices = {
            "feature": self.features, "scorer": self.scorers, "class": self.classes,
            "aggregation method": [self.aggregation] if self.aggregation else None,
            "max features": [self.max_features] if self.max_features else None,
        }  # fmt: skip
        return {key: value for key, value in choices.items() if value}

    @property
    def kwargs(self) -> dict[str, Any] | None:
        """Return the choices as a new monitor stores them; None if nothing is chosen."""
        conf = self.conf
        return {"check_conf": conf, "res_conf": self.metrics or None} if conf or self.metrics else None


@dataclass(frozen=True)
class NewMonitor:
    """A monitor to create, and its first rules, all of one severity. `model`: None: the only one."""

    model: str | None
    check: str
    parameters: dict[str, Any]
    spec: "MonitorSpec"
    conditions: "Sequence[Condition]"
    severity: str


@dataclass(frozen=True)
class MonitorChange:
    """Changes of a monitor.

    `fields`: of its specification. `reset`: the choices to remove, with the names that --reset takes.
    """

    fields: dict[str, Any]
    choices: CheckChoices
    parameters: dict[str, Any]
    reset: set[str] = field(default_factory=set)

    def require_usable(self, names: Sequence[str]) -> None:
        """Check that something changes of these monitors, and that only one gets a name. Raises BadParameter."""
        require_one(names, self.fields.get("name"), "--name")
        if not (self.fields or self.choices.kwargs or self.parameters or self.reset):
            raise typer.BadParameter('Nothing to change: give an option that "dcmon monitor set --help" lists.')

    def apply_to(self, spec: "MonitorSpec", stored_params: Mapping[str, Any]) -> lifecycle.MonitorEdit:
        """Return the changed specification of a monitor, and the parameters of its check."""
        reset = {STORED_AS.get(key, key) for key in self.reset}
        fields = {**self.fields, **({"data_filters": None} if "filter" in reset else {})}
        if fields.get("frequency", spec.frequency) != spec.frequency:  # a graph of as many windows as before
            fields.setdefault("lookback", defaults.LOOKBACK[fields["frequency"]])
        fields["additional_kwargs"] = _changed_kwargs(spec.additional_kwargs, self.choices, reset)
        if not self.parameters and "param" not in reset:
            return lifecycle.MonitorEdit(replace(spec, **fields))
        params = {**({} if "param" in reset else stored_params), **self.parameters}
        return lifecycle.MonitorEdit(replace(spec, **fields), params)


def create(app: "App", new: NewMonitor) -> dict[str, Any]:
    """Create a monitor and enqueue its last windows. Raises ModelNotFound, InvalidInput or Conflict."""
    org = app.organization()
    with app.org(org) as session:
        model = models.find_or_only(session, new.model)
        monitors.require_free_name(session, model, new.spec.name)
        check = model_checks.get_or_create_check(session, model, new.check, new.parameters, new.spec.name)
        monitor = monitors.create(session, check, new.spec, org.retention)
        created = [rules.create(session, monitor.id, condition, new.severity) for condition in new.conditions]
        row = {
            "name": f"{model.name}/{monitor.name}", "id": monitor.id, "check": check.name,
            "rules": [f"{rules.condition_text(rule)} {rule.severity}" for rule in created],
            "rule_ids": [rule.id for rule in created],
        }  # fmt: skip
    app.enqueue(org, work_queue.Work.evaluate)
    return row


def find(app: "App", name: str) -> str:
    """Return what names exactly this monitor. Raises MonitorNotFound, or InvalidInput for several."""
    with app.org() as session:
        return monitors.exact_names(session)[monitors.find(session, name).id]


def change(app: "App", name: str, wanted: MonitorChange) -> dict[str, Any]:
    """Change a monitor and enqueue the windows that are due. Raises MonitorNotFound, InvalidInput or Conflict."""
    org = app.organization()
    with app.org(org) as session:
        monitor = monitors.find(session, name)
        if new_name := wanted.fields.get("name"):
            monitor = _find_to_rename(session, monitor, name, new_name)
        old_name = monitors.full_name(session, monitor)
        done = lifecycle.change_monitor(session, org, monitor, wanted.apply_to, app.settings.url)
        row = _renamed(session, monitor, old_name) | {"revision": monitor.revision, "windows_due": done.windows}
    app.enqueue(org, work_queue.Work.evaluate, work_queue.Work.notify)
    return row


def rename(app: "App", name: str, new_name: str) -> dict[str, Any]:
    """Rename a monitor. Raises MonitorNotFound, InvalidInput or Conflict."""
    choices = CheckChoices(None, None, None, None, None, None)
    row = change(app, name, MonitorChange({"name": new_name}, choices, {}))
    return {key: value for key, value in row.items() if key not in ("revision", "windows_due")}


def _find_to_rename(session: "Session", monitor: "Monitor", name: str, new_name: str) -> "Monitor":
    """Find a monitor again when no other one of its model can be renamed: it may have another name since.

    Raises MonitorNotFound, or Conflict if the new name is taken.
    """
    model = model_checks.get_with_model(session, monitor.check_id).model
    sample_tables.lock_naming(session, f"monitors of {model.id}")
    session.expire_all()
    current = monitors.find(session, name)
    if new_name != current.name:
        monitors.require_free_name(session, model, new_name)
    return current


def _renamed(session: "Session", monitor: "Monitor", old_name: str) -> dict[str, Any]:
    """Return the names and the id of a monitor; with what still has the old name, if it has another one."""
    name = monitors.full_name(session, monitor)
    if name == old_name:
        return {"name": name, "id": monitor.id}
    model = name.removesuffix(f"/{monitor.name}")
    still = old_names.row(session, old_names.of_monitor(model, old_name.removeprefix(f"{model}/"), monitor.name))
    return {"name": name, "old_name": old_name, "id": monitor.id, **still}


def deletion(app: "App", name: str) -> Deletion:
    """Find a monitor and count what is deleted with it. Raises MonitorNotFound."""
    with app.org() as session:
        monitor = monitors.find(session, name)
        counts, full_name = monitors.count_dependents(session, monitor), monitors.full_name(session, monitor)
        opened = monitors.count_open_alerts(session, monitor)
    lost = [count_of(count, table.removesuffix("s")) for table, count in counts.items() if count]
    what = f"monitor {full_name!r} with {listed(lost) if lost else 'no results'}{open_text(opened)}"
    delete = partial(_delete, app, monitor.id)
    row = {"deleted": full_name, "id": monitor.id, **counts, "open": opened}
    return Deletion(monitor.id, row, what, delete)


def _delete(app: "App", monitor_id: int) -> None:
    """Delete a monitor, and enqueue the closing notifications of its alerts. Raises MonitorNotFound."""
    org = app.organization()
    with app.org(org) as session:
        lifecycle.delete_monitor(session, monitors.get(session, monitor_id))
    app.enqueue(org, work_queue.Work.notify)


def _changed_kwargs(stored: Mapping[str, Any] | None, choices: CheckChoices, reset: set[str]) -> dict[str, Any] | None:
    """Return the stored choices, replaced by the new ones and without those that are reset."""
    kwargs = stored or {"check_conf": {}, "res_conf": None}
    merged = {**kwargs["check_conf"], **choices.conf}
    conf = {key: value for key, value in merged.items() if key not in reset and value}
    metrics = None if "metric" in reset else choices.metrics or kwargs.get("res_conf")
    return {**kwargs, "check_conf": conf, "res_conf": metrics} if conf or metrics else None


def parse_filters(texts: list[str] | None) -> Any:
    """Parse --filter options. Raises InvalidInput."""
    return filter_parser.parse(texts or ())


def parse_compare(text: str) -> ComparedWith:
    """Return what a word of --compare means."""
    return ComparedWith(COMPARE_WORDS[text.lower()])


def parse_rows(text: str) -> int | None:
    """Parse --rows; 0 means all rows, None the default. Raises BadParameter."""
    if text.lower() in ("all", "default"):
        return 0 if text.lower() == "all" else None
    if not text.isdecimal() or int(text) == 0:
        raise typer.BadParameter(
            f"{text!r} is neither a number of rows nor all or default.{meant(text, ('all', 'default'))}",
            param_hint="--rows",
        )
    return int(text)

"""Whose default monitor a monitor is: the SDK's or dcmon's own."""

from functools import cache

from dcmon.checks import defaults, own_defaults
from dcmon.db.tables.org import Check, Model
from dcmon.monitoring import model_checks
from dcmon.states import DefaultOrigin
from dcmon.windows import Frequency

_Place = tuple[str, str, str]  # the class of the check, its name, and the monitor's name


def of_monitor(model: Model, check: Check, name: str) -> DefaultOrigin | None:
    """Return whose default monitor the monitor of this name on a check is; None if it is a user's.

    A default monitor is known by its name and the class and name of its check: neither tells who created it.
    """
    return _origins(model.task_type).get((check.class_name, check.name, name))


@cache
def _origins(task_type: str) -> dict[_Place, DefaultOrigin]:
    own = {
        (default.kind.class_name, name, monitor.name): DefaultOrigin.DCMON
        for default in own_defaults.for_frequency(Frequency.DAY)
        for name in (default.name, model_checks.name_beside(default.name))
        for monitor in default.monitors
    }
    sdk = {
        (default.kind.class_name, default.name, default.monitor.name): DefaultOrigin.SDK
        for default in defaults.for_task(task_type)
        if default.monitor is not None
    }
    return own | sdk

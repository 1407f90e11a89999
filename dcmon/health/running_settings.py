"""Settings that the processes of `dcmon up` run with, and this process does not, or the other way round."""

from datetime import datetime
from typing import NamedTuple

from dcmon.embedded import environment
from dcmon.embedded.supervisor_state import SupervisorState
from dcmon.settings import Settings

SERVERS = ("DCMON_DATABASE_URL", "DCMON_REDIS_URL", "DCMON_KAFKA__BOOTSTRAP_SERVERS")
RESTART = "dcmon down && dcmon up"


class SettingsDifference(NamedTuple):
    """A sentence with the names of the settings, the command for it, and since when the processes run."""

    sentence: str
    command: str
    since: datetime


def compare(settings: Settings, running: SupervisorState | None) -> SettingsDifference | None:
    """Return how the settings of running processes differ from these; None if they don't, or if none run here."""
    if running is None or running.settings is None:
        return None
    own, others = environment.comparable(settings, running.started_at), running.settings
    differences = [
        f"{name} ({_difference(own.get(name), others.get(name))})"
        for name in sorted({*own, *others})
        if own.get(name) != others.get(name)
    ]
    if not differences:
        return None
    sentence = f'Settings of the processes that "dcmon up" started (pid {running.pid}): {"; ".join(differences)}.'
    # A restart gives them the settings of this shell: only good if it has all that they have, and the same servers.
    is_complete = set(others) <= set(own) and all(own.get(name) == others.get(name) for name in SERVERS)
    command = RESTART if is_complete else "dcmon config show --changed --origin"
    return SettingsDifference(sentence, command, datetime.fromisoformat(running.started_at))


def _difference(own: str | None, others: str | None) -> str:
    if others is None:
        return "only this shell has it"
    return "this shell does not have it" if own is None else "this shell has another value"

"""The names of settings' variables. A variable that only begins like one is refused: most often it is mistyped."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dcmon.errors import InvalidInput
from dcmon.nearest import nearest

PREFIX = "DCMON_"
LIKE = 0.7  # how much of two names must be equal without their prefix, which all have
SHORT, LIKE_SHORT = 3, 0.6  # of a short name, or of one within its group, less is enough: OGR means ORG
OLD_NAMES = {  # variables that are still read, with the names that replace them
    "DCMON_EVALUATE__CHILDREN": "DCMON_EVALUATE__CHECK_PROCESSES",
    "DCMON_WATCH__ORG": "DCMON_HEALTH__ORG",
    "DCMON_WATCH__EVERY": "DCMON_HEALTH__EVERY",
    "DCMON_WATCH__SIGN": "DCMON_HEALTH__HEARTBEAT_TIMEOUT",
    "DCMON_WATCH__TURN": "DCMON_HEALTH__POLL_TIMEOUT",
    "DCMON_WATCH__LEADER": "DCMON_HEALTH__LEADER",
    "DCMON_WATCH__EVALUATION": "DCMON_HEALTH__EVALUATION",
    "DCMON_WATCH__NOTIFICATION": "DCMON_HEALTH__NOTIFICATION",
    "DCMON_WATCH__LAG": "DCMON_HEALTH__LAG",
    "DCMON_WATCH__PARKED": "DCMON_HEALTH__PARKED",
    "DCMON_WATCH__QUARANTINE": "DCMON_HEALTH__QUARANTINE",
    "DCMON_WATCH__DISK": "DCMON_HEALTH__DISK",
    "DCMON_HEARTBEAT__URL": "DCMON_PING__URL",
    "DCMON_HEARTBEAT__EVERY": "DCMON_PING__EVERY",
    "DCMON_HEARTBEAT__FAIL": "DCMON_PING__FAIL",
}
# What other programs read or set: names of docker-compose.yml and of the tests, those that a command receiver gets, and
# those that Kubernetes sets for services called dcmon or dcmon-….
OTHERS = re.compile(
    r"DCMON_(TEST_.*|PROFILE|BIND|PORT|POSTGRES_PASSWORD"
    r"|MESSAGE_ID|TYPE|SUBJECT|ALERT_.*"
    r"|(.*_)?SERVICE_(HOST|PORT)(_.*)?|(.*_)?PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
KUBERNETES_PORT = re.compile(r"(tcp|udp|sctp)://")  # the value of DCMON_…_PORT, which is a number everywhere else


class Variable(NamedTuple):
    """The variable of a setting. `path`: where the setting is in Settings, like ("http", "port")."""

    name: str
    path: tuple[str, ...]
    field: FieldInfo

    @property
    def group(self) -> str:
        """Return the variable that may have its whole group as JSON."""
        return PREFIX + self.path[0].upper()


def variables(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[Variable]:
    """Return the variables of all settings of a model, in its order."""
    for name, field in model.model_fields.items():
        location = (*path, name)
        if isinstance(field.default, BaseModel):
            yield from variables(type(field.default), location)
        else:
            yield Variable(PREFIX + "__".join(location).upper(), location, field)


def groups(model: type[BaseModel]) -> list[str]:
    """Return the variables that have a group of settings as JSON, like DCMON_HTTP."""
    return [PREFIX + name.upper() for name, field in model.model_fields.items() if isinstance(field.default, BaseModel)]


def known(model: type[BaseModel]) -> set[str]:
    """Return the names that variables may have: those of settings, of groups, and the old names."""
    return {*(variable.name for variable in variables(model)), *groups(model), *OLD_NAMES}


def require_known(given: Mapping[str, str | None], known: Collection[str], origin: str) -> None:
    """Check the names of variables, in upper or lower case. `origin`: where they are, for the message.

    `known` has the names of settings, also those of groups and the old names. Raises InvalidInput with the nearest
    name, if one is near.
    """
    upper = {name.upper(): value for name, value in given.items()}
    unknown = [name for name, value in upper.items() if not _is_known(name, value, known)]
    if not unknown:
        return
    sentences = [f"{name} in {origin} is no setting.{meant(name, known)}" for name in sorted(unknown)]
    raise InvalidInput(f'{" ".join(sentences)} "dcmon docs settings" lists the settings.')


def meant(name: str, known: Collection[str]) -> str:
    """Return " Do you mean 'DCMON_ORG'?" for the message about a variable, or an empty text if no name is near."""
    group = name.partition("__")[0] + "__"
    of_group = [other for other in known if other.startswith(group)]  # a group that is known is not what is mistyped
    start, others = (group, of_group) if of_group else (PREFIX, known)
    typed = name.removeprefix(start)
    like = LIKE_SHORT if of_group or len(typed) <= SHORT else LIKE
    match = nearest(typed, (other.removeprefix(start) for other in others), like)
    return "" if match is None else f" Do you mean {start + match!r}?"


def _is_known(name: str, value: str | None, known: Collection[str]) -> bool:
    is_other = not name.startswith(PREFIX) or OTHERS.fullmatch(name) is not None
    is_kubernetes = name.endswith("_PORT") and KUBERNETES_PORT.match(value or "") is not None
    return name in known or is_other or is_kubernetes

"""Plans: the changes that make an organization as a document says."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from dcmon.declarations.secret_text import HIDDEN, SecretText
from dcmon.declarations.values import Declaration


class Action(StrEnum):
    """What a change does to an object."""

    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"


class Noun(StrEnum):
    """The kinds of objects, in the order in which they are created."""

    ORGANIZATION = "organization"
    MODEL = "model"
    VERSION = "version"
    CHECK = "check"
    MONITOR = "monitor"
    RULE = "rule"
    RECEIVER = "receiver"
    MUTE_TIME = "mute time"
    SILENCE = "silence"


@dataclass(frozen=True)
class FieldChange:
    """A field with its value before and after; None where it has none. Secrets are never in it."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Change:
    """A change of one object.

    `path`: names, from the model's to its own; a rule without a name has its condition. `declared`: what the document
    says; None: it is deleted. `stored`: what the organization has, before a renaming under another name, `former`;
    None: it is created. `stored_id`: of a rule or silence.
    """

    action: Action
    noun: Noun
    path: tuple[str, ...]
    fields: tuple[FieldChange, ...] = ()
    declared: Declaration | None = None
    stored: Declaration | None = None
    stored_id: int | None = None
    former: str | None = None

    @property
    def name(self) -> str:
        """The names of the object as one text."""
        return "/".join(self.path)

    def has(self, *fields: str) -> bool:
        """Return True if one of the fields changes."""
        return any(change.name in fields for change in self.fields)


@dataclass(frozen=True)
class Object:
    """An object of the organization that the document covers, but does not declare."""

    noun: Noun
    path: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """The changes in the order in which they are made, and the objects that are left as they are."""

    changes: Sequence[Change] = ()
    unmanaged: Sequence[Object] = field(default_factory=list)
    remarks: Sequence[str] = ()

    @property
    def counts(self) -> Mapping[str, int]:
        """The number of changes of each kind, and of unmanaged objects."""
        counted = Counter(str(change.action) for change in self.changes)
        return {**{str(action): counted[action] for action in Action}, "unmanaged": len(self.unmanaged)}

    @property
    def fingerprint(self) -> str:
        """A digest of all changes: two plans with the same one do the same to the same state."""
        changes = [
            [change.action, change.noun, change.path, change.former, change.stored_id]
            + [[value.name, value.before, value.after] for value in change.fields]
            for change in self.changes
        ]
        return hashlib.sha256(json.dumps(changes, sort_keys=True, default=str).encode()).hexdigest()


def shown(value: Any, *, is_stored: bool = False) -> Any:
    """Return a value as a plan may show it; of a stored text with a secret only that it is one."""
    if isinstance(value, SecretText):
        return HIDDEN if is_stored and value.is_secret else value.shown
    if isinstance(value, list):
        return [shown(item, is_stored=is_stored) for item in value]
    if isinstance(value, Mapping):
        return {name: shown(inner, is_stored=is_stored) for name, inner in value.items()}
    return value


def is_same(stored: Any, declared: Any) -> bool:
    """Return True if two values mean the same; a secret that is not known here is the same as any."""
    if isinstance(stored, SecretText) and isinstance(declared, SecretText):
        return stored.is_same(declared)
    if isinstance(stored, list) and isinstance(declared, list):
        return len(stored) == len(declared) and all(map(is_same, stored, declared))
    if isinstance(stored, Mapping) and isinstance(declared, Mapping):
        return stored.keys() == declared.keys() and all(is_same(stored[name], declared[name]) for name in stored)
    if isinstance(stored, bool) is not isinstance(declared, bool):
        return False
    return bool(stored == declared)

"""The fields of a row: what the decoder reads directly, and how other values become what it reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, partial
from typing import Annotated, Any

from msgspec import Meta

from dcmon.ingestion.rejected_row import RejectedRow, RejectionReason
from dcmon.ingestion.values import conversion, lists
from dcmon.ingestion.values.refusal import ValueRefused
from dcmon.ingestion.values.rules import JSON_RULES
from dcmon.storage.columns import TYPES

CLASS_VALUE = str | int | float | bool  # as services send classes; decoding them costs no more than text alone

_ACCEPTED_TYPES: Mapping[str, frozenset[type]] = {
    "numeric": frozenset({float, int}),
    "boolean": frozenset({bool}),
    "categorical": frozenset({str}),
    "text": frozenset({str}),
}


class FieldRole(StrEnum):
    """What a field is beside its type."""

    ID = "id"
    CLASS = "class"
    PROBABILITIES = "probabilities"


@dataclass(frozen=True)
class Field:
    """A field of a row. `length` is the required length of a list, `classes` are those of probabilities."""

    name: str
    kind: str
    is_required: bool = True
    is_nullable: bool = True
    length: int | None = None
    role: FieldRole | None = None
    classes: tuple[str, ...] = ()

    @property
    def python(self) -> Any:
        """The Python type that msgspec decodes the field to."""
        python = TYPES[self.kind].python
        if self.length is not None:
            python = Annotated[list[float], Meta(min_length=self.length, max_length=self.length)]
        elif self.role == FieldRole.CLASS:
            python = CLASS_VALUE
        return python | None if self.is_nullable else python

    def convert(self, value: Any) -> Any:
        """Return a value of JSON in the form that the Python type accepts. Raises RejectedRow."""
        if type(value) in self.accepted_types:
            return value
        if value is None:
            raise RejectedRow(RejectionReason.WRONG_TYPE, self.name, "Expected a value, got null.")
        try:
            return self._converter(value)
        except ValueRefused as refused:
            file_detail = refused.detail(value, of_file=True)
            raise RejectedRow(refused.reason, self.name, refused.detail(value), file_detail) from refused

    @cached_property
    def accepted_types(self) -> frozenset[type]:
        """The types whose values need no conversion: most values of a row are of these."""
        return _ACCEPTED_TYPES.get(self.kind, frozenset()) | ({type(None)} if self.is_nullable else set())

    @cached_property
    def _converter(self) -> conversion.Converter:
        if self.role == FieldRole.PROBABILITIES and self.length:
            return partial(lists.probabilities, rules=JSON_RULES, length=self.length, classes=self.classes)
        return conversion.converter(conversion.ID if self.role == FieldRole.ID else self.kind, JSON_RULES)

"""Matchers decide which alerts a silence or a mute time is about.

Examples: model=credit, severity!=critical, monitor=~"Drift.*".
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from dcmon import errors

LABELS = ("model", "version", "monitor", "check", "rule", "severity", "alert")
LONGEST_VALUE = 500

Labels = Mapping[str, str | tuple[str, ...]]  # A label with several forms matches by any of them.


class MatchOperator(StrEnum):
    """How a matcher compares a label with its value."""

    EQUAL = "="
    NOT_EQUAL = "!="
    MATCH = "=~"
    NO_MATCH = "!~"

    @property
    def is_negated(self) -> bool:
        """True if labels must differ from the value, or must not match it."""
        return self in (MatchOperator.NOT_EQUAL, MatchOperator.NO_MATCH)

    @property
    def is_regex(self) -> bool:
        """True if the value is a regular expression."""
        return self in (MatchOperator.MATCH, MatchOperator.NO_MATCH)


@dataclass(frozen=True)
class Matcher:
    """A comparison of one label of an alert with a value or a regular expression.

    A regular expression must match the whole label.
    """

    label: str
    operator: MatchOperator
    value: str

    def matches(self, labels: Labels) -> bool:
        """Return True if an alert with these labels matches."""
        forms = labels.get(self.label, "")
        is_equal = any(self._is_equal(form) for form in ((forms,) if isinstance(forms, str) else forms))
        return is_equal is not self.operator.is_negated

    def _is_equal(self, form: str) -> bool:
        return re.fullmatch(self.value, form) is not None if self.operator.is_regex else form == self.value

    def __str__(self) -> str:
        return f"{self.label}{self.operator}{self.value}"


def parse(text: str) -> Matcher:
    """Parse a matcher as an operator types it.

    The value may be in quotes. Raises InvalidInput.
    """
    match = re.fullmatch(r"\s*(\w+)\s*(=~|!~|!=|=)\s*(.*?)\s*", text, re.DOTALL)
    if match is None:
        raise errors.InvalidInput(
            f"{text!r} is not a matcher. A matcher looks like model=credit, severity!=critical or 'monitor=~Drift.*',"
            " in quotes."
        )
    label, operator, value = match[1], MatchOperator(match[2]), match[3]
    if label not in LABELS:
        raise errors.UnknownChoice("label of alerts", label, LABELS)
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    if len(value) > LONGEST_VALUE:
        raise errors.InvalidInput(f"A matcher's value has at most {LONGEST_VALUE} characters.")
    if operator.is_regex:
        try:
            re.compile(value)
        except re.error as error:
            raise errors.InvalidInput(f"{value!r} is not a regular expression: {error}.") from None
    return Matcher(label, operator, value)


def match(matchers: Sequence[str], labels: Labels) -> bool:
    """Return True if all matchers match these labels.

    Without matchers, every alert matches.
    """
    return all(parse(matcher).matches(labels) for matcher in matchers)

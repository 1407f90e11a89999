"""Matchers: which alerts a silence or a mute time is about: model=credit, severity!=critical, monitor=~"Drift.*"."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dcmon import errors

LABELS = ("model", "version", "monitor", "check", "rule", "severity", "alert")
SIGNS = ("=~", "!~", "!=", "=")
LONGEST = 500

Labels = Mapping[str, str | tuple[str, ...]]  # a label that has more than one form fits by any of them


@dataclass(frozen=True)
class Matcher:
    """One label of an alert compared with a value, or with a regular expression that must fit all of it."""

    label: str
    sign: str
    value: str

    def matches(self, labels: Labels) -> bool:
        """Whether an alert of these labels is meant."""
        found = labels.get(self.label, "")
        fits = any(self._fits(form) for form in ((found,) if isinstance(found, str) else found))
        return fits is (not self.sign.startswith("!"))

    def _fits(self, form: str) -> bool:
        return re.fullmatch(self.value, form) is not None if self.sign.endswith("~") else form == self.value

    def __str__(self) -> str:
        return f"{self.label}{self.sign}{self.value}"


def parse(text: str) -> Matcher:
    """A matcher as a person writes it; quotes around the value are taken off. Raises InvalidInput."""
    found = re.fullmatch(r"\s*(\w+)\s*(=~|!~|!=|=)\s*(.*?)\s*", text, re.DOTALL)
    if found is None:
        raise errors.InvalidInput(
            f"{text!r} is no matcher. It looks like model=credit, severity!=critical or 'monitor=~Drift.*', in quotes."
        )
    label, sign, value = found.groups()
    if label not in LABELS:
        raise errors.InvalidInput(f"An alert has no {label!r} to match: it has {', '.join(LABELS)}.")
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    if len(value) > LONGEST:
        raise errors.InvalidInput(f"A matcher's value has at most {LONGEST} characters.")
    if sign.endswith("~"):
        try:
            re.compile(value)
        except re.error as error:
            raise errors.InvalidInput(f"{value!r} is no regular expression: {error}.") from None
    return Matcher(label, sign, value)


def match(matchers: Sequence[str], labels: Labels) -> bool:
    """Whether an alert of these labels is meant by all of the matchers; without any, every alert is."""
    return all(parse(each).matches(labels) for each in matchers)

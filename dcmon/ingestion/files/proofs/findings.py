"""Texts of a file that prove how it writes its values, and what follows from them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dcmon.ingestion.values.rules import ProofText, ValueRules

Place = Callable[[int], str]  # where a row is, by its number: line 5
_MARK_NAMES = {" ": "space", "'": "apostrophe"}


class Example(NamedTuple):
    """A text of a file, with its field and the number of its row."""

    text: str
    field: str
    row: int


class Finding(NamedTuple):
    """What a text of a file proves: an option that would say the same, its value, and the text."""

    option: str
    value: str
    example: Example

    def sentence(self, place: Place) -> str:
        """Return what is said about it, such as: date order of at: day first (13/02/2026 in line 5)."""
        text, where = self.example.text, place(self.example.row)
        if self.option == "date_order":
            return f"date order of {self.example.field}: {self.value} first ({text} in {where})"
        kind = "decimal mark" if self.option == "decimal" else "thousands mark"
        return f"{kind}: {_MARK_NAMES.get(self.value, self.value)} ({text} of {self.example.field} in {where})"


def escaped(name: str) -> str:
    """Return a field's name as the template of a question has it."""
    return name.replace("{", "{{").replace("}", "}}")


class Question(NamedTuple):
    """What a file leaves open, with the texts that show it. The template has {} for each of them."""

    template: str
    examples: Sequence[Example]

    def sentence(self, place: Place) -> str:
        """Return the question, with the place of each example."""
        return self.template.format(*(f"{example.text!r} in {place(example.row)}" for example in self.examples))


@dataclass(frozen=True)
class Proofs:
    """What the content of a file proves: rules of single fields, the findings behind them, and open questions.

    `omitted_fields` are null in a row that does not have them.
    """

    field_rules: Mapping[str, ValueRules] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    questions: Sequence[Question] = ()
    omitted_fields: frozenset[str] = frozenset()

    def rows(self) -> frozenset[int]:
        """Return the numbers of the rows that are named."""
        asked = (example.row for question in self.questions for example in question.examples)
        return frozenset([finding.example.row for finding in self.findings]).union(asked)

    def sentences(self, place: Place) -> list[str]:
        """Return what to say about the file."""
        proven = [finding.sentence(place) for finding in self.findings]
        return [*proven, *(question.sentence(place) for question in self.questions)]


class TextBlock(NamedTuple):
    """Consecutive texts of a field, one in each line, and the numbers of their rows."""

    field: str
    lines: str
    rows: Sequence[int]

    def example(self, proof: ProofText) -> Example:
        """Return a text that was found in the lines, with its place in the file."""
        return Example(proof.text, self.field, self.rows[proof.number])

"""The marks in the numbers of a file. What one column proves holds for the columns that prove nothing themselves."""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from dcmon.ingestion.files.dialect import Dialect
from dcmon.ingestion.files.proofs.findings import Example, Finding, Proofs, Question, TextBlock, escaped
from dcmon.ingestion.values import number_marks
from dcmon.ingestion.values.number_marks import COMMA, DECIMALS, DOUBTFUL, POINT, THOUSANDS
from dcmon.ingestion.values.rules import ValueRules


@dataclass
class Marks:
    """The first text of a column for each mark that it proves. `doubtful`: those like 1,234, which prove none."""

    decimals: dict[str, Example] = field(default_factory=dict)
    thousands: dict[str, Example] = field(default_factory=dict)
    doubtful: dict[str, Example] = field(default_factory=dict)

    def add(self, block: TextBlock) -> None:
        """Look at further texts of the column. A mark that is proven already costs nothing."""
        for known, patterns in ((self.decimals, DECIMALS), (self.thousands, THOUSANDS), (self.doubtful, DOUBTFUL)):
            for pattern in patterns:
                if pattern.mark not in known and (proof := number_marks.first_proof(pattern, block.lines)):
                    known[pattern.mark] = block.example(proof)

    @property
    def is_contradictory(self) -> bool:
        """True if the column has numbers of two kinds, such as 1,5 and 2.5."""
        has_both = not self.decimals.keys().isdisjoint(self.thousands)
        return has_both or len(self.decimals) > 1 or len(self.thousands) > 1


def rules(
    columns: Mapping[str, Marks], default: ValueRules, dialect: Dialect, categories: Iterable[str] = ()
) -> Proofs:
    """Return the rules of columns of numbers, and of categories, which may be numbers.

    What the dialect says needs no proof.
    """
    consistent = {name: marks for name, marks in columns.items() if not marks.is_contradictory}
    decimals = _first_by_mark(marks.decimals for marks in consistent.values())
    thousands = _first_by_mark(marks.thousands for marks in consistent.values())
    by_field: dict[str, ValueRules] = {}
    used: dict[tuple[str, str], Example] = {}
    for name, marks in consistent.items():
        decimal = dialect.decimal or _only(marks.decimals) or _only(decimals) or default.decimal_mark
        between = dialect.thousands or _only(marks.thousands) or _only(thousands) or default.thousands_mark
        if between == decimal:
            decimal, between = (default.decimal_mark, between) if dialect.thousands else (decimal, "")
        by_field[name] = replace(default, decimal_mark=decimal, thousands_mark=between)
        if decimal != default.decimal_mark and dialect.decimal is None:
            used.setdefault(("decimal", decimal), marks.decimals.get(decimal) or decimals[decimal])
        if between != default.thousands_mark and dialect.thousands is None:
            used.setdefault(("thousands", between), marks.thousands.get(between) or thousands[between])
    if _only(decimals) == COMMA:
        by_field |= {name: replace(default, decimal_mark=COMMA) for name in categories}
    findings = [Finding(option, mark, example) for (option, mark), example in used.items()]
    changed = {name: own for name, own in by_field.items() if own != default}
    doubtful_marks = {COMMA, POINT} if COMMA in decimals else {COMMA}  # a point is doubtful beside decimal commas
    questions = [*_contradictions(columns, dialect), *_doubts(consistent, by_field, doubtful_marks)]
    return Proofs(changed, findings, questions)


def _contradictions(columns: Mapping[str, Marks], dialect: Dialect) -> Iterator[Question]:
    """Ask about columns whose numbers contradict each other."""
    for name, marks in columns.items():
        if marks.is_contradictory and dialect.decimal is None:
            examples = list({**marks.decimals, **marks.thousands}.values())[:2]
            template = f"{escaped(name)} has numbers with different marks, {{}} and {{}}: give --decimal."
            yield Question(template, examples)


def _doubts(
    columns: Mapping[str, Marks], by_field: Mapping[str, ValueRules], doubtful_marks: Container[str]
) -> Iterator[Question]:
    """Ask about numbers that may be 1234 or 1.234, if nothing says which."""
    for name, marks in columns.items():
        for mark, example in marks.doubtful.items():
            is_usual = by_field[name].decimal_mark == POINT and not by_field[name].thousands_mark
            if mark in doubtful_marks and is_usual and not (mark == POINT and POINT in marks.decimals):
                readings = f"{example.text.replace(mark, '')} or {example.text.replace(mark, POINT)}"
                template = (
                    f"{escaped(name)} has {{}}, which may be {readings}: give --thousands {mark} or --decimal {mark}"
                )
                yield Question(template, [example])


def _only(marks: Mapping[str, Example]) -> str | None:
    return next(iter(marks)) if len(marks) == 1 else None


def _first_by_mark(columns: Iterable[Mapping[str, Example]]) -> dict[str, Example]:
    """Return the first example of each mark that columns prove."""
    first: dict[str, Example] = {}
    for column in columns:
        first = {**column, **first}
    return first

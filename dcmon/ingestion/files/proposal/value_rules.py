"""How each column of a file writes its numbers, as far as its values prove it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from dcmon.ingestion.files.dialect import Dialect
from dcmon.ingestion.files.proofs import marks
from dcmon.ingestion.files.proofs.findings import TextBlock
from dcmon.ingestion.files.proofs.marks import Marks
from dcmon.ingestion.files.proposal.profile import ColumnProfile, FileProfile
from dcmon.ingestion.values import number_marks
from dcmon.ingestion.values.rules import ValueRules

_NUMBER = re.compile(
    rf"\s*[-+]?\d[\d.,{number_marks.SPACES}{number_marks.APOSTROPHES}]*(?:[eE][-+]?\d+)?\s*%?\s*", re.ASCII
)
_DATE = re.compile(r"\d{1,2}\.\d{1,2}\.\d{2,4}", re.ASCII)


@dataclass(frozen=True)
class FileRules:
    """The rules of columns that write numbers with other marks, and the sentences about columns that prove nothing."""

    default: ValueRules
    by_column: Mapping[str, ValueRules]
    doubts: Mapping[str, str]

    def of(self, column: str) -> ValueRules:
        """Return the rules of a column."""
        return self.by_column.get(column, self.default)


def prove(content: FileProfile, dialect: Dialect) -> FileRules:
    """Look for marks in the numbers of all columns. What one column proves holds for those that prove nothing."""
    default = dialect.value_rules()
    columns = {name: _marks(profile) for name, profile in content.columns.items() if _has_numbers(profile)}
    proofs = marks.rules(columns, default, dialect)
    doubts = {question.examples[0].field: question.sentence(lambda row: "the file") for question in proofs.questions}
    return FileRules(default, proofs.field_rules, doubts)


def _has_numbers(profile: ColumnProfile) -> bool:
    """Return True if all values are texts that may be numbers, and some have marks."""
    if not profile.counts or not all(isinstance(value, str) for value in profile.counts):
        return False
    texts = list(profile.counts)
    return all(_NUMBER.fullmatch(text) and not _DATE.fullmatch(text) for text in texts) and (
        number_marks.may_have_other_marks("\n".join(texts)) or any("." in text for text in texts)
    )


def _marks(profile: ColumnProfile) -> Marks:
    texts = list(profile.counts)
    result = Marks()
    result.add(TextBlock(profile.name, "\n".join(texts), range(len(texts))))
    return result

"""The order of day and month in the dates of a file. Each column must prove its own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from dcmon.ingestion.files.proofs.findings import Example, Finding, Proofs, Question, TextBlock, escaped
from dcmon.ingestion.values import times
from dcmon.ingestion.values.rules import DateOrder, ValueRules


@dataclass
class Orders:
    """The first date of a column for each order that it proves, and the first that needs an order."""

    proven: dict[DateOrder, Example] = field(default_factory=dict)
    doubtful: Example | None = None

    def add(self, block: TextBlock) -> None:
        """Look at further texts of the column."""
        for order in DateOrder:
            if order not in self.proven and (proof := times.first_proof(order, block.lines)):
                self.proven[order] = block.example(proof)
        if self.doubtful is None and (proof := times.first_without_order(block.lines)):
            self.doubtful = block.example(proof)


def rules(columns: Mapping[str, Orders], default: ValueRules) -> Proofs:
    """Return the rules of columns of dates."""
    orders = {name: next(iter(column.proven)) for name, column in columns.items() if len(column.proven) == 1}
    by_field = {name: replace(default, date_order=order) for name, order in orders.items()}
    findings = [Finding("date_order", order, columns[name].proven[order]) for name, order in orders.items()]
    return Proofs(by_field, findings, list(_questions(columns)))


def _questions(columns: Mapping[str, Orders]) -> Iterator[Question]:
    for name, column in columns.items():
        if len(column.proven) > 1:
            examples = list(column.proven.values())
            template = f"{escaped(name)} has dates in different orders, {{}} and {{}}: give --date-order."
            yield Question(template, examples)
        elif not column.proven and column.doubtful:
            template = (
                f"No date of {escaped(name)} shows whether {{}} has the day first: give --date-order day or month."
            )
            yield Question(template, [column.doubtful])

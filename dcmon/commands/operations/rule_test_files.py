"""Run the rule tests of YAML files."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dcmon import file_errors
from dcmon.alerting import rule_tests

if TYPE_CHECKING:
    from dcmon.alerting.rule_tests import RuleTestResult


class FileOutcome(NamedTuple):
    """The outcome of one rule test, and the file that contains it."""

    file: Path
    outcome: "RuleTestResult"


def run(files: list[Path]) -> list[FileOutcome]:
    """Run the rule tests of YAML files. Raises FileMissing, FileRefused or InvalidInput."""
    outcomes: list[FileOutcome] = []
    for file in files:
        try:
            content = file.read_bytes()
        except OSError as error:
            raise file_errors.unreadable(file, error) from None
        outcomes += [FileOutcome(file, outcome) for outcome in rule_tests.run_all(content, file.name)]
    return outcomes

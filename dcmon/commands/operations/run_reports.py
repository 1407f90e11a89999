"""Reports of `monitor run` for cron and CI: exit code, JUnit XML, and summary and annotations of GitHub Actions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcmon import complete_files, file_errors
from dcmon.commands.views import github, junit
from dcmon.severity import Severity
from dcmon.states import ResultState

if TYPE_CHECKING:
    from dcmon.output import Output

VIOLATED, NO_VERDICT = 1, 8  # exit codes


@dataclass(frozen=True)
class Reports:
    """The reports to write. Violated rules below `fail_on` do not fail a monitor.

    `allows_no_verdict`: results without a verdict do not fail the run either, if another has one.
    """

    fail_on: Severity
    junit: Path | None = None
    summary: Path | None = None
    has_annotations: bool = False
    allows_no_verdict: bool = False

    @property
    def files(self) -> list[str]:
        """The files to write."""
        return [str(path) for path in (self.junit, self.summary) if path is not None]


def write(rows: Sequence[Mapping[str, Any]], reports: Reports, output: "Output") -> None:
    """Write the reports of judged results. Raises FileUnwritable if a file can't be written."""
    counted = [{**row, "violates": failing(row, reports.fail_on)} for row in rows]
    try:
        if reports.junit is not None:
            complete_files.write_text(reports.junit, junit.document(counted))
        if reports.summary is not None:
            with reports.summary.open("a", encoding="utf-8") as file:
                file.write(github.summary(rows, counted))
    except OSError as error:
        path = str(error.filename or reports.junit or reports.summary)
        raise file_errors.FileUnwritable(path=path, reason=error.strerror or str(error)) from error
    if reports.has_annotations:
        for annotation in github.annotations(counted):
            output.remark(annotation)


def exit_code(rows: Sequence[Mapping[str, Any]], reports: Reports) -> int:
    """Return 1 when a rule that counts is violated, 8 when a verdict is missing, else 0.

    Where missing verdicts are allowed, 8 when all are missing, because then nothing was watched, or when a check, a
    rule or the wait for a window failed.
    """
    if any(failing(row, reports.fail_on) for row in rows):
        return VIOLATED
    has_verdict = [row["state"] == ResultState.OK and not row["no_verdict"] for row in rows]
    if reports.allows_no_verdict:
        return 0 if any(has_verdict) and not any(row["failed"] for row in rows) else NO_VERDICT
    return 0 if rows and all(has_verdict) else NO_VERDICT


def failing(row: Mapping[str, Any], fail_on: Severity) -> list[str]:
    """Return the violated rules, each as "severity: metric", of this severity or a higher one."""
    levels = list(Severity)
    counting = levels[levels.index(fail_on) :]
    return [violation for violation in row["violates"] if violation.partition(":")[0] in counting]

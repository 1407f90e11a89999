"""The options of `monitor run` for cron and CI, parsed into one value."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dcmon.commands.shared.choices import choice_option
from dcmon.commands.shared.option_groups import option_group
from dcmon.severity import Severity

if TYPE_CHECKING:
    from dcmon.commands.operations.run_reports import Reports

FailOn = Annotated[
    str,
    choice_option(
        what="severity", known=Severity, help="Exit 1 only for violated rules of this severity or a higher one."
    ),
]
AllowNoVerdict = Annotated[
    bool,
    typer.Option(
        "--allow-no-verdict",
        help="Exit 0, not 8, when some windows have no verdict yet: too few rows, or no history.",
    ),
]
JUnit = Annotated[
    Path | None,
    typer.Option(
        "--junit", metavar="FILE", help="Also write JUnit XML, one test case per monitor; each run replaces it."
    ),
]
Summary = Annotated[
    bool, typer.Option("--github-summary", help="Also append Markdown to the file $GITHUB_STEP_SUMMARY.")
]
SummaryFile = Annotated[
    Path | None, typer.Option("--github-summary-file", envvar="GITHUB_STEP_SUMMARY", hidden=True, help="The file.")
]
Annotations = Annotated[
    bool, typer.Option("--github-annotations", help="Also print violated rules as annotations of GitHub Actions.")
]


def _parse_reports(
    fail_on: FailOn = Severity.LOW,
    allow_no_verdict: AllowNoVerdict = False,
    junit: JUnit = None,
    github_summary: Summary = False,
    github_summary_file: SummaryFile = None,
    github_annotations: Annotations = False,
) -> "Reports":
    """Parse which reports are written. Raises BadParameter or InvalidInput."""
    from dcmon.commands.operations.run_reports import Reports

    if github_summary and github_summary_file is None:
        message = "GITHUB_STEP_SUMMARY is not set: this is for steps of GitHub Actions."
        raise typer.BadParameter(message, param_hint="--github-summary")
    summary = github_summary_file if github_summary else None
    return Reports(Severity(fail_on), junit, summary, github_annotations, allow_no_verdict)


run_reports = option_group("reports", _parse_reports)

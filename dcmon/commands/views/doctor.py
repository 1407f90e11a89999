"""Findings of `dcmon doctor`, as rows and as text for people."""

from collections.abc import Sequence
from typing import Any

from dcmon.doctor.faults import FAULTS, Finding
from dcmon.formatting import count_of, format_moment
from dcmon.output import Copied, Lines, Page, Table


def report(findings: Sequence[Finding], remarks: Sequence[str], *, is_catalogue: bool, quiet: bool) -> Page:
    """Show findings, the most severe first, and remarks; or the catalogue of all faults."""
    if is_catalogue:
        return _catalogue()
    lines = [line for finding in findings for line in _lines(finding)]
    if findings:
        return Page([_row(finding) for finding in findings], [Lines(lines, hanging=4)], [_summary(findings), *remarks])
    healthy = [] if quiet else [f'No findings. {len(FAULTS)} faults are known: "dcmon doctor --list" shows them.']
    return Page([], [Lines(healthy)], remarks)


def _catalogue() -> Page:
    known = sorted(FAULTS.values(), key=lambda fault: fault.code)
    rows = [{"code": fault.code, "part": fault.part, "title": fault.title} for fault in known]
    return Page(rows, [Table(rows, ["code", "part", "title"], unfolded=["code"])])


def _summary(findings: Sequence[Finding]) -> str:
    return f'{count_of(len(findings), "finding")}. "dcmon docs doctor" explains the codes.'


def _lines(finding: Finding) -> list[str]:
    since = "" if finding.fact.since is None else f" Since {format_moment(finding.fact.since)}."
    return [
        f"[{finding.severity}] {finding.fault.code}: {finding.fault.title}.",
        f"    {finding.fact.sentence}{since}",
        Copied(f"    {finding.fact.command}"),
    ]


def _row(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.fault.code,
        "severity": finding.severity,
        "title": finding.fault.title,
        "organization": finding.fact.organization or None,
        "evidence": finding.fact.sentence,
        "command": finding.fact.command,
        "since": finding.fact.since,
    }

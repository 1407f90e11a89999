"""Examine the parts of an installation at the same time: one that hangs delays no other."""

import logging
import threading
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta

from dcmon import errors
from dcmon.doctor import (  # noqa: F401 - they register their faults
    audit_faults,
    endpoint_faults,
    file_faults,
    health_faults,
    kafka_faults,
    organization_faults,
    postgresql_faults,
    redis_faults,
    reference_faults,
    schema_faults,
    settings_faults,
)
from dcmon.doctor.faults import FAULTS, LOOK_FAILED, NEED_DATABASE, PART_HANGS, Fact, Finding, Part
from dcmon.doctor.health_faults import problems
from dcmon.doctor.installation import Installation
from dcmon.formatting import shell_argument
from dcmon.health.problem import ProblemName

log = logging.getLogger(__name__)
# Findings of one object, so that the command of one has that of the other, have one cause: only that of the first of
# these codes is shown.
ONE_CAUSE = (
    ProblemName.RECEIVER_FAILS.code,
    ProblemName.RECEIVER_UNREACHABLE.code,
    ProblemName.RECEIVER_PAUSED.code,
)


class _Inspection(threading.Thread):
    """The inspection of one part, in its own thread. It never raises; its findings grow while it runs."""

    def __init__(self, part: Part, installation: Installation) -> None:
        super().__init__(name=f"doctor: {part}", daemon=True)
        self.part, self.installation = part, installation
        self.findings: list[Finding] = []

    def run(self) -> None:
        for fault in [fault for fault in FAULTS.values() if fault.part == self.part and fault.look is not None]:
            assert fault.look is not None
            try:
                self.findings += [Finding(fault, fact) for fact in fault.look(self.installation)]
            except Exception as error:  # The other faults are looked for all the same.
                self._add_failure(fault.code, error)
        if self.part == Part.ORGANIZATIONS:
            self.findings += [_unread(name, reason) for name, reason in self.installation.unread.items()]
        if self.part in (Part.HEALTH, Part.POSTGRESQL):
            try:
                self.findings += problems(self.installation, is_connected=self.part == Part.HEALTH)
            except Exception as error:
                self._add_failure("health", error)

    def _add_failure(self, code: str, error: Exception) -> None:
        log.info("%s failed", code, exc_info=error)
        reason = (str(getattr(error, "orig", None) or error).strip() or type(error).__name__).splitlines()[0]
        fact = Fact(f"{code}: {reason}", f"dcmon -v doctor --code {code}" if code in FAULTS else "dcmon -v doctor")
        self.findings.append(Finding(LOOK_FAILED, fact))


def _unread(name: str, reason: str) -> Finding:
    """Return the finding that an organization was not examined, which may not be well."""
    command = f"dcmon doctor --org {shell_argument(name)}"
    return Finding(LOOK_FAILED, Fact(f"Organization {name} could not be examined: {reason}.", command, name))


def examine(installation: Installation, seconds: float) -> list[Finding]:
    """Look for all faults, each part for at most so many seconds; return the findings, the most severe first.

    Without settings only these are examined; without the database none of the parts that need it.
    """
    if installation.settings is None:
        return _examine([Part.SETTINGS], installation, seconds)
    with suppress(errors.DcmonError):
        _ = installation.engine  # opened here, so that threads share one; why it can't be is a finding
    local = [part for part in Part if not any(part in parts for parts in NEED_DATABASE)]
    findings = _examine(local, installation, seconds)
    for parts in NEED_DATABASE:
        if not any(map(_is_blocking, findings)):
            findings += _examine(parts, installation, seconds)
    return sorted(_once(findings), key=lambda finding: finding.rank)


def _once(findings: Iterable[Finding]) -> set[Finding]:
    """Return the findings without those that another one says, too.

    Of these, one that knows its start says most, and then one of the health checks, which has a severity of its own.
    """
    different = set(findings)
    of_one_cause = [finding for finding in different if finding.fault.code in ONE_CAUSE]
    of_one_cause.sort(key=_knowledge)
    chosen = list[Finding]()
    for finding in of_one_cause:
        if not any(_has(other.fact.command, finding.fact.command) for other in chosen):
            chosen.append(finding)
    return (different - set(of_one_cause)) | set(chosen)


def _has(longer: str, command: str) -> bool:
    """Return True if commands that are typed one after the other have a command, or all of these."""
    return f" && {command} && " in f" && {longer} && "


def _knowledge(finding: Finding) -> tuple[int, bool, bool]:
    """Sort key of findings with one cause: the one that says most first."""
    return ONE_CAUSE.index(finding.fault.code), finding.fact.since is None, finding.fact.severity is None


def _is_blocking(finding: Finding) -> bool:
    if finding.fault is PART_HANGS:
        return finding.fact.sentence.startswith((Part.POSTGRESQL, Part.SCHEMAS))
    return finding.fault.code in (*postgresql_faults.BLOCKING, *schema_faults.BLOCKING)


def _examine(parts: Iterable[Part], installation: Installation, seconds: float) -> list[Finding]:
    inspections = [_Inspection(part, installation) for part in parts]
    for inspection in inspections:
        inspection.start()
    deadline = time.monotonic() + seconds
    findings = list[Finding]()
    for inspection in inspections:
        inspection.join(max(0.0, deadline - time.monotonic()))
        findings += list(inspection.findings)
        if inspection.is_alive():
            sentence = f"{inspection.part} did not answer within {seconds:g} s; the other parts are examined."
            findings.append(Finding(PART_HANGS, Fact(sentence, "dcmon doctor --timeout 2m")))
    return findings


def choose(findings: Sequence[Finding], wanted: Collection[str], org: str | None) -> list[Finding]:
    """Return the findings with one of the codes, or all without codes; those of other organizations are left out."""
    return [
        finding
        for finding in findings
        if (not wanted or finding.fault.code in wanted) and (org is None or finding.fact.organization in ("", org))
    ]


def codes() -> list[str]:
    """Return the codes of all faults, by alphabet."""
    return sorted(FAULTS)


def parse_timeout(timeout: timedelta) -> float:
    """Return a timeout in seconds. Raises InvalidInput if it is zero or less."""
    if timeout <= timedelta():
        raise errors.InvalidInput("--timeout must be longer than 0 s.")
    return timeout.total_seconds()

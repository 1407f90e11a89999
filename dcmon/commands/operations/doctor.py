"""Examine this installation."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from dcmon import errors
from dcmon.doctor import inspection
from dcmon.doctor.faults import Finding
from dcmon.doctor.installation import Installation

if TYPE_CHECKING:
    from dcmon.app import App


class Diagnosis(NamedTuple):
    """Findings, and remarks on what could not be examined, and is no fault."""

    findings: Sequence[Finding] = ()
    remarks: Sequence[str] = ()


def examine(app: "App", codes: Sequence[str], timeout: timedelta, *, is_skipped: bool) -> Diagnosis:
    """Return the findings with one of the codes, or all, of the organization of --org, or all; none if it is skipped.

    Raises NotFound for an unknown organization, InvalidInput for a timeout.
    """
    seconds = inspection.parse_timeout(timeout)
    if is_skipped:
        return Diagnosis()
    installation = _installation(app)
    try:
        findings = inspection.examine(installation, seconds)
        _require_org(installation, app.typed_org)
    finally:
        installation.close()
    return Diagnosis(inspection.choose(findings, codes, app.typed_org), installation.remarks)


def _installation(app: "App") -> Installation:
    try:
        return Installation(app.settings)
    except errors.DcmonError as error:
        return Installation(None, error)


def _require_org(installation: Installation, name: str | None) -> None:
    """Raise OrganizationNotFound if --org names none; if that can't be known, the findings say it."""
    known = installation.__dict__.get("organizations")
    if name is not None and known is not None and all(org.name != name for org in known):
        raise errors.OrganizationNotFound(name=name, known=[org.name for org in known])

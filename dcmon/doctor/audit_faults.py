"""What `dcmon audit` finds, of the organizations whose rows can be counted in seconds."""

import time
from collections.abc import Iterator, Sequence

from sqlalchemy.exc import DBAPIError

from dcmon.db import Organization
from dcmon.doctor.faults import Fact, Part, fault
from dcmon.doctor.installation import Installation
from dcmon.formatting import count_of, shell_argument
from dcmon.ingestion import audit_reader
from dcmon.ingestion.audit_reader import AuditResult
from dcmon.severity import Severity

SECONDS, STATEMENT_SECONDS = 5.0, 2  # of all organizations, and of one statement
ADVICE = 'left out of the audit, as counting takes too long for dcmon doctor: "dcmon audit" counts all rows.'


@fault("rows-differ", "Rows, ledgers and offsets do not agree", Part.AUDIT, Severity.HIGH)
def differences(installation: Installation) -> Iterator[Fact]:
    """Rows were lost or stored twice, or another program wrote to dcmon's tables."""
    orgs = installation.organizations_with("batches")
    results = _results(installation, orgs)
    for result in results:
        if result.findings:
            yield _fact(result)
    counted = sum(result.org is not None and result.left_out is None for result in results)
    countable = len(orgs) - sum(result.left_out is not None and not result.is_timed_out for result in results)
    if counted < countable:
        installation.remarks.append(f"{count_of(countable - counted, 'organization')} {ADVICE}")


def _results(installation: Installation, orgs: Sequence[Organization]) -> Sequence[AuditResult]:
    """Return the results of as many organizations as can be audited in time."""
    engine, deadline = installation.open_engine(STATEMENT_SECONDS), time.monotonic() + SECONDS
    results = list[AuditResult]()
    try:
        for result in audit_reader.audits(engine, orgs):
            results.append(result)
            if time.monotonic() > deadline:
                break
    except DBAPIError:  # what all organizations share can't be read in time
        pass
    finally:
        engine.dispose()
    return results


def _fact(result: AuditResult) -> Fact:
    first, count = result.findings[0], len(result.findings) - 1
    more = f" And {count_of(count, 'more difference')}." if count else ""
    name = "" if result.org is None else result.org.name
    owner = f" of {name}" if name else ""
    command = f"dcmon audit --org {shell_argument(name)}" if name else "dcmon audit"
    return Fact(f"{first.where}{owner}: {first.message}{more}", command, name)

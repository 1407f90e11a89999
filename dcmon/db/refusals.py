"""Translate what PostgreSQL refuses because of the values of a statement into dcmon's own errors."""

import psycopg
from sqlalchemy.exc import DBAPIError, StatementError

from dcmon import errors

_UNUSABLE = (psycopg.DataError, psycopg.errors.ProgramLimitExceeded, psycopg.errors.StatementTooComplex)


def to_refusal(error: BaseException) -> errors.DcmonError | None:
    """Return the error for the operator or client; None if the values of the statement are not the reason.

    Call it where an error leaves dcmon: the endpoint and the command line. Code in between may handle an error of
    psycopg itself.
    """
    if isinstance(error, StatementError) and isinstance(error.orig, errors.DcmonError):
        return error.orig
    original = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(original, psycopg.errors.UniqueViolation | psycopg.errors.ExclusionViolation):
        return errors.CreatedMeanwhile(what=_object(original))
    if isinstance(original, psycopg.errors.ForeignKeyViolation):
        return errors.DeletedMeanwhile(what=_object(original))
    if isinstance(original, psycopg.IntegrityError):
        return errors.InvalidInput(f"The {_object(original)} can't have these values. Check the fields that you sent.")
    if isinstance(original, _UNUSABLE):
        reason = (original.diag.message_primary or str(original)).splitlines()[0]
        return errors.InvalidInput(f"PostgreSQL can't use a value: {reason}. Correct the value and try again.")
    if isinstance(original, psycopg.errors.DeadlockDetected | psycopg.errors.SerializationFailure):
        return errors.Locked()
    return None


def _object(error: psycopg.Error) -> str:
    """Return what a row of the table of an error is, in words: "alert rule" for alert_rules."""
    table = (error.diag.table_name or "object").replace("_", " ")
    return table.removesuffix("s") if not table.endswith("ss") else table

"""Translate what PostgreSQL refuses because of the values of a statement into dcmon's own errors."""

import re

import psycopg
from sqlalchemy.exc import DBAPIError, InvalidRequestError, NoResultFound, StatementError
from sqlalchemy.orm.exc import ObjectDeletedError, StaleDataError

from dcmon import errors

_UNUSABLE = (psycopg.DataError, psycopg.errors.ProgramLimitExceeded, psycopg.errors.StatementTooComplex)
_LOCKED = (
    psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure, psycopg.errors.LockNotAvailable,
)  # fmt: skip
# What SQLAlchemy raises, among other things, if another transaction deletes a row that was read, before it is read
# again or changed.
ROW_ERRORS = (InvalidRequestError, StaleDataError)
# Tables that are created for each model or version, and dropped with it.
_OF_DELETED = re.compile(r'relation "(samples|labels|reference|ids|orphan_labels)_\d')


def vanished() -> errors.NotFound:
    """Return the error for an object that was deleted while it was used."""
    return errors.NotFound("The object was deleted meanwhile. List what exists, and try again.")


def to_refusal(error: BaseException) -> errors.DcmonError | None:
    """Return the error for the operator or client; None if the values of the statement are not the reason.

    Call it where an error leaves dcmon: the endpoint and the command line. Code in between may handle an error of
    psycopg itself.
    """
    if isinstance(error, StatementError) and isinstance(error.orig, errors.DcmonError):
        return error.orig
    if _lacks_row(error):
        return vanished()
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
    if isinstance(original, psycopg.errors.UndefinedTable) and _OF_DELETED.search(str(original)):
        return vanished()
    if isinstance(original, _LOCKED):
        return errors.Locked()
    return None


def _lacks_row(error: BaseException) -> bool:
    if isinstance(error, NoResultFound | StaleDataError | ObjectDeletedError):
        return True
    return isinstance(error, InvalidRequestError) and str(error).startswith("Could not refresh instance")


def _object(error: psycopg.Error) -> str:
    """Return what a row of the table of an error is, in words: "alert rule" for alert_rules."""
    table = (error.diag.table_name or "object").replace("_", " ")
    return table.removesuffix("s") if not table.endswith("ss") else table

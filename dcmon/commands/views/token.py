"""API tokens, as rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dcmon.tenancy import tokens

if TYPE_CHECKING:
    from dcmon.app import App


def rows(app: "App") -> Sequence[dict[str, Any]]:
    """List the tokens of an organization, without their secrets."""
    org = app.organization()
    with app.public() as session:
        return tokens.entries(session, org.id)


def detail(app: "App", typed: str) -> dict[str, Any]:
    """Read a token, found by its prefix or name. Raises TokenNotFound or InvalidInput."""
    org = app.organization()
    with app.public() as session:
        prefix = tokens.find_named(session, org.id, typed).prefix
        return next(row for row in tokens.entries(session, org.id) if row["prefix"] == prefix)

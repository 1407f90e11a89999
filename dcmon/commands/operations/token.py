"""Create, revoke and import API tokens."""

import sys
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcmon import errors, file_errors
from dcmon.commands.shared.dry_run_output import changes_are
from dcmon.tenancy import imported_tokens, organizations, permissions, tokens
from dcmon.tenancy.permissions import Scope

if TYPE_CHECKING:
    from dcmon.app import App

MAX_BYTES = 100_000_000  # of a file with tokens
DEFAULT_NAME = "sdk"  # several tokens may have it: no person gave it


def parse_scope(name: str) -> Scope:
    """Return the scope of that name. Raises InvalidInput."""
    try:
        return Scope(name)
    except ValueError as error:
        raise errors.UnknownChoice("scope", name, Scope) from error


def create(app: "App", typed: str | None, user: str | None, lifetime: timedelta | None, scope: str) -> dict[str, Any]:
    """Create a token for a member, or for the owner if `user` is None. Raises NotFound, InvalidInput or Conflict.

    `typed`: its name, if one was typed. `lifetime`: how long it lives; None: for ever.
    """
    parsed, name = parse_scope(scope), DEFAULT_NAME if typed is None else typed
    org = app.organization()
    with app.public() as session:
        member = organizations.member(session, org.id, user) if user else organizations.owner(session, org.id)
        if typed is not None:
            tokens.require_free_name(session, org.id, typed)
        token = tokens.create(session, org.id, member.id, name, lifetime, parsed)
        expires_at = tokens.expiry(session, org.id, token)
        row = {"name": name, "user": member.email, "scope": parsed, "expires_at": expires_at}
    if app.effects is not None:  # neither prefix nor token are those of the token that is created later
        return row
    return {"prefix": token.rpartition("_")[0], **row, "token": token}


def find(app: "App", typed: str) -> str:
    """Return the prefix of a token, found by its prefix or name. Raises TokenNotFound or InvalidInput."""
    org = app.organization()
    with app.public() as session:
        return tokens.find_named(session, org.id, typed).prefix


def rename(app: "App", typed: str, name: str) -> dict[str, Any]:
    """Rename a token, found by its prefix or name. Raises TokenNotFound, InvalidInput or Conflict."""
    org, prefix = app.organization(), find(app, typed)
    with app.public() as session:
        old_name = tokens.rename(session, org.id, typed, name)
    return {"prefix": prefix, "name": name, "old_name": old_name}


def revoke(app: "App", typed: str) -> dict[str, Any]:
    """Revoke a token, found by its prefix or name. Raises TokenNotFound or InvalidInput."""
    org = app.organization()
    changes_are(app.output, "tokens", "delete {}")
    with app.public() as session:
        token = tokens.revoke(session, org.id, typed)
    return {"deleted": token.prefix, "name": token.name}


def import_tokens(app: "App", path: str, role: str) -> list[dict[str, Any]]:
    """Import tokens of the old system, one of each line of a file or of stdin.

    Raises InvalidInput, FileMissing or FileRefused. Tokens come from a file, because arguments are shown by ps and kept
    in the history of a shell.
    """
    org, parsed = app.organization(), permissions.parse_role(role)
    with ExitStack() as stack, app.public() as session:
        return [asdict(row) for row in imported_tokens.import_lines(session, org.id, _lines(path, stack), parsed)]


def _lines(path: str, stack: ExitStack) -> Iterable[str]:
    if path == "-":
        return sys.stdin
    try:
        if Path(path).stat().st_size > MAX_BYTES:
            raise file_errors.FileRefused(path=path, reason=f"it has more than {MAX_BYTES:,} bytes.")
        return stack.enter_context(Path(path).open(encoding="utf-8-sig", errors="replace"))
    except OSError as error:
        raise file_errors.unreadable(path, error) from error

"""Keys that encrypt secrets in the database."""

import typer

from dcmon.commands.shared.changes import changing
from dcmon.commands.shared.groups import group

app = group(__doc__)


@app.command()
def create(ctx: typer.Context) -> None:
    """Print a new key for DCMON_SECRET_KEYS; nothing else changes. Example: dcmon secret-key create"""
    from dcmon.db import encryption

    ctx.obj.output.value({"key": encryption.new_key()})


@app.command()
@changing
def rotate(ctx: typer.Context) -> None:
    """Encrypt the secrets of receivers and the keys of object stores with the first key of DCMON_SECRET_KEYS.

    Put the new key before the old one in the settings of all processes, restart them, rotate, then remove the old key.
    Without keys, secrets that are encrypted can't be read. Example: dcmon secret-key rotate --dry-run
    """
    from dcmon.commands.operations import secret_key as operation

    columns = {"organization": "", "receivers": "receivers encrypted", "store_keys": "keys of object stores"}
    ctx.obj.output.table(operation.rotate(ctx.obj), columns)

"""Backups of all organizations in one file."""

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.changes import counting
from dcmon.commands.shared.groups import group
from dcmon.commands.shared.written_files import report

app = group(__doc__)


@app.command()
@counting
def create(
    ctx: typer.Context,
    file: options.WrittenFile,
    without_secrets: options.WithoutSecrets = False,
    passphrase_file: options.PassphraseFile = None,
    replace: options.Replace = False,
    dry_run: options.DryRun = False,
) -> None:
    """Write all organizations, or that of --org, to a file, while dcmon runs: the state of one moment.

    Secrets of receivers are encrypted with the key of this installation or a passphrase; keep it apart from the file.

    With --dry-run, all of it is read, counted and packed, and nothing is written.

    Exit 8: an organization is missing in the file, because its schema has another revision.

    Example: dcmon backup create dcmon-backup.tar.gz --without-secrets
    """
    from dcmon.commands.operations import transfer as operation

    secrets = operation.SecretOptions(passphrase_file, without_secrets)
    row = operation.back_up(ctx.obj, file, secrets, operation.FileOptions(replace, dry_run))
    report(ctx.obj.output, file, row)
    if row["missing"]:
        raise typer.Exit(8)


@app.command()
def verify(ctx: typer.Context, file: options.ReadFile) -> None:
    """Read a file to its end and compare its checksums; no database is needed.

    Example: dcmon backup verify dcmon-backup.tar.gz
    """
    from dcmon.commands.operations import transfer as operation

    ctx.obj.output.value(operation.check(file))


@app.command()
@counting
def restore(
    ctx: typer.Context,
    file: options.ReadFile,
    without_secrets: options.NoSecrets = False,
    passphrase_file: options.PassphraseFile = None,
    dry_run: options.DryRun = False,
) -> None:
    """Restore all organizations into a database without any, or that of --org, which was deleted here.

    Everything becomes visible at the end, or nothing: a restore that was killed can be repeated. With --dry-run, the
    file is only read to its end and compared with its checksums and the database.

    Example: dcmon backup restore dcmon-backup.tar.gz
    """
    from dcmon.commands.operations import transfer as operation

    secrets = operation.SecretOptions(passphrase_file, without_secrets)
    ctx.obj.output.value(operation.restore(ctx.obj, file, secrets, dry_run=dry_run))

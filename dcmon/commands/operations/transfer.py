"""Export and import organizations, and create, check and restore backups."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from dcmon.commands.shared.dry_run_output import would
from dcmon.embedded import own_key
from dcmon.formatting import command_prefix, count_of, format_bytes, shell_argument
from dcmon.transfer import backups, organization_files
from dcmon.transfer.organization_files import STANDARD, Summary
from dcmon.transfer.organization_files import FileOptions as FileOptions
from dcmon.transfer.organization_files import SecretOptions as SecretOptions
from dcmon.transfer.untrusted import Inactive

if TYPE_CHECKING:
    from dcmon.app import App


def export(app: "App", name: str, path: str, secrets: SecretOptions, file: FileOptions) -> dict[str, Any]:
    """Write an organization to a file. Raises what organization_files.export raises."""
    org = app.organization(name)
    summary = organization_files.export(app.engine, org, path, secrets, file)
    _say_what_is_written(app, path, summary, secrets, file)
    return {"name": org.name, "file": path, **_counts(summary), "bytes": summary.written}


def _say_what_is_written(app: "App", path: str, summary: Summary, secrets: SecretOptions, file: FileOptions) -> None:
    """Say which key a new file needs; of a dry run what the file would have."""
    if not file.is_dry_run:
        return _name_key(app, secrets)
    organizations, rows = count_of(summary.organizations, "organization"), count_of(summary.rows, "row")
    tables, size = count_of(summary.tables, "table"), format_bytes(summary.written)
    place = "stdout" if path == STANDARD else path
    return would(app.output, f"write {organizations} with {tables}, {rows} and {size} to {place}")


@dataclass(frozen=True)
class ImportOptions:
    """What an operator typed about an import. `name`: None for that in the file. `dry_run`: store nothing.

    `is_trusted`: command receivers and sources stay active.
    """

    name: str | None = None
    dry_run: bool = False
    is_trusted: bool = False


def import_(app: "App", path: str, secrets: SecretOptions, typed: ImportOptions) -> dict[str, Any]:
    """Import an organization, or count what would be imported. Raises what organization_files.import_ raises."""
    if typed.dry_run:
        expected = organization_files.preview(app.engine, path, typed.name, secrets)
        inactive = {} if typed.is_trusted else _inactive(expected.name, expected.inactive)
        row = {"name": expected.name, "file": path, **_counts(expected.summary)}
        would(app.output, f"add organization {expected.name!r} with {count_of(expected.summary.samples, 'sample')}")
        return row | {"new_users": expected.new_users, "tokens_left_out": expected.tokens_left_out} | inactive
    imported = organization_files.import_(app.engine, path, typed.name, secrets, is_trusted=typed.is_trusted)
    row = {"name": imported.name, "file": path, **_counts(imported.summary)}
    return row | {"tokens_left_out": imported.tokens_left_out} | _inactive(imported.name, imported.inactive)


def _inactive(name: str, inactive: Inactive) -> dict[str, Any]:
    """Return what is imported inactive as the commands that activate it; empty if there is nothing."""
    prefix = command_prefix(name)
    commands = [f"{prefix} receiver resume {shell_argument(receiver)}" for receiver in sorted(inactive.receivers)]
    commands += [f"{prefix} source resume {shell_argument(source)}" for source in sorted(inactive.sources)]
    return {"left_inactive": commands} if commands else {}


def back_up(app: "App", path: str, secrets: SecretOptions, file: FileOptions) -> dict[str, Any]:
    """Back up all organizations, or that of --org; say why some are missing. Raises what backups.create raises."""
    with app.output.progress("organizations", counts=True) as show:
        summary = backups.create(app.engine, path, secrets, only=app.typed_org, file=file, show=show)
    _say_what_is_written(app, path, summary, secrets, file)
    for name, reason in summary.missing.items():
        app.output.remark(f"Organization {name!r} is not in the file: {reason}")
    counts = {**_counts(summary), "bytes": summary.written}
    return {"file": path, "organizations": summary.organizations, "missing": [*summary.missing], **counts}


def _name_key(app: "App", secrets: SecretOptions) -> None:
    """Say which key a file needs, while it can still be copied: a new machine does not have it."""
    if secrets.are_left_out or secrets.passphrase_file is not None:
        return
    is_set = app.settings.secret_keys is not None
    key = "the first key of DCMON_SECRET_KEYS" if is_set else f"the key in {app.settings.data_dir / own_key.FILE}"
    app.output.remark(f"Secrets in the file are encrypted with {key}: keep a copy of it elsewhere.")


def check(path: str) -> dict[str, Any]:
    """Read a file to its end and compare its checksums. Raises what organization_files.check raises."""
    return _checked(path, organization_files.check(path))


def _checked(path: str, checked: organization_files.Checked) -> dict[str, Any]:
    summary = checked.summary
    missing = {"missing": [*summary.missing]} if summary.missing else {}
    return {"file": path, "kind": checked.kind, "organizations": summary.organizations, **missing, **_counts(summary)}


def restore(app: "App", path: str, secrets: SecretOptions, *, dry_run: bool) -> dict[str, Any]:
    """Restore all organizations, or that of --org; a dry run only checks. Raises what backups.restore raises."""
    if dry_run:
        checked = backups.check_restore(app.engine, path, app.typed_org, secrets)
        counted = f"{count_of(len(checked.names), 'organization')} with {count_of(checked.summary.samples, 'sample')}"
        would(app.output, f"restore {counted}")
        return _restored(path, checked)
    return _restored(path, backups.restore(app.engine, path, app.typed_org, secrets))


def _restored(path: str, restored: backups.Restored) -> dict[str, Any]:
    return {"file": path, "organizations": restored.names, **_counts(restored.summary)}


def _counts(summary: Summary) -> dict[str, int]:
    counts = asdict(summary)
    return {name: counts[name] for name in ("tables", "rows", "samples")}

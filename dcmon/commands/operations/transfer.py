"""Export and import organizations, and create, check and restore backups."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dcmon.transfer import backups, organization_files
from dcmon.transfer.organization_files import SecretOptions as SecretOptions
from dcmon.transfer.organization_files import Summary

if TYPE_CHECKING:
    from dcmon.app import App


def export(app: "App", name: str, path: str, secrets: SecretOptions, *, is_replaced: bool) -> dict[str, Any]:
    """Write an organization to a file. Raises what organization_files.export raises."""
    org = app.organization(name)
    summary = organization_files.export(app.engine, org, path, secrets, is_replaced=is_replaced)
    return {"organization": org.name, "file": path, **_counts(summary)}


def import_(app: "App", path: str, name: str | None, secrets: SecretOptions, *, dry_run: bool) -> dict[str, Any]:
    """Import an organization; with `dry_run` only check its file. Raises what organization_files.import_ raises."""
    if dry_run:
        return {"dry_run": True, **check(path)}
    imported = organization_files.import_(app.engine, path, name, secrets)
    row = {"organization": imported.name, "file": path, **_counts(imported.summary)}
    return row | {"tokens_left_out": imported.tokens_left_out}


def back_up(app: "App", path: str, secrets: SecretOptions, *, is_replaced: bool) -> dict[str, Any]:
    """Back up all organizations, or that of --org. Raises what backups.create raises."""
    with app.output.progress("organizations", counts=True) as show:
        summary = backups.create(app.engine, path, secrets, only=app.typed_org, is_replaced=is_replaced, show=show)
    return {"file": path, "organizations": summary.organizations, **_counts(summary)}


def check(path: str) -> dict[str, Any]:
    """Read a file to its end and compare its checksums. Raises what organization_files.check raises."""
    kind, summary = organization_files.check(path)
    return {"file": path, "kind": kind, "organizations": summary.organizations, **_counts(summary)}


def restore(app: "App", path: str, secrets: SecretOptions) -> dict[str, Any]:
    """Restore all organizations, or that of --org. Raises what backups.restore raises."""
    restored = backups.restore(app.engine, path, app.typed_org, secrets)
    return {"file": path, "organizations": restored.names, **_counts(restored.summary)}


def _counts(summary: Summary) -> dict[str, int]:
    counts = asdict(summary)
    return {name: counts[name] for name in ("tables", "rows", "samples")}

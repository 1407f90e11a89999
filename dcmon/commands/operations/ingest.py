"""Load files that an operator names."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from dcmon import errors
from dcmon.ingestion.files import manual_load, path_expansion

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.commands.operations.source import TypedTarget
    from dcmon.errors import DcmonError
    from dcmon.ingestion.files.manual_load import LoadRequest, ManualLoad


class LoadedFiles(NamedTuple):
    """A row for each loaded file, and the errors of unreadable files."""

    rows: list[dict[str, Any]]
    errors: "list[DcmonError]"

    def require_stored(self) -> None:
        """Check that no file was rejected as a whole. Raises FileRejected."""
        for row in self.rows:
            if row["rows"] and row["rows"] == row["rejected"] and not row["in_before"]:
                raise errors.FileRejected(rows=row["rows"], path=row["file"])


def load_all(app: "App", typed: "TypedTarget", paths: "Sequence[str]", template: "LoadRequest") -> LoadedFiles:
    """Load the files that paths name, one after the other, with the options of `template`.

    Raises NotFound or InvalidInput, and the error of a single file or path.
    """
    requests, result = _requests(app, paths, template)
    org = app.organization()
    with app.org(org) as session:
        target = typed.find(session)
    try:
        for request in requests:
            try:
                with app.output.progress(request.path) as advance:
                    loaded = manual_load.load(app.engine, org, target, request, advance)
                result.rows.append(_row(loaded))
                if loaded.kind != typed.kind:
                    app.output.remark(f"{request.path} has no predictions: its rows are labels.")
                for remark in _remarks(loaded):
                    app.output.remark(remark)
            except (errors.InvalidInput, errors.NotFound, errors.FileRefused, errors.FileChanged) as error:
                if len(requests) + len(result.errors) == 1:
                    raise _named(request.path, error) from error
                result.errors.append(error)
                app.output.remark(str(_named(request.path, error)))
    except KeyboardInterrupt:
        app.output.remark("Loaded rows stay stored. Repeat the command to continue from there.")
        raise
    return result


def _requests(app: "App", paths: "Sequence[str]", template: "LoadRequest") -> "tuple[list[LoadRequest], LoadedFiles]":
    """Find the files that paths name. Raises the error if there is only one and no file."""
    expansion = path_expansion.expand(paths, template.format)
    if len(expansion.errors) == 1 and not expansion.files:
        raise expansion.errors[0]
    for remark in [*expansion.remarks, *map(str, expansion.errors)]:
        app.output.remark(remark)
    requests = [replace(template, path=file.path, path_columns=file.columns) for file in expansion.files]
    return requests, LoadedFiles([], list(expansion.errors))


def _named(path: str, error: "DcmonError") -> "DcmonError":
    """Return the error with the file's name in its message."""
    return error if path in str(error) else type(error)(f"{path}: {error}")


def _remarks(loaded: "ManualLoad") -> list[str]:
    result = loaded.result
    if result.loaded_at is not None or not result.first_row:
        return []
    return [f"{result.first_row:,} rows of {result.path} were loaded before."]


def _content_remarks(loaded: "ManualLoad") -> list[str]:
    return [*([loaded.result.remark] if loaded.result.remark else ()), *loaded.remarks]


def _row(loaded: "ManualLoad") -> dict[str, Any]:
    result, counts = loaded.result, loaded.result.outcome
    return {
        "file": result.path,
        "rows": counts.taken,
        "stored": counts.stored,
        "duplicates": counts.duplicates,
        "rejected": counts.quarantined,
        "quarantined": dict(result.reasons),
        "labels": result.labels.stored,
        "in_before": result.first_row,
        "in_since": result.loaded_at,
        "seconds": round(result.seconds, 3),
        "was": loaded.action,
        "remarks": _content_remarks(loaded),
    }

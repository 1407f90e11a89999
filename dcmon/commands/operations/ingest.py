"""Load files that an operator names."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dcmon import errors, file_errors
from dcmon.commands.shared.dry_run_output import would
from dcmon.formatting import count_of, shell_argument
from dcmon.ingestion.files import manual_load, path_expansion
from dcmon.ingestion.files.manual_load import LoadAction
from dcmon.ingestion.files.rejection_limit import CHECKED_ROWS
from dcmon.states import RowKind
from dcmon.storage import pg_binary, versions

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from dcmon.app import App
    from dcmon.commands.operations.source import TypedTarget
    from dcmon.db import Organization
    from dcmon.errors import DcmonError
    from dcmon.ingestion.files.file_target import FileTarget
    from dcmon.ingestion.files.manual_load import Excess, LoadRequest, ManualLoad
    from dcmon.ingestion.files.rejections import Rejection


@dataclass
class LoadedFiles:
    """A row for each loaded file, the errors of unreadable files, and a sentence for each file that lost too much.

    `version_options` name the version that the files belong to. `excesses` has the sentences by the path of the file.
    """

    version_options: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)
    errors: "list[DcmonError]" = field(default_factory=list)
    excesses: dict[str, str] = field(default_factory=dict)

    def add(self, loaded: "ManualLoad") -> None:
        """Add a file that was loaded, counted or refused."""
        self.rows.append(_row(loaded))
        if loaded.excess is not None:
            sentence = _excess_sentence(loaded, loaded.excess)
            self.excesses.setdefault(loaded.result.path, f"{sentence}{self._undoing(loaded)}")

    def _undoing(self, loaded: "ManualLoad") -> str:
        """Return how to take out the rows of a file that are stored; "" if none are."""
        if loaded.action != LoadAction.EXCEEDED:
            return ""
        stored, span = loaded.result.outcome.stored, loaded.result.time_span
        sentence = f" The other rows are stored, {stored:,} of them now."
        if span is None or loaded.kind != RowKind.SAMPLES:
            return sentence
        first, last = (pg_binary.time(time).replace(microsecond=0) for time in span)
        return (
            f"{sentence} To delete all samples of their time: dcmon sample delete {self.version_options}"
            f" --since {first:%Y-%m-%dT%H:%M:%S} --until {last + timedelta(seconds=1):%Y-%m-%dT%H:%M:%S} --dry-run"
        )

    def require_stored(self) -> None:
        """Check that no file lost too many rows, or all. Raises TooManyRejected or FileRejected."""
        if self.excesses:
            raise file_errors.TooManyRejected(" ".join([*self.excesses.values(), _advice(self.rows)]))
        for row in self.rows:
            if row["rows"] and row["rows"] == row["rejected"] and not row["in_before"]:
                raise file_errors.FileRejected(rows=row["rows"], path=row["file"])


def load_all(app: "App", typed: "TypedTarget", paths: "Sequence[str]", template: "LoadRequest") -> LoadedFiles:
    """Load the files that paths name, one after the other, with the options of `template`.

    First judges the first rows of each file: if too many of one are rejected, no file is loaded. Raises NotFound or
    InvalidInput, and the error of a single file or path.
    """
    org, expansion = app.organization(), path_expansion.expand(paths, template.format)
    if len(expansion.errors) == 1 and not expansion.files:
        raise expansion.errors[0]
    for remark in [*expansion.remarks, *map(str, expansion.errors)]:
        app.output.remark(remark)
    with app.org(org) as session:
        target = typed.find(session)
        version_options = _version_options(session, target)
    is_single = len(expansion.files) + len(expansion.errors) == 1
    run = _Run(app, org, target, LoadedFiles(version_options, errors=list(expansion.errors)), is_single)
    with manual_load.requests(expansion.files, template) as requests:
        checked = run.check(requests)
        if run.result.excesses and not template.is_dry_run:
            return run.result
        run.result.rows.clear()
        run.load(checked)
    stored = sum(row["stored"] for row in run.result.rows)
    would(app.output, f"store {count_of(stored, 'row')}" if stored else "")
    return run.result


@dataclass(frozen=True)
class _Run:
    """One run of the command for several files, with its result so far."""

    app: "App"
    org: "Organization"
    target: "FileTarget"
    result: LoadedFiles
    is_single: bool

    def check(self, requests: "Sequence[LoadRequest]") -> "list[LoadRequest]":
        """Judge the first rows of each file, and return the requests of files that can be read."""
        checked: list[LoadRequest] = []
        for request in requests:
            with self._collected_error(request):
                first = manual_load.check_first_rows(self.app.engine, self.org, self.target, request)
                if first.refused:
                    self.result.add(first.refused)
                    if not request.is_dry_run:  # a dry run goes on, and writes them then
                        self._write_remarks(first.refused)
                checked.append(replace(request, content=first.content))
        return checked

    def load(self, requests: "Sequence[LoadRequest]") -> None:
        """Load or count the files."""
        try:
            for request in requests:
                with self._collected_error(request), self.app.output.progress(request.path) as advance:
                    loaded = manual_load.load(self.app.engine, self.org, self.target, request, advance)
                    self.result.add(loaded)
                    if loaded.kind != self.target.kind:
                        self.app.output.remark(f"{request.path} has no predictions: its rows are labels.")
                    self._write_remarks(loaded)
        except KeyboardInterrupt:
            self.app.output.remark("Loaded rows stay stored. Repeat the command to continue from there.")
            raise

    def _write_remarks(self, loaded: "ManualLoad") -> None:
        for remark in _remarks(loaded):
            self.app.output.remark(remark)

    @contextmanager
    def _collected_error(self, request: "LoadRequest") -> "Iterator[None]":
        """Collect the error of a file, so that the others are loaded. Raises the error of the only file."""
        try:
            yield
        except (errors.InvalidInput, errors.NotFound, file_errors.FileRefused, file_errors.FileChanged) as error:
            if self.is_single:
                raise _named(request.path, error) from error
            self.result.errors.append(error)
            self.app.output.remark(str(_named(request.path, error)))


def _version_options(session: "Session", target: "FileTarget") -> str:
    """Return the options that name the version which files belong to; "" for labels."""
    if target.version_id is None:
        return ""
    model, version = versions.get(session, target.version_id)
    return f"--model {shell_argument(model.name)} --version {shell_argument(version.name)}"


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


def _excess_sentence(loaded: "ManualLoad", excess: "Excess") -> str:
    path, is_refused = loaded.result.path, loaded.action == LoadAction.REFUSED
    share = excess.share
    first = "first " if is_refused and share.rows >= CHECKED_ROWS else ""
    rows = "labels" if excess.kind == RowKind.LABELS else "rows"
    of_file = f"that {path} adds" if share.is_added else f"of {path}"
    counts = f"{share.rejected:,} of the {first}{share.rows:,} {rows}"
    return f"{counts} {of_file} can't be stored: more than {excess.limit}."


def _advice(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return what is in, and what to do next."""
    if all(row["was"] in (LoadAction.REFUSED, LoadAction.COUNTED) for row in rows):
        return (
            "Nothing was stored. Correct the file or the options that say how it is written, or store the other rows"
            " with --max-rejected 100%."
        )
    return (
        "Correct the rejected rows and load the file again, with or without the stored rows, which count as duplicates."
        " Or keep what is stored, and repeat the command with --max-rejected 100%."
    )


def _row(loaded: "ManualLoad") -> dict[str, Any]:
    result, counts = loaded.result, loaded.result.outcome
    is_refused = loaded.action == LoadAction.REFUSED  # the counts are those that storing the first rows would have
    return {
        "file": result.path,
        "rows": counts.taken,
        "stored": 0 if is_refused else counts.stored,
        "duplicates": counts.duplicates,
        "rejected": counts.quarantined,
        "rejections": [_rejection(rejection) for rejection in result.rejections.by_frequency()],
        "quarantined": {} if is_refused else dict(result.reasons),
        "labels": 0 if is_refused else result.labels.stored,
        "in_before": result.first_row,
        "in_since": result.loaded_at,
        "seconds": round(result.seconds, 3),
        "was": loaded.action,
        "remarks": _content_remarks(loaded),
    }


def _rejection(rejection: "Rejection") -> dict[str, Any]:
    return {**vars(rejection), "row": rejection.row + 1}

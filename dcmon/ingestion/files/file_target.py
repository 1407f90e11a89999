"""The target of a file: a version or model, and the mapping of columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import msgspec
from sqlalchemy.orm import Session

from dcmon.ingestion import quarantine
from dcmon.ingestion.files import column_mapping
from dcmon.ingestion.files.column_mapping import ColumnMapping, FileKind
from dcmon.ingestion.files.dialect import NO_OPTIONS, Dialect
from dcmon.ingestion.files.path_columns import PathColumns
from dcmon.ingestion.files.reader import File
from dcmon.states import RowKind
from dcmon.storage import models, sample_tables, versions
from dcmon.storage.columns import LABEL, PREDICTION, SAMPLE_ID, TIME


@dataclass(frozen=True)
class FileTarget:
    """The model or version that the rows of files belong to, and how the files are written.

    `version_id` is None for files of labels. `labels` is the mapping for files that turn out to have only labels.
    """

    mapping: ColumnMapping
    model_id: int
    version_id: int | None
    dialect: Dialect = NO_OPTIONS
    labels: ColumnMapping | None = None

    @property
    def kind(self) -> RowKind:
        return RowKind(self.mapping.kind)

    def with_constants(self, texts: Mapping[str, str]) -> "FileTarget":
        """Return the target of files whose rows have constants, given as text by field. Raises InvalidInput."""
        return replace(self, mapping=self.mapping.with_options(texts)) if texts else self

    def with_path(self, columns: PathColumns) -> "FileTarget":
        """Return the target of a file with columns in its path. Raises InvalidInput."""
        return replace(self, mapping=self.mapping.with_path(columns)) if columns else self

    def for_columns(self, columns: Sequence[str]) -> "FileTarget":
        """Return the target of a file with these columns.

        A file without predictions, but with ids and labels, has labels. In files of labels, the usual names of ids and
        labels are known.
        """
        if self.kind == RowKind.LABELS:
            return replace(self, mapping=self.mapping.with_usual_names(columns))
        if self.labels is None or self.mapping.constants or self._has_samples(columns):
            return self
        mapping = self.labels.with_usual_names(columns)
        return replace(self, mapping=mapping, version_id=None) if mapping.is_complete(columns) else self

    def _has_samples(self, columns: Sequence[str]) -> bool:
        """Return True if the columns have predictions; or features, where unknown columns are ignored."""
        fields = {self.mapping.field(column) for column in columns}
        of_samples = set(self.mapping.required) - {SAMPLE_ID, TIME}
        return bool(fields & (of_samples if column_mapping.ALL_OTHERS in self.mapping.renames else {PREDICTION}))


def find(
    session: Session,
    model_name: str | None,
    version_name: str | None,
    kind: RowKind,
    renames: Mapping[str, str],
    dialect: Dialect = NO_OPTIONS,
) -> FileTarget:
    """Find the target of files. `renames`: see ColumnMapping.

    The model may be None if there is only one, the version if the model has only one. Raises NotFound or InvalidInput.
    """
    model = models.find_or_only(session, model_name)
    candidates = versions.entries(session, model) if kind == RowKind.LABELS and version_name is None else []
    version = candidates[0] if candidates else versions.find_or_only(session, model, version_name)
    columns = sample_tables.columns(model, version)
    rules = dialect.value_rules()
    mapping = column_mapping.create(columns, FileKind(kind), renames, rules)
    if kind == RowKind.LABELS:
        return FileTarget(mapping, model.id, None, dialect)
    of_labels = {column: name for column, name in renames.items() if name in (SAMPLE_ID, LABEL, column_mapping.IGNORED)}
    labels = column_mapping.create(columns, FileKind.LABELS, of_labels, rules)
    return FileTarget(mapping, model.id, version.id, dialect, labels)


def fingerprint(file: File, target: FileTarget, source: str = "") -> str:
    """Return a digest of a file's content, format, target, column mapping, source, dialect and constants."""
    mapping = target.mapping
    parts = [file.content, file.format, target.kind, target.model_id, target.version_id, mapping.renames, source]
    if given := file.dialect.given():  # without options, files that earlier releases loaded are recognized
        parts.append(given)
    if mapping.constants:
        parts.append({"constants": {name: constant.text for name, constant in mapping.constants.items()}})
    return blake2b(msgspec.json.encode(parts, order="deterministic"), digest_size=16).hexdigest()


def row_source(fingerprint: str, *, is_beside_samples: bool = False) -> str:
    """Return the source of a file's rows, as ledger and quarantine store it.

    Labels beside samples have the same numbers as the samples, so they have another source.
    """
    return quarantine.FILE_SOURCE_PREFIX + fingerprint + (quarantine.LABELS_SOURCE_SUFFIX if is_beside_samples else "")

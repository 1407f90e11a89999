"""The documents in a file, and how its parts are named.

manifest.json
public/users/table.json, public/users/000001.copy, …, public/users/end.json      (of a backup only)
org-7/organization.json
org-7/models/table.json, org-7/models/000001.copy, …, org-7/models/end.json
…
org-7/end.json
end.json                                                                          (dcmon.transfer.archive)
"""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from dcmon.file_errors import ArchiveTooNew, ArchiveUnknown

FORMAT = 1
MANIFEST, ORGANIZATION, TABLE, END, ROWS = "manifest.json", "organization.json", "table.json", "end.json", ".copy"
PUBLIC = "public"


class Kind(StrEnum):
    """What a file is for."""

    ORGANIZATION = "organization"  # to another database, where it gets another id
    BACKUP = "backup"  # all organizations, with their ids and positions in Kafka


@dataclass(frozen=True)
class Manifest:
    """What a file has. `revisions`: of its tables, by lineage. `organizations`: names by id.

    `sequences`: the last values of those of "public", by name; of a backup only. `missing`: the names by id of the
    organizations that a backup could not read.
    """

    kind: Kind
    dcmon: str
    created_at: str
    revisions: dict[str, str]
    organizations: dict[str, str]
    secrets: dict[str, str]
    sequences: dict[str, int]
    format: int = FORMAT
    missing: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Any, path: str) -> "Manifest":
        """Return the manifest of a file. Raises ArchiveUnknown or ArchiveTooNew."""
        if not isinstance(document, dict) or "format" not in document:
            raise ArchiveUnknown(path=path)
        if document["format"] > FORMAT:
            raise ArchiveTooNew(
                path=path, version=document["dcmon"], lineage="file format", found=document["format"], known=FORMAT
            )
        return cls(**{**document, "kind": Kind(document["kind"])})

    def require_known(self, heads: dict[str, str], path: str) -> None:
        """Check that this dcmon knows the revisions of the file. Raises ArchiveTooNew."""
        for lineage, head in heads.items():
            if self.revisions[lineage] > head:
                revision = self.revisions[lineage]
                raise ArchiveTooNew(path=path, version=self.dcmon, lineage=lineage, found=revision, known=head)


@dataclass(frozen=True)
class TableHead:
    """A table before its rows. `checked`: the columns that its checksum is of.

    `run_time`: the kind of a table that is created at run time, with `object_id`, the id of its model or version, and
    `months`, those of its partitions; None for other tables.
    """

    table: str
    columns: list[str]
    checked: list[str]
    run_time: str | None = None
    object_id: int | None = None
    months: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True)
class TableEnd:
    """A table after its rows: their number, the SHA-256 of their text, and their checksum in the database."""

    rows: int
    sha256: str
    checksum: str


@dataclass(frozen=True)
class OrganizationDocument:
    """The rows of an organization in "public", as PostgreSQL's JSON, and the last values of its sequences."""

    id: int
    row: dict[str, Any]
    members: list[dict[str, Any]]
    tokens: list[dict[str, Any]]
    invitations: list[dict[str, Any]]
    sequences: dict[str, int]

    @property
    def name(self) -> str:
        """Return the organization's name."""
        return str(self.row["name"])


def to_document(value: Any) -> dict[str, Any]:
    """Return a document as JSON can have it."""
    return asdict(value)


def scope_of(org_id: int) -> str:
    """Return the folder of an organization in a file."""
    return f"org-{org_id}"

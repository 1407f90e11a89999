"""The progress of ingestion in topics and files, the file sources, and the ledger."""

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from dcmon.db import encryption
from dcmon.db.tables import Logged, Org


class IngestOffset(Org):
    """The organization's position in a partition: messages below `next_offset` are stored.

    `seek` is the last seek of the partition that the organization has followed: its id in public.ingest_spans, or 0.
    """

    __tablename__ = "ingest_offsets"
    __logged__ = None  # progress; a seek is in Batch
    topic_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    partition: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    next_offset: Mapped[int] = mapped_column(BigInteger)
    seek: Mapped[int] = mapped_column(BigInteger, server_default="0")


class Batch(Org):
    """The ledger: a line for each transaction and target that stored or removed rows.

    In every line taken = stored + duplicates + quarantined + dropped + removed. `action` is ingest, retry, delete,
    prune, drop or seek. A line that removes rows has a negative `stored` or `quarantined`, and as many `removed`. A
    line with a topic moved the organization's offset from first_offset to next_offset, past so many `messages`.
    """

    __tablename__ = "batches"
    __logged__ = Logged("rows", name="source", action="action", condition="new.action <> 'ingest'")
    __table_args__ = (
        Index("ix_batches_partition", "topic_id", "partition", "id"),
        # When labels of a model came: few lines of a ledger that may have millions (health.blind_spots).
        Index(
            "ix_batches_labels", "model_id", "created_at",
            postgresql_where=text("kind = 'labels' and action = 'ingest' and stored > 0"),
        ),
    )  # fmt: skip
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    action: Mapped[str] = mapped_column(server_default="ingest")
    kind: Mapped[str]
    source: Mapped[str]
    model_id: Mapped[int | None]
    version_id: Mapped[int | None]
    topic_id: Mapped[uuid.UUID | None]
    partition: Mapped[int | None]
    first_offset: Mapped[int | None] = mapped_column(BigInteger)
    next_offset: Mapped[int | None] = mapped_column(BigInteger)
    messages: Mapped[int] = mapped_column(server_default="0")
    taken: Mapped[int]
    stored: Mapped[int]
    duplicates: Mapped[int]
    quarantined: Mapped[int]
    dropped: Mapped[int] = mapped_column(server_default="0")
    removed: Mapped[int] = mapped_column(server_default="0")
    conflicts: Mapped[int] = mapped_column(server_default="0")
    by: Mapped[str | None]
    note: Mapped[str | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class DataSource(Org):
    """A directory or an s3:// prefix that is watched for new files.

    The files have samples of a version, or labels of a model (`version_id` is null). `is_of_path`: it was made for the
    object store path of its model, which any member may set, so it is only read with the organization's own keys.
    """

    __tablename__ = "sources"
    __logged__ = Logged("source", state=("scanned_at", "last_error"))
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    url: Mapped[str]
    kind: Mapped[str]
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), index=True)
    version_id: Mapped[int | None] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"), index=True)
    mapping: Mapped[dict[str, str]]
    dialect: Mapped[dict[str, Any] | None]  # the options of files.dialect.Dialect that were given
    constants: Mapped[dict[str, Any] | None]  # the texts of --set, by field
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    is_of_path: Mapped[bool] = mapped_column(server_default=text("false"))
    scanned_at: Mapped[dt.datetime | None]
    last_error: Mapped[str | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class StoreKeys(Org):
    """The organization's own keys of an object store: at most one pair for each `type` (s3).

    Both parts are encrypted (db.encryption) where DCMON_SECRET_KEYS has a key.
    """

    __tablename__ = "store_keys"
    __logged__ = Logged("object store keys", name="type", secret=("access_key_id", "secret_access_key"))
    id: Mapped[int] = mapped_column(primary_key=True)
    type: Mapped[str] = mapped_column(unique=True)
    stored_access_key_id: Mapped[str] = mapped_column("access_key_id")
    stored_secret_access_key: Mapped[str] = mapped_column("secret_access_key")
    region: Mapped[str]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    access_key_id = encryption.SecretText("stored_access_key_id")
    secret_access_key = encryption.SecretText("stored_secret_access_key")


class IngestedFile(Org):
    """The progress of a file: its rows below `next_row` are stored.

    `digest` identifies the file's content, target and format. `stamp` shows that a file has changed without reading
    it: the ETag in S3, or the size and time of change in a directory. `rejected` counts all rows that can't be stored,
    `quarantined` those that were not in quarantine before. `labels` counts the labels beside samples. `error`: why the
    file can't be read, or is not loaded although all its rows were read.
    """

    __tablename__ = "ingested_files"
    __logged__ = None  # progress
    __table_args__ = (Index("ix_ingested_files_place", "source_id", "path"),)
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    source_id: Mapped[int | None] = mapped_column(ForeignKey("sources.id", ondelete="SET NULL"), index=True)
    kind: Mapped[str]
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), index=True)
    version_id: Mapped[int | None] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"), index=True)
    path: Mapped[str]
    digest: Mapped[str] = mapped_column(unique=True)
    stamp: Mapped[str | None]
    next_row: Mapped[int] = mapped_column(BigInteger, server_default="0")
    taken: Mapped[int] = mapped_column(BigInteger, server_default="0")
    stored: Mapped[int] = mapped_column(BigInteger, server_default="0")
    duplicates: Mapped[int] = mapped_column(BigInteger, server_default="0")
    quarantined: Mapped[int] = mapped_column(BigInteger, server_default="0")
    rejected: Mapped[int] = mapped_column(BigInteger, server_default="0")
    labels: Mapped[int] = mapped_column(BigInteger, server_default="0")
    rejected_labels: Mapped[int] = mapped_column(BigInteger, server_default="0")
    error: Mapped[str | None]
    began_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[dt.datetime | None]

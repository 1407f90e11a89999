"""Models and their versions."""

import datetime as dt
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from dcmon.db.tables import Logged, Org


class Model(Org):
    """A machine-learning model. `relation` is the number in the names of its run-time tables.

    `default_monitors`: which default monitors and rules it has (dcmon.states.DefaultSet); null: a model of an earlier
    release, for which no set was chosen.
    """

    __tablename__ = "models"
    __logged__ = Logged("model", state=("relation",))
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    task_type: Mapped[str]
    description: Mapped[str | None]
    time_zone: Mapped[str] = mapped_column(server_default="UTC")
    label_ratio: Mapped[float] = mapped_column(server_default="1")
    label_delay: Mapped[dt.timedelta]
    lateness: Mapped[dt.timedelta] = mapped_column(server_default=text("'0'"))
    obj_store_path: Mapped[str | None]
    retention: Mapped[dt.timedelta | None]
    relation: Mapped[int] = mapped_column(BigInteger, unique=True)
    default_monitors: Mapped[str | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class ModelMember(Org):
    """A user who sees a model where the organization shows models to their members only.

    `user_id` is the id in public.users. `notify`: whether the user wants notifications about the model.
    """

    __tablename__ = "model_members"
    __logged__ = Logged("model member", id="model_id", name="user_id")
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, index=True)
    notify: Mapped[bool] = mapped_column(server_default=text("true"))


class ModelNote(Org):
    """A note on a model."""

    __tablename__ = "model_notes"
    __logged__ = Logged("note", name="title")
    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), index=True)
    title: Mapped[str]
    text: Mapped[str | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class Version(Org):
    """A version of a model: its columns, and the times of its samples.

    `earliest` and `watermark` are the times of the first and of the newest sample.
    """

    __tablename__ = "versions"
    __logged__ = Logged(
        "version", state=("relation", "layout", "earliest", "watermark", "newest_logged_at", "stale_at")
    )
    __table_args__ = (UniqueConstraint("model_id", "name"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"))
    name: Mapped[str]
    features: Mapped[dict[str, str]]
    additional: Mapped[dict[str, str]]
    feature_importance: Mapped[dict[str, float] | None]
    classes: Mapped[list[str] | None]
    label_map: Mapped[dict[str, str] | None]
    file_columns: Mapped[dict[str, str] | None]  # in files: column to field; "": ignored
    relation: Mapped[int] = mapped_column(BigInteger, unique=True)
    layout: Mapped[int] = mapped_column(server_default="1")
    earliest: Mapped[dt.datetime | None]
    watermark: Mapped[dt.datetime | None]
    newest_logged_at: Mapped[dt.datetime | None]
    reference_revision: Mapped[int] = mapped_column(server_default="0")
    stale_at: Mapped[dt.datetime | None]  # the watermark at the time when it was reported as stale
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class VersionStatistics(Org):
    """The statistics of a version's columns (storage.column_statistics), of its samples and of a reference revision."""

    __tablename__ = "version_statistics"
    __logged__ = None  # computed
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True)
    samples: Mapped[dict[str, Any]]
    reference: Mapped[dict[str, Any]]
    reference_revision: Mapped[int]

"""Kafka's topics as ingestion knows them: by id, because a topic that was made again has other offsets."""

import uuid
from collections.abc import Mapping

from sqlalchemy import Engine, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.db.tables.public import IngestTopic
from dcmon.ingestion import kafka
from dcmon.settings import Kafka


def resolve_ids(engine: Engine, settings: Kafka) -> dict[str, uuid.UUID]:
    """The topics with their ids, made when they are missing. Raises TopicRemade, Unreachable or KafkaMisconfigured."""
    found = kafka.ensure_topics(settings)
    with db.public_session(engine) as session:
        remembered = remember(session, found)
    for name, topic_id in found.items():
        if remembered[name] != topic_id:
            raise errors.TopicRemade(topic=name)
    return found


def remember(session: Session, found: Mapping[str, uuid.UUID]) -> dict[str, uuid.UUID]:
    """Keep the ids of topics that are new; returns those that are kept, by name. In "public"."""
    rows = [{"name": name, "topic_id": topic_id} for name, topic_id in found.items()]
    session.execute(insert(IngestTopic).values(rows).on_conflict_do_nothing())
    kept = select(IngestTopic.name, IngestTopic.topic_id).where(IngestTopic.name.in_(list(found)))
    return {row.name: row.topic_id for row in session.execute(kept)}


def accept(session: Session, found: Mapping[str, uuid.UUID]) -> None:
    """Take these ids for the topics' own from now on. In "public"."""
    rows = [{"name": name, "topic_id": topic_id} for name, topic_id in found.items()]
    new = insert(IngestTopic).values(rows)
    session.execute(new.on_conflict_do_update(index_elements=["name"], set_={"topic_id": new.excluded.topic_id}))

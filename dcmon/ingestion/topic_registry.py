"""Remember the ids of Kafka's topics. A recreated topic has the same name, but other messages at the same offsets."""

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
    """Return the ids of the topics by name. Create missing topics.

    Raises TopicRemade, Unreachable or KafkaMisconfigured.
    """
    current = kafka.ensure_topics(settings)
    with db.public_session(engine) as session:
        remembered = remember_ids(session, current)
    for name, topic_id in current.items():
        if remembered[name] != topic_id:
            raise errors.TopicRemade(topic=name)
    return current


def remember_ids(session: Session, ids: Mapping[str, uuid.UUID]) -> dict[str, uuid.UUID]:
    """Remember the ids of new topics, and return the remembered id of each topic. In the schema "public"."""
    rows = [{"name": name, "topic_id": topic_id} for name, topic_id in ids.items()]
    session.execute(insert(IngestTopic).values(rows).on_conflict_do_nothing())
    remembered = select(IngestTopic.name, IngestTopic.topic_id).where(IngestTopic.name.in_(list(ids)))
    return {row.name: row.topic_id for row in session.execute(remembered)}


def replace_ids(session: Session, ids: Mapping[str, uuid.UUID]) -> None:
    """Replace the remembered ids of these topics. In the schema "public"."""
    rows = [{"name": name, "topic_id": topic_id} for name, topic_id in ids.items()]
    new = insert(IngestTopic).values(rows)
    session.execute(new.on_conflict_do_update(index_elements=["name"], set_={"topic_id": new.excluded.topic_id}))

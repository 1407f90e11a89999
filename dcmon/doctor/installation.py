"""The installation that is examined: its settings, and connections that wait for a limited time only."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TypeVar

from sqlalchemy import Engine, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.db import Organization, encryption, filled_tables
from dcmon.db.tables.org import Webhook
from dcmon.embedded import own_key, postgres
from dcmon.settings import Settings
from dcmon.tenancy import organizations

T = TypeVar("T")
CONNECT_SECONDS, STATEMENT_SECONDS, LOCK_WAIT = 3, 8, timedelta(seconds=3)


@dataclass
class Installation:
    """What is examined. `settings`: None if they can't be used; then `refusal` is the reason.

    `remarks`: sentences on what could not be examined, and is no fault. `partitions`: of Kafka's topics, once they were
    asked for. `unread`: why organizations that can be opened can't be read, by name, as a table of them is locked.
    """

    settings: Settings | None
    refusal: errors.DcmonError | None = None
    remarks: list[str] = field(default_factory=list)
    partitions: dict[str, int] | None = None
    unread: dict[str, str] = field(default_factory=dict)

    @property
    def known(self) -> Settings:
        """Return the settings; parts that need them are examined only if they can be used."""
        assert self.settings is not None
        return self.settings

    @cached_property
    def database_url(self) -> str:
        """Return the URL of the database. Raises NothingRuns."""
        if self.known.database_url is not None:
            return self.known.database_url.get_secret_value()
        url = postgres.url(self.known.data_dir)
        if url is None:
            raise errors.NothingRuns
        return url

    @cached_property
    def engine(self) -> Engine:
        """Return an engine whose connections and statements end after seconds. Raises InvalidInput or NothingRuns."""
        return self.open_engine(STATEMENT_SECONDS)

    def open_engine(self, statement_seconds: int) -> Engine:
        """Return another engine, with a limit for each statement; the caller disposes of it."""
        url = make_url(self.database_url)
        limits = {
            "connect_timeout": str(CONNECT_SECONDS),
            "options": f"-c statement_timeout={statement_seconds}s",
        }
        wanted = {name: value for name, value in limits.items() if name not in url.query}
        limited = url.update_query_dict(wanted).render_as_string(hide_password=False)
        return db.engine(limited, pool_size=4, lock_wait=LOCK_WAIT)

    @cached_property
    def connection_error(self) -> errors.DcmonError | None:
        """Return why PostgreSQL can't be reached; None if it can. It is tried once."""
        try:
            with self.engine.connect():
                return None
        except errors.DcmonError as error:
            return error

    @cached_property
    def key_error(self) -> errors.DcmonError | None:
        """Let this process read the secrets in tables; return why it can't, if a key is none."""
        try:
            encryption.use_keys(own_key.keys(self.known), own_key.source(self.known))
        except errors.DcmonError as error:
            return error
        return None

    @cached_property
    def organizations(self) -> list[Organization]:
        """Return the organizations that can be opened; the reasons of others are findings of the health."""
        with db.public_session(self.engine) as session:
            return organizations.entries(session)

    def organizations_with(self, table: str) -> list[Organization]:
        """Return the organizations that have rows in a table: to enter thousands of others takes minutes."""
        with db.public_session(self.engine) as session:
            filled = filled_tables.schemas_with(session, table)
        return [org for org in self.organizations if org.schema in filled]

    @cached_property
    def receivers(self) -> list[tuple[Organization, list[Webhook]]]:
        """Return the receivers of each organization that has some and can be opened."""
        receivers = list[tuple[Organization, list[Webhook]]]()
        for org in self.organizations_with("webhooks"):
            rows = self.read(org, lambda session: session.scalars(select(Webhook).order_by(Webhook.id)).all())
            receivers += [(org, list(rows))] if rows else []
        return receivers

    def read(self, org: Organization, rows: Callable[[Session], Sequence[T]]) -> Sequence[T]:
        """Return rows of an organization; none if it can't be opened, which the health says, or can't be read.

        One that can't be read is not tried again, and leaves out no other organization.
        """
        if org.name in self.unread:
            return []
        try:
            with db.org_session(self.engine, org) as session:
                return rows(session)
        except errors.DcmonError:
            return []
        except DBAPIError as error:
            self.unread[org.name] = str(error.orig or error).strip().splitlines()[0]
            return []

    def close(self) -> None:
        """Close the connections."""
        if "engine" in self.__dict__:
            self.engine.dispose()

"""App: the settings, and what is opened from them when it is first needed. Entrances hold one; nouns never see it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from dcmon import errors
from dcmon.output import Output

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from dcmon.cache import Cache
    from dcmon.db import Organization
    from dcmon.db.work_queue import Work
    from dcmon.ingestion.admission_cache import AdmissionCache
    from dcmon.ingestion.intake import Intake
    from dcmon.ingestion.kafka import Producer
    from dcmon.settings import Settings
    from dcmon.tenancy.rate_limits import Meter


class App:
    """What a command or a job works with. Close it, or use it as a context manager."""

    def __init__(self, settings: Settings | None = None, output: Output | None = None, org: str | None = None) -> None:
        self._given, self._org = settings, org
        self.output = output or Output()

    @cached_property
    def settings(self) -> Settings:
        """The settings; read late, so that --help works with a broken environment. Raises InvalidInput."""
        from pydantic import ValidationError

        from dcmon.settings import Settings

        try:
            return self._given or Settings()
        except ValidationError as error:
            said = "; ".join(f"DCMON_{'__'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
            raise errors.InvalidInput(f"A setting can't be used. {said}") from error

    def with_http(self, host: str | None, port: int | None) -> App:
        """This App with another address to listen on, where one is given."""
        given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
        http = self.settings.http.model_copy(update=given)
        return App(self.settings.model_copy(update={"http": http}), self.output, self._org)

    @cached_property
    def database_url(self) -> str:
        """The database set by URL, or the embedded one when it runs. Raises NothingRuns otherwise."""
        if self.settings.database_url is not None:
            return self.settings.database_url.get_secret_value()
        from dcmon.embedded import postgres

        url = postgres.url(self.settings.data_dir)
        if url is None:
            raise errors.NothingRuns
        return url

    @cached_property
    def engine(self) -> Engine:
        """The one pool of connections of this process."""
        from dcmon import db

        return db.engine(self.database_url, pool_size=10)

    @cached_property
    def ingestion(self) -> Intake:
        """Where the endpoint puts rows: Kafka when it is set, PostgreSQL otherwise."""
        from dcmon.ingestion.intake import Buffered, Direct

        settings = self.settings.kafka
        return Buffered(self.producer, settings) if settings.bootstrap_servers else Direct(self.engine)

    @cached_property
    def producer(self) -> Producer:
        """What sends to Kafka; made without the brokers."""
        from dcmon.ingestion import kafka

        return kafka.Producer(self.settings.kafka)

    @cached_property
    def admission_cache(self) -> AdmissionCache:
        """Who may log, from memory for a while."""
        from dcmon.ingestion.admission_cache import AdmissionCache

        return AdmissionCache(self.engine, self.settings.http)

    @cached_property
    def meter(self) -> Meter:
        """What organizations log in a minute, against their limits."""
        from dcmon.tenancy.rate_limits import Meter

        return Meter(self._cache)

    @cached_property
    def _cache(self) -> Cache:
        from dcmon.cache import Cache

        return Cache(self._redis_url)

    def _redis_url(self) -> str | None:
        """Redis set by URL; or the embedded one, beside an embedded PostgreSQL, when it runs."""
        if self.settings.redis_url is not None:
            return self.settings.redis_url.get_secret_value()
        if self.settings.database_url is not None:
            return None
        from dcmon.embedded import valkey

        return valkey.url(self.settings.data_dir)

    def organization(self, name: str | None = None) -> Organization:
        """The organization named here, by --org or by DCMON_ORG; the only one when none is named."""
        from dcmon.tenancy import organizations

        with self.public() as session:
            return organizations.choose(session, name or self._org or self.settings.org)

    def organizations(self) -> list[Organization]:
        """The organization named by --org or DCMON_ORG, or all there are."""
        from dcmon.tenancy import organizations

        if self._org or self.settings.org:
            return [self.organization()]
        with self.public() as session:
            return organizations.entries(session)

    @contextmanager
    def public(self) -> Iterator[Session]:
        """A transaction in lineage "public"."""
        from dcmon import db

        with db.public_session(self.engine) as session:
            yield session

    @contextmanager
    def org(self, org: Organization | None = None, *, snapshot: bool = False) -> Iterator[Session]:
        """A transaction in an organization: the given one, or the one that the command is about."""
        from dcmon import db

        with db.org_session(self.engine, org or self.organization(), snapshot=snapshot) as session:
            yield session

    def enqueue(self, org: Organization, *works: Work) -> None:
        """Say that an organization has work now. After the commit of the work, never in it."""
        from dcmon.db import work_queue

        with self.public() as session:
            for work in works:
                work_queue.ring(session, org.id, work)

    def tune_for_long_run(self) -> None:
        """For a process that stays: what is loaded by now stays too, so the garbage collector need not look at it.

        Rows come and go by the thousand and hold no circles: collecting after each 700 objects cost 15 % of ingestion.
        A thread that waited for PostgreSQL while another one decodes gets its turn after 0.5 ms, not after 5: it waits
        many times in a transaction, which took 15 % longer.
        """
        import gc

        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        sys.setswitchinterval(0.0005)

    def close(self) -> None:
        """Give back every connection."""
        if "producer" in self.__dict__:
            self.producer.close()
        if "_cache" in self.__dict__:
            self._cache.close()
        if "engine" in self.__dict__:
            self.engine.dispose()

    def __enter__(self) -> App:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

"""App: the settings, connections and caches of a process, each opened at first use.

Commands, jobs and the endpoint hold an App; domain packages never import it. Each import of a heavy module stands in
the property that needs it, so that a command loads only what it uses.
"""

from __future__ import annotations

import gc
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dcmon import errors, user_code
from dcmon.output import Output

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from dcmon.db import Organization
    from dcmon.db.dry_runs import Effects
    from dcmon.db.statement_log import StatementLog
    from dcmon.db.work_queue import Work
    from dcmon.ingestion.admission_cache import AdmissionCache
    from dcmon.ingestion.intake import Intake
    from dcmon.ingestion.kafka import Producer
    from dcmon.redis_scripts import RedisScripts
    from dcmon.settings import Settings
    from dcmon.tenancy.rate_limits import RateMeter


log = logging.getLogger(__name__)


class App:
    """The settings, output and connections of a process. Close it, or use it as a context manager."""

    def __init__(self, settings: Settings | None = None, output: Output | None = None, org: str | None = None) -> None:
        self._given_settings, self._org = settings, org
        self.output = output or Output()
        self.effects: Effects | None = None  # of a dry run
        self.lock_wait: timedelta | None = None  # the longest wait for each lock
        self.announces_waits = False
        self._organization: Organization | None = None  # of for_org
        self._logged = set[str]()
        self._started = time.monotonic()

    @cached_property
    def settings(self) -> Settings:
        """Read the settings at first use, so that --help works with invalid settings.

        Raises:
            InvalidInput: a setting can't be used.
        """
        from pydantic import ValidationError
        from pydantic_settings import SettingsError

        from dcmon import setting_faults
        from dcmon.settings import Settings, chosen_profile, origins

        try:
            settings = self._given_settings or Settings()
        except ValidationError as error:
            raise errors.InvalidInput(setting_faults.sentences(error, Settings, origins())) from error
        except SettingsError as error:
            raise errors.InvalidInput(setting_faults.not_json(error, Settings)) from error
        except UnicodeDecodeError as error:
            raise errors.InvalidInput(setting_faults.not_text(Path(".env").absolute(), error)) from error
        user_code.use(settings.run_as, settings.evaluate.variables)
        if (profile := chosen_profile()) is not None:
            self._log_step(f"profile {profile.name}, of {profile.path}")
        return settings

    def with_http(self, host: str | None, port: int | None, workers: int | None = None) -> App:
        """Return an App with another HTTP address or number of server processes.

        None keeps the value of the settings.
        """
        values = (("host", host), ("port", port), ("workers", workers))
        changes = {name: value for name, value in values if value is not None}
        http = self.settings.http.model_copy(update=changes)
        return App(self.settings.model_copy(update={"http": http}), self.output, self._org)

    def for_org(self, org: Organization, output: Output) -> App:
        """Return an App for commands in another organization, which shares this one's connections."""
        app = App(self.settings, output, org.name)
        app._organization = org
        app.engine = self.engine
        app._log_step(f"organization {org.name}, schema {org.schema}")
        return app

    def for_dry_run(self, output: Output) -> App:
        """Return an App that commits nothing, and whose `effects` say what it would have changed. Close it."""
        from dcmon.db.dry_runs import Effects

        app = App(self.settings, output, self._org)
        app.effects = Effects()
        app.announces_waits = self.announces_waits
        return app

    @cached_property
    def database_url(self) -> str:
        """Return DCMON_DATABASE_URL, or the URL of the embedded PostgreSQL.

        Raises:
            NothingRuns: the URL is not set, and no embedded PostgreSQL runs.
        """
        if self.settings.database_url is not None:
            return self.settings.database_url.get_secret_value()
        from dcmon.embedded import postgres

        url = postgres.url(self.settings.data_dir)
        if url is None:
            raise errors.NothingRuns
        return url

    @cached_property
    def engine(self) -> Engine:
        """Return the connection pool of this process."""
        from dcmon import db
        from dcmon.db import encryption
        from dcmon.embedded import own_key

        encryption.use_keys(own_key.keys(self.settings), own_key.source(self.settings))
        if self.effects is not None:
            from dcmon.db import dry_runs

            engine = dry_runs.engine(self.database_url, self.effects)
        else:
            engine = db.engine(self.database_url, pool_size=10, lock_wait=self.lock_wait)
        if self.announces_waits:
            from dcmon.db import lock_waits

            lock_waits.announce(engine, self.output.warn)
        self._log_database(engine)
        self.statements.listen(engine)
        return engine

    @cached_property
    def statements(self) -> StatementLog:
        """Return the number of statements so far, counted with -v."""
        from dcmon.db.statement_log import StatementLog

        return StatementLog()

    def _log_database(self, engine: Engine) -> None:
        from dcmon.db import statement_log

        is_set = self.settings.database_url is not None
        origin = "DCMON_DATABASE_URL" if is_set else f"embedded, in {self.settings.data_dir}"
        dry = ", nothing is committed" if self.effects is not None else ""
        self._log_step(f"{statement_log.describe(engine)} ({origin}{dry})")

    def _log_step(self, step: str) -> None:
        """Log once with -v what the process works with."""
        if step not in self._logged:
            self._logged.add(step)
            log.info("%s", step)

    @cached_property
    def ingestion(self) -> Intake:
        """Return the intake of the endpoint: Kafka if it is configured, else PostgreSQL."""
        from dcmon.ingestion.intake import Buffered, Direct

        settings = self.settings.kafka
        if not settings.bootstrap_servers:
            return Direct(self.engine)
        return Buffered(self.producer, settings, self.admission_cache.known_target)

    @cached_property
    def producer(self) -> Producer:
        """Return the Kafka producer. It is created even while the brokers can't be reached."""
        from dcmon.ingestion import kafka

        self._log_step(f"brokers {self.settings.kafka.bootstrap_servers}")
        return kafka.Producer(self.settings.kafka)

    @cached_property
    def admission_cache(self) -> AdmissionCache:
        """Return the cache of tokens, versions and models that may log rows."""
        from dcmon.ingestion.admission_cache import AdmissionCache

        return AdmissionCache(self.engine, self.settings.http)

    @cached_property
    def meter(self) -> RateMeter:
        """Return the meter that holds organizations to their limits per minute."""
        from dcmon.tenancy.rate_limits import RateMeter

        return RateMeter(self.redis_scripts)

    @cached_property
    def redis_scripts(self) -> RedisScripts:
        """Return what runs scripts in Redis or Valkey, which all processes share, if there is one."""
        from dcmon.redis_scripts import RedisScripts

        return RedisScripts(self._redis_url)

    def _redis_url(self) -> str | None:
        """Return DCMON_REDIS_URL, or the URL of the embedded Valkey.

        Valkey is embedded only beside an embedded PostgreSQL; None: no server; rate limits are counted in this process.
        """
        if self.settings.redis_url is not None:
            return self.settings.redis_url.get_secret_value()
        if self.settings.database_url is not None:
            return None
        from dcmon.embedded import valkey

        return valkey.url(self.settings.data_dir)

    def organization(self, name: str | None = None) -> Organization:
        """Return the organization of `name`, --org or DCMON_ORG, else the only one."""
        from dcmon.tenancy import organizations

        if self._organization is not None and name is None:
            return self._organization
        with self.public() as session:
            chosen = organizations.choose(session, name or self._org or self.settings.org or None)
        self._log_step(f"organization {chosen.name}, schema {chosen.schema}")
        return chosen

    def organizations(self) -> list[Organization]:
        """Return the organization of --org or DCMON_ORG in a list, else all organizations."""
        return [self.organization()] if self._org or self.settings.org else self.every_organization()

    @property
    def typed_org(self) -> str | None:
        """Return the organization of --org; None without it, also if DCMON_ORG is set."""
        return self._org

    def every_organization(self) -> list[Organization]:
        """Return all organizations, also where --org or DCMON_ORG chooses one."""
        from dcmon.tenancy import organizations

        with self.public() as session:
            return organizations.entries(session)

    @contextmanager
    def public(self) -> Iterator[Session]:
        """Open a transaction in the schema "public", which all organizations share."""
        from dcmon import db

        with db.public_session(self.engine) as session:
            yield session

    @contextmanager
    def org(self, org: Organization | None = None, *, snapshot: bool = False) -> Iterator[Session]:
        """Open a transaction in `org`, or in the organization of the command."""
        from dcmon import db

        with db.org_session(self.engine, org or self.organization(), snapshot=snapshot) as session:
            yield session

    def step_down(self) -> None:
        """Become the user of DCMON_RUN_AS if root started this process, and hide its secrets.

        Raises InvalidInput, and NothingRuns if no database is set and no embedded one runs.
        """
        from dcmon import privileges

        if privileges.account(self.settings.run_as) is not None and self.settings.database_url is None:
            self.settings = self._with_embedded_servers()  # only root can read the data directory of `dcmon up`
        privileges.step_down(self.settings.run_as)
        user_code.hide_own_environment()

    def _with_embedded_servers(self) -> Settings:
        """Return the settings with the URLs and keys of the data directory, as `dcmon up` gives them to its workers."""
        from pydantic import SecretStr

        from dcmon.embedded import own_key

        keys = ",".join(own_key.keys(self.settings))
        read = {"database_url": self.database_url, "redis_url": self._redis_url(), "secret_keys": keys}
        return self.settings.model_copy(update={name: SecretStr(text) for name, text in read.items() if text})

    def require_database(self) -> None:
        """Check that the database can be reached and is migrated. Raises Unreachable or SchemaOutOfDate."""
        with self.public():
            pass

    def enqueue(self, org: Organization, *works: Work) -> None:
        """Enqueue an organization for workers. Call it after the commit that creates the work, never before."""
        from dcmon.db import work_queue

        with self.public() as session:
            for work in works:
                work_queue.enqueue(session, org.id, work)

    def tune_for_long_run(self) -> None:
        """Tune the garbage collector and thread switching for a process that runs for long.

        All modules are loaded now, so the collector need not look at their objects from now on.
        A thread that waited for PostgreSQL while another thread decodes continues after 0.5 ms instead of 5 ms. It
        waits many times in a transaction; with 5 ms, a transaction took 15 % longer.
        """
        collect_garbage_rarely()
        sys.setswitchinterval(0.0005)

    def close(self) -> None:
        """Close all connections."""
        if "producer" in self.__dict__:
            self.producer.close()
        if "admission_cache" in self.__dict__:
            self.admission_cache.close()
        if "redis_scripts" in self.__dict__:
            self.redis_scripts.close()
        if "engine" in self.__dict__:
            self.engine.dispose()
            if log.isEnabledFor(logging.INFO):
                took, done = self.statements, time.monotonic() - self._started
                log.info("%d statements took %.2f s of %.2f s", took.statements, took.seconds, done)

    def __enter__(self) -> App:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def collect_garbage_rarely() -> None:
    """Enable the garbage collector for new objects, after each 50,000 of them instead of 700.

    Objects of loaded modules stay, so the collector need not look at them. Rows come and go by the thousand and hold no
    reference cycles: to collect after each 700 objects cost 15 % of ingestion.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    gc.enable()

"""Settings: the only reader of the environment (DCMON_DATABASE_URL, DCMON_KAFKA__BOOTSTRAP_SERVERS, …)."""

import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from platformdirs import site_data_path, user_data_path
from pydantic import BaseModel, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


def _default_data_dir() -> Path:
    """Where embedded servers, logs and state live: a system-wide place for root, the user's own otherwise."""
    if sys.platform != "win32" and os.geteuid() == 0:
        return Path("/var/lib/dcmon") if sys.platform == "linux" else site_data_path("dcmon")
    return user_data_path("dcmon")


def _seconds(value: object) -> object:
    """A number is seconds, also as text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


Duration = Annotated[timedelta, BeforeValidator(_seconds)]


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class Http(BaseModel):
    """The endpoint that samples come in by."""

    host: str = Field("127.0.0.1", description="Address that the endpoint listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port that the endpoint listens on.")
    max_body_bytes: int = Field(100_000_000, ge=1, description="Largest request body that is read; above it 413.")
    fresh: Duration = Field(
        timedelta(seconds=10), description="A token, version or model is looked up again when known longer than this."
    )
    stale: Duration = Field(
        timedelta(minutes=10), description="… and trusted so long while PostgreSQL can't be reached."
    )


class Kafka(BaseModel):
    """The buffer between the endpoint and PostgreSQL. Not set: samples go straight to PostgreSQL."""

    bootstrap_servers: str | None = Field(None, description="Brokers, host:port,host:port. Not set: direct ingestion.")
    security_protocol: str = Field("PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.")
    sasl_mechanism: str | None = Field(None, description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.")
    username: str | None = Field(None, description="User for SASL.")
    password: SecretStr | None = Field(None, description="Password for SASL.")
    group_id: str = Field("dcmon-ingest", description="Consumer group of the ingest workers.")
    topic_prefix: str = Field("dcmon", description="Topics are <prefix>.samples and <prefix>.labels.")
    partitions: int = Field(4, ge=1, description="Partitions of a topic that dcmon creates.")
    replication_factor: int = Field(1, ge=1, description="Replicas of a topic that dcmon creates.")
    rows_per_message: int = Field(500, ge=1, description="Rows packed into one message, at most.")
    batch_rows: int = Field(28_000, ge=1, description="Rows that a worker stores in one transaction, about.")
    batch_bytes: int = Field(20_000_000, ge=1, description="… or bytes of messages, whichever is reached first.")
    batch_wait: Duration = Field(timedelta(milliseconds=200), description="Longest wait for a batch to fill, seconds.")
    ack_wait: Duration = Field(
        timedelta(seconds=10), description="Longest wait for the brokers' acknowledgement; then the answer is 503."
    )


class Evaluate(BaseModel):
    """How windows are evaluated."""

    sample_size: int = Field(10_000, ge=100, description="Rows of the fair sample of a window, and of its reference.")
    label_quiet: Duration = Field(timedelta(minutes=5), description="A touched window is evaluated again when quiet.")
    backfill_quiet: Duration = Field(
        timedelta(seconds=1),
        description="Loaded history is evaluated when nothing of it came so long; after twice that in any case.",
    )
    children: int = Field(2, ge=1, le=64, description="Processes of a worker that run checks side by side.")
    cpu: Duration = Field(
        timedelta(minutes=2), description="CPU time that one check may take on one window; more of it is an ERROR."
    )
    hang: Duration = Field(
        timedelta(minutes=2), description="A check that does nothing for so long, or runs for ten times that, hangs."
    )
    memory: int = Field(
        2_000_000_000, ge=100_000_000, description="Bytes that a process which runs checks may take for them."
    )
    recycle: int = Field(1000, ge=1, description="Checks that a process runs before another takes its place.")
    lease: Duration = Field(timedelta(seconds=10), description="A claim that is not renewed this long is free again.")


class Reference(BaseModel):
    """What production is compared with."""

    largest: int = Field(100_000, ge=1, description="Rows that the reference of a version has at most.")


class Alerts(BaseModel):
    """What is told of alerts."""

    recent: Duration = Field(
        timedelta(days=2), description="A new alert is not told while windows are due that end so much later."
    )


class Webhooks(BaseModel):
    """Outgoing notifications."""

    allow: Annotated[list[str], NoDecode, BeforeValidator(_split)] = Field(
        default_factory=list,
        description="Private networks or hosts that messages may go to, comma-separated: 10.1.0.0/16,127.0.0.1.",
    )
    timeout: Duration = Field(timedelta(seconds=10), description="Longest time for one delivery, seconds.")
    retry_for: Duration = Field(timedelta(hours=72), description="An undelivered notification is given up after this.")
    group_wait: Duration = Field(
        timedelta(milliseconds=300), description="Alerts of a model that change within this time go in one message."
    )


class Smtp(BaseModel):
    """The server that takes e-mail."""

    host: str | None = Field(None, description="Mail server that notifications are handed to. Not set: no e-mail.")
    port: int | None = Field(None, ge=1, le=65535, description="Its port. Not set: 587; 465 for tls, 25 for none.")
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="starttls, tls (from the first byte) or none."
    )
    username: str | None = Field(None, description="User to log in as. Not set: no login.")
    password: SecretStr | None = Field(None, description="Its password.")
    sender: str = Field("dcmon@localhost", description="Address that e-mail comes from.")


class S3(BaseModel):
    """Object storage that sources lie in. Credentials come as for every tool of AWS (AWS_ACCESS_KEY_ID, a profile)."""

    endpoint_url: str | None = Field(None, description="A server of your own that speaks S3. Not set: AWS.")
    region: str | None = Field(None, description="Region of the buckets. Not set: as for every tool of AWS.")


class Sources(BaseModel):
    """Watched directories and buckets."""

    scan_every: timedelta = Field(timedelta(minutes=1), description="Pause between scans of the sources, seconds.")


class Watch(BaseModel):
    """When something is wrong with dcmon itself."""

    org: str | None = Field(None, description="Organization whose receivers are told what is wrong with dcmon itself.")
    every: Duration = Field(timedelta(minutes=1), description="How often the leader judges dcmon itself, seconds.")
    sign: Duration = Field(timedelta(seconds=30), description="A process without a sign of life so long is gone.")
    turn: Duration = Field(timedelta(minutes=5), description="A worker whose loop stands still so long hangs.")
    leader: Duration = Field(timedelta(seconds=30), description="No scheduler leads for longer than this.")
    evaluation: Duration = Field(timedelta(minutes=10), description="A complete window waits for longer than this.")
    notification: Duration = Field(timedelta(minutes=15), description="A notification waits for longer than this.")
    lag: Duration = Field(timedelta(minutes=5), description="A message on a topic is unread for longer than this.")
    parked: Duration = Field(timedelta(minutes=10), description="A message is parked for longer than this.")
    quarantine: float = Field(0.1, ge=0, le=1, description="A larger share of an hour's rows is quarantined.")
    disk: float = Field(0.05, ge=0, le=1, description="A smaller share of the data directory's disk is free.")


class Heartbeat(BaseModel):
    """A URL that is called while all is well, for a dead man's switch."""

    url: SecretStr | None = Field(None, description="Called while dcmon works: https://hc-ping.com/your-check.")
    every: Duration = Field(timedelta(minutes=1), description="How often it is called, seconds.")
    fail: bool = Field(False, description="Call <url>/fail while something critical is wrong; else nothing is called.")


class Settings(BaseSettings):
    """What an operator may set, by environment or a .env file."""

    model_config = SettingsConfigDict(
        env_prefix="DCMON_", env_nested_delimiter="__", env_file=".env", extra="ignore", frozen=True
    )

    data_dir: Path = Field(default_factory=_default_data_dir, description="Embedded servers, logs and state.")
    database_url: SecretStr | None = Field(
        None, description="PostgreSQL, postgresql://user:password@host/database. Not set: embedded."
    )
    redis_url: SecretStr | None = Field(
        None,
        description="Redis or Valkey, redis://host:6379/0. Not set: embedded beside an embedded PostgreSQL, else none.",
    )
    public_url: str | None = Field(
        None, description="How others reach the endpoint; used in links. Default: its address."
    )
    org: str | None = Field(None, description="Organization that commands work on; not needed when there is only one.")
    http: Http = Http()
    kafka: Kafka = Kafka()
    evaluate: Evaluate = Evaluate()
    reference: Reference = Reference()
    alerts: Alerts = Alerts()
    webhooks: Webhooks = Webhooks()
    smtp: Smtp = Smtp()
    s3: S3 = S3()
    sources: Sources = Sources()
    watch: Watch = Watch()
    heartbeat: Heartbeat = Heartbeat()

    @property
    def url(self) -> str:
        """The address of the endpoint, without a trailing slash."""
        return (self.public_url or f"http://{self.http.host}:{self.http.port}").rstrip("/")

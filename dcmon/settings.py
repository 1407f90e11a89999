"""Settings: the only reader of the DCMON_* environment variables, such as DCMON_DATABASE_URL."""

import os
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from dotenv import dotenv_values
from platformdirs import site_data_path, user_data_path
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, EnvSettingsSource, InitSettingsSource, NoDecode, SettingsConfigDict
from pydantic_settings import PydanticBaseSettingsSource as Source

from dcmon import profiles, setting_faults, setting_names, setting_types
from dcmon.errors import InvalidInput
from dcmon.profiles import Profile
from dcmon.setting_names import OLD_NAMES as OLD_NAMES
from dcmon.setting_types import Duration, LogTerm, PublicUrl, ShownUrl, networks, own_variables, split_at_commas


def _default_data_dir() -> Path:
    """Return the default data directory: system-wide for root, otherwise the user's own."""
    if sys.platform != "win32" and os.geteuid() == 0:
        return Path("/var/lib/dcmon") if sys.platform == "linux" else site_data_path("dcmon")
    return user_data_path("dcmon")


def _with_new_names(variables: Mapping[str, str | None], given: set[str]) -> dict[str, str | None]:
    """Replace old names of variables; drop those whose new name is in `given`. Names are lower case."""
    renamed = {old.lower(): new.lower() for old, new in OLD_NAMES.items()}
    return {renamed.get(name, name): value for name, value in variables.items() if renamed.get(name) not in given}


class Http(BaseModel):
    """The HTTP endpoint."""

    host: str = Field("127.0.0.1", description="Address that the endpoint listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port that the endpoint listens on.")
    max_body_bytes: int = Field(
        100_000_000, ge=1, description="Size limit of a request body, bytes; a larger body gets the response 413."
    )
    max_json_bytes: int = Field(1_000_000, ge=1, description="Size limit of a body without rows, bytes; above it 413.")
    bodies_bytes: int = Field(300_000_000, ge=1, description="Bytes of all bodies in a process; above it 503.")
    header_time: Duration = Field(
        timedelta(seconds=10), description="Longest time for the head of a request; then 408."
    )
    body_time: Duration = Field(
        timedelta(seconds=20), description="Time in which a body must bring its bytes; else 408."
    )
    body_rate: int = Field(1000, ge=1, description="Bytes a second that a body must bring in DCMON_HTTP__BODY_TIME.")
    response_time: Duration = Field(timedelta(seconds=60), description="Longest time without reading of a response.")
    keep_alive: Duration = Field(timedelta(seconds=75), description="Time after which an idle connection is closed.")
    max_connections: int = Field(
        1000, ge=1, description="Connections of a process; above it, connections without a request are closed first."
    )
    fresh: Duration = Field(
        timedelta(seconds=10), description="Age at which a cached token, version or model is read again."
    )
    stale: Duration = Field(
        timedelta(minutes=10), description="Age up to which the cache is used while PostgreSQL can't be reached."
    )
    computations: int = Field(
        2, ge=1, le=32, description="Requests for which a process of the endpoint computes values at a time."
    )
    computation_time: Duration = Field(
        timedelta(seconds=60), description="A request whose values are not computed after this long gets 503."
    )
    workers: int = Field(1, ge=1, le=64, description="Server processes that share the port.")
    tls_certificate: Path | None = Field(
        None, description="PEM file of the TLS certificate and its chain. Not set: plain HTTP."
    )
    tls_key: Path | None = Field(
        None, description="PEM file of the certificate's key. Not set: it is in the certificate's file."
    )
    trusted_proxies: Annotated[list[str], NoDecode, BeforeValidator(split_at_commas), AfterValidator(networks)] = Field(
        default_factory=list,
        description="Proxies, 10.0.0.5,10.1.0.0/16, whose X-Forwarded-For and X-Forwarded-Proto are believed.",
    )
    metrics_token: SecretStr | None = Field(
        None, description="Token that /metrics requires. Not set: /metrics answers this machine only."
    )
    access_log: bool = Field(True, description="Log a line for each request, unless --quiet is given.")
    idempotency_retention: Duration = Field(
        timedelta(hours=24), description="How long answers to requests with Idempotency-Key are kept."
    )
    shutdown_timeout: Duration = Field(
        timedelta(seconds=10), description="Longest wait at a stop for requests that were accepted, seconds."
    )
    drain: Duration = Field(
        timedelta(seconds=1),
        description="How long /health/ready answers 503 before a stop, if it was asked within a minute, seconds.",
    )

    @property
    def longest_stop(self) -> float:
        """Seconds after which a process of the endpoint that was told to stop has certainly stopped."""
        return (self.drain + self.shutdown_timeout).total_seconds() + 5.5


class Kafka(BaseModel):
    """The buffer between the endpoint and PostgreSQL. Without it, rows go straight to PostgreSQL."""

    bootstrap_servers: str | None = Field(
        None, description="Brokers, host:port,host:port. Not set: rows go straight to PostgreSQL."
    )
    security_protocol: str = Field("PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.")
    sasl_mechanism: str | None = Field(None, description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.")
    username: str | None = Field(None, description="User name for SASL.")
    password: SecretStr | None = Field(None, description="Password for SASL.")
    group_id: str = Field("dcmon-ingest", description="Consumer group of the ingest workers.")
    topic_prefix: str = Field("dcmon", description="Topics are <prefix>.samples and <prefix>.labels.")
    partitions: int = Field(4, ge=1, description="Partitions of a topic that dcmon creates.")
    replication_factor: int = Field(1, ge=1, description="Replicas of a topic that dcmon creates.")
    rows_per_message: int = Field(500, ge=1, description="Maximum number of rows in one message.")
    batch_rows: int = Field(
        28_000, ge=1, description="Approximate number of rows that a worker stores in one transaction."
    )
    batch_bytes: int = Field(
        20_000_000, ge=1, description="Approximate bytes of messages that a worker stores in one transaction."
    )
    batch_wait: Duration = Field(timedelta(milliseconds=200), description="Longest wait for a batch to fill, seconds.")
    ack_wait: Duration = Field(
        timedelta(seconds=10), description="Longest wait for the brokers' acknowledgement; then the response is 503."
    )


class Evaluate(BaseModel):
    """How windows are evaluated."""

    sample_size: int = Field(10_000, ge=100, description="Rows sampled from a window, and from its reference.")
    label_quiet: Duration = Field(
        timedelta(minutes=5),
        description="A changed window is re-evaluated when no rows or labels came in for this long.",
    )
    backfill_quiet: Duration = Field(
        timedelta(seconds=1),
        description="Loaded history is evaluated when no rows came in for this long; at the latest after twice this.",
    )
    last_window_quiet: Duration = Field(
        timedelta(seconds=30),
        description="The last window of loaded history is evaluated when no rows of it came in for this long.",
    )
    check_processes: int = Field(
        2,
        ge=1,
        le=64,
        description="Windows that a worker evaluates at a time; each has a process for users' own checks.",
    )
    cpu: Duration = Field(
        timedelta(minutes=2),
        description="CPU time limit of one own check on one window; above it the result is an ERROR.",
    )
    hang: Duration = Field(
        timedelta(minutes=2), description="An own check hangs if it is idle for this long, or runs ten times as long."
    )
    memory: int = Field(
        2_000_000_000,
        ge=100_000_000,
        description="Memory limit of a process that runs own checks, in bytes; rows of a window take a quarter.",
    )
    recycle: int = Field(1000, ge=1, description="Own checks that a process runs before it is replaced.")
    variables: Annotated[list[str], NoDecode, BeforeValidator(split_at_commas), AfterValidator(own_variables)] = Field(
        default_factory=list,
        description="Variables that own checks get beside PATH, HOME and the like, comma-separated: PROXY,MODEL_DIR.",
    )
    lease: Duration = Field(timedelta(seconds=10), description="A claim that is not renewed for this long expires.")


class Reference(BaseModel):
    """The reference data that production is compared with."""

    largest: int = Field(100_000, ge=1, description="Maximum number of rows in the reference of a version.")


class Alerts(BaseModel):
    """Notification of alerts."""

    recent: Duration = Field(
        timedelta(days=2), description="A new alert is not notified while windows are due that end this much later."
    )


class Webhooks(BaseModel):
    """Outgoing notifications."""

    allow: Annotated[list[str], NoDecode, BeforeValidator(split_at_commas)] = Field(
        default_factory=list,
        description="Private networks or hosts that messages may be sent to, comma-separated: 10.1.0.0/16,127.0.0.1.",
    )
    timeout: Duration = Field(timedelta(seconds=10), description="Longest time for one delivery, seconds.")
    retry_for: Duration = Field(
        timedelta(hours=72), description="dcmon stops retrying an undelivered notification after this time."
    )
    group_wait: Duration = Field(
        timedelta(milliseconds=300), description="Changes of a model's alerts within this time are sent in one message."
    )
    probe_every: Duration = Field(
        timedelta(hours=1), description="How often receivers' addresses are connected to, without a message. 0: never."
    )


class Smtp(BaseModel):
    """The server that sends e-mail."""

    host: str | None = Field(None, description="Mail server that sends notifications. Not set: no e-mail.")
    port: int | None = Field(
        None, ge=1, le=65535, description="Port of the mail server. Not set: 587; 465 for tls, 25 for none."
    )
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="starttls, tls (encrypted from the first byte) or none."
    )
    username: str | None = Field(None, description="User to log in as. Not set: no login.")
    password: SecretStr | None = Field(None, description="Password of DCMON_SMTP__USERNAME.")
    sender: str = Field("dcmon@localhost", description="Sender address of e-mail.")


class S3(BaseModel):
    """Object storage of sources. Credentials are read as by the AWS tools (AWS_ACCESS_KEY_ID, a profile)."""

    endpoint_url: ShownUrl = Field(None, description="URL of an S3-compatible server. Not set: AWS.")
    region: str | None = Field(None, description="Region of the buckets. Not set: the AWS default.")
    max_object_bytes: int = Field(
        10_000_000_000, ge=1, description="Size limit of an object, bytes; a larger one is a file that can't be read."
    )


class Sources(BaseModel):
    """Watched directories and buckets."""

    scan_every: Duration = Field(timedelta(minutes=1), description="Pause between scans of the sources, seconds.")


class AuditLog(BaseModel):
    """The log of changes."""

    retention: LogTerm = Field(
        timedelta(days=400), description="Age at which prune deletes entries of the log of changes; none: never."
    )


class Health(BaseModel):
    """Health checks of dcmon itself, and the limits above which they report a problem."""

    org: str | None = Field(None, description="Organization whose receivers are notified of problems of dcmon itself.")
    every: Duration = Field(timedelta(minutes=1), description="Interval of the health checks of dcmon itself, seconds.")
    heartbeat_timeout: Duration = Field(
        timedelta(seconds=30), description="A process without a heartbeat for this long counts as ended."
    )
    poll_timeout: Duration = Field(
        timedelta(minutes=5), description="A worker whose loop makes no progress for this long counts as hanging."
    )
    leader: Duration = Field(timedelta(seconds=30), description="Problem: no scheduler leads for longer than this.")
    evaluation: Duration = Field(
        timedelta(minutes=10), description="Problem: a complete window waits for longer than this."
    )
    notification: Duration = Field(
        timedelta(minutes=15), description="Problem: a notification waits for longer than this."
    )
    lag: Duration = Field(
        timedelta(minutes=5), description="Problem: a message on a topic is unread for longer than this."
    )
    parked: Duration = Field(timedelta(minutes=10), description="Problem: a message is parked for longer than this.")
    quarantine: float = Field(
        0.05, ge=0, le=1, description="Problem: a larger share of a version's rows within an hour is quarantined."
    )
    quarantine_rows: int = Field(
        10, ge=1, description="The fewest quarantined rows within an hour that are a problem, if not all are."
    )
    source_quarantine: float = Field(
        0.05, ge=0, le=1, description="Problem: a larger share of a watched source's rows within a day is quarantined."
    )
    disk: float = Field(0.05, ge=0, le=1, description="Problem: a smaller share of the data directory's disk is free.")


class Ping(BaseModel):
    """The ping of the dead man's switch: a URL that is called while dcmon works."""

    url: SecretStr | None = Field(
        None, description="URL that is called while dcmon works: https://hc-ping.com/your-check."
    )
    every: Duration = Field(timedelta(minutes=1), description="Interval of the calls, seconds.")
    fail: bool = Field(False, description="Call <url>/fail during a critical problem. False: no call then.")


class Settings(BaseSettings):
    """All settings, from environment variables or a .env file."""

    model_config = SettingsConfigDict(
        env_prefix="DCMON_", env_nested_delimiter="__", env_file=".env", extra="ignore", frozen=True
    )

    data_dir: Path = Field(
        default_factory=_default_data_dir, description="Directory of the embedded servers, logs and state."
    )
    run_as: str | None = Field(
        None,
        description="User that dcmon steps down to if root starts it. Not set: dcmon, postgres or nobody; root: none.",
    )
    database_url: SecretStr | None = Field(
        None, description="PostgreSQL, postgresql://user:password@host/database. Not set: embedded."
    )
    redis_url: setting_types.RedisUrl = Field(
        None,
        description="Redis or Valkey, redis://host:6379/0. Not set: embedded beside an embedded PostgreSQL, else none.",
    )
    secret_keys: SecretStr | None = Field(
        None,
        description="Keys that encrypt secrets of receivers, comma-separated, the newest first. "
        "Not set: that of `dcmon up`, with its own PostgreSQL.",
    )
    public_url: PublicUrl = Field(
        None,
        description="URL of the endpoint for other machines; used in links. Not set: that of its host and port.",
    )
    org: str | None = Field(
        None, description="Organization that commands use; not needed if there is only one organization."
    )
    http: Http = Http()
    kafka: Kafka = Kafka()
    evaluate: Evaluate = Evaluate()
    reference: Reference = Reference()
    alerts: Alerts = Alerts()
    webhooks: Webhooks = Webhooks()
    smtp: Smtp = Smtp()
    s3: S3 = S3()
    sources: Sources = Sources()
    audit_log: AuditLog = AuditLog()
    health: Health = Health()
    ping: Ping = Ping()

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: Source, env_settings: Source, dotenv_settings: Source,
        file_secret_settings: Source,
    ) -> tuple[Source, ...]:  # fmt: skip
        """Accept old names in the environment and in .env, and refuse unknown ones there and in the profile.

        If a new name is set in one of them, its old name is ignored in both. Raises InvalidInput or NotFound.
        """
        read = [(env_settings, "the environment"), (dotenv_settings, str(Path(".env").absolute()))]
        sources = [(source, origin) for source, origin in read if isinstance(source, EnvSettingsSource)]
        known = setting_names.known(cls)
        given = {name for source, _ in sources for name in source.env_vars}
        for source, origin in sources:
            setting_names.require_known(source.env_vars, known, origin)
            source.env_vars = _with_new_names(source.env_vars, given)
        profile = chosen_profile()
        if profile is not None:
            profiles.require_known(profile, {variable.name: variable.path for variable in setting_names.variables(cls)})
        values = {} if profile is None else profile.settings
        return init_settings, env_settings, dotenv_settings, InitSettingsSource(settings_cls, values)

    @property
    def url(self) -> str:
        """Return the URL of the endpoint, without a trailing slash."""
        scheme = "https" if self.http.tls_certificate else "http"
        return (self.public_url or f"{scheme}://{self.http.host}:{self.http.port}").rstrip("/")


def require_known_names() -> None:
    """Refuse unknown names in the environment and in .env, for commands that read no setting. Raises InvalidInput."""
    for given, origin in ((os.environ, "the environment"), (_dotenv(), str(Path(".env").absolute()))):
        setting_names.require_known(given, setting_names.known(Settings), origin)


def chosen_profile() -> Profile | None:
    """Return the profile of --profile, of DCMON_PROFILE in the environment or .env, or the current one; or None.

    Raises NotFound, or InvalidInput if the file of profiles can't be used.
    """
    return profiles.chosen({name.upper(): value for name, value in (_dotenv() | dict(os.environ)).items()})


def _dotenv() -> dict[str, str | None]:
    path = Path(".env").absolute()
    try:
        return dotenv_values(path) if path.is_file() else {}
    except UnicodeDecodeError as error:
        raise InvalidInput(setting_faults.not_text(path, error)) from error


def origins() -> dict[str, str]:
    """Return where each variable that is set has its value from: the environment, the path of .env, or the profile.

    A variable under its old name says so. The environment wins over .env and that over the profile, and a new name over
    its old name.
    """
    in_file, profile = _dotenv(), chosen_profile()
    given = {name.upper() for name in (*in_file, *os.environ)}
    known = {} if profile is None else dict.fromkeys(profile.variables, f"profile {profile.name} ({profile.path})")
    for names, origin in ((in_file, str(Path(".env").absolute())), (os.environ, "environment")):
        for name in map(str.upper, names):
            new_name = OLD_NAMES.get(name)
            if new_name is None:
                known[name] = origin
            elif new_name not in given:
                known[new_name] = f"{origin}, as {name}"
    return known

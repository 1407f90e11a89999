"""`dcmon serve`: uvicorn in this process, or in several that share a port."""

import asyncio
import ipaddress
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import uvicorn

from dcmon import authors
from dcmon.app import App
from dcmon.errors import PortTaken
from dcmon.health.process_heartbeats import HeartbeatSender
from dcmon.http import api, connections, metrics, process_group, tls
from dcmon.http.edge import ACCESS_LOG
from dcmon.http.handshakes import ACCEPTED_AT_ONCE, Bounds, Handshakes
from dcmon.http.serving import Serving
from dcmon.http.tls import Certificate
from dcmon.settings import Http
from dcmon.states import ProcessKind

log = logging.getLogger(__name__)
SETTLE_SECONDS = 0.3  # in which requests on their way arrive, after the port was closed
OTHER_FILES = 300  # open in a process beside connections and TLS handshakes
TICKS_BETWEEN_RELOADS = 20  # of 0.1 s


class _Server(uvicorn.Server):
    """A uvicorn server with exit code 0 after a graceful stop. uvicorn itself would raise the stop signal again.

    `certificate` is loaded again when its files change. `is_orphan`: whether the process that started this one is gone.
    """

    def __init__(
        self, config: uvicorn.Config, settings: Http, serving: Serving, is_orphan: Callable[[], bool] = lambda: False
    ) -> None:
        super().__init__(config)
        self.settings, self.serving, self.is_orphan = settings, serving, is_orphan
        self.certificate: Certificate | None = None
        self._handshakes: Handshakes | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen. With TLS, uvicorn gets no socket, because connections are accepted here."""
        if self.certificate is None or not sockets:
            await super().startup(sockets)
            return
        await super().startup([])
        bounds = Bounds(self.settings.header_time.total_seconds(), max(1, self.settings.max_connections // 2))
        self._handshakes = Handshakes(self._make_protocol, self.certificate.context, bounds)
        self._handshakes.start(sockets[0])

    def _make_protocol(self) -> asyncio.Protocol:
        make = self.config.http_protocol_class
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)  # type: ignore[call-arg]

    async def on_tick(self, counter: int) -> bool:
        if self.certificate is not None and counter % TICKS_BETWEEN_RELOADS == 0:
            self.certificate.reload_if_changed()
        return self.is_orphan() or await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer 503 at /health/ready first if it is watched; then refuse connections; then finish requests."""
        self.serving.is_stopping = True
        if self.serving.is_watched:
            await self._pause(self.settings.drain.total_seconds())
        if self._handshakes is not None:
            self._handshakes.close()
        for server in self.servers:
            server.close()
        # A client that connected just now sends its request in this moment. Without the pause, uvicorn would close
        # its connection before the request is read.
        await self._pause(SETTLE_SECONDS)
        if self._handshakes is not None:
            self._handshakes.abort_all()
        await super().shutdown(sockets)

    async def _pause(self, seconds: float) -> None:
        """Wait, unless a second Ctrl-C asks for a stop at once."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not self.force_exit and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)


def serve(app: App) -> None:
    """Serve the endpoint until SIGTERM or SIGINT. Raises PortTaken, or InvalidInput if TLS can't be used."""
    settings = app.settings.http
    import_module("dcmon.ingestion.intake")  # it loads numpy: otherwise the first request with rows would wait for that
    _allow_open_files(settings.max_connections)
    certificate = tls.from_settings(settings)  # fail now, and not in each process
    with _listen(settings.host, settings.port) as listener:
        app.step_down()  # the port is bound and the key is read, which may need root
        if certificate is not None:
            certificate.warn_if_unreadable()
        _announce(app)
        _warn_if_exposed(settings)
        if settings.workers == 1:
            _run(app, listener, certificate, Serving())
            return
        _run_group(app, listener, certificate)


def _announce(app: App) -> None:
    """Say where the endpoint listens: to a person, or as a line of the log, which a program reads as JSON."""
    text = f"dcmon's endpoint listens at {app.settings.url}"
    if sys.stderr.isatty():
        app.output.remark(text)
    elif log.isEnabledFor(logging.WARNING):  # not with --quiet
        level = {"levelno": logging.INFO, "levelname": "INFO"}
        log.handle(logging.makeLogRecord({"name": log.name, "msg": text, **level}))


def _run_group(app: App, listener: socket.socket, certificate: Certificate | None) -> None:
    """Serve in several processes that share the port."""
    app.close()  # a connection must not be in two processes
    parent = os.getpid()
    with TemporaryDirectory(prefix="dcmon-metrics-") as directory:

        def work(slot: int) -> None:
            metrics.share_counts(Path(directory), slot)
            _run(app, listener, certificate, Serving(Path(directory)), lambda: os.getppid() != parent)

        process_group.run(app.settings.http.workers, work, listener.close, app.settings.http.longest_stop)


def _run(
    app: App,
    listener: socket.socket,
    certificate: Certificate | None,
    serving: Serving,
    is_orphan: Callable[[], bool] = lambda: False,
) -> None:
    """Serve in this process until it is told to stop."""
    settings = app.settings.http
    authors.set_for_process(authors.on_this_host(authors.DCMON, "http"))  # of what no request changes
    application = api.create(app, serving)
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        **connections.options(settings),
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=settings.shutdown_timeout.total_seconds(),  # type: ignore[arg-type]
    )
    config.load()
    server = _Server(config, settings, serving, is_orphan)
    server.certificate = certificate
    if settings.access_log and log.isEnabledFor(logging.WARNING):  # not with --quiet
        logging.getLogger(ACCESS_LOG).setLevel(logging.INFO)
    app.tune_for_long_run()
    with HeartbeatSender(app.engine, {ProcessKind.SERVE: None}):
        try:
            server.run(sockets=[listener] if certificate is not None or settings.workers > 1 else _several(listener))
        finally:
            application.state.failed_logins.close()


def _allow_open_files(connections: int) -> None:
    """Let this process and its children open files for all connections: often only 1,024 are allowed at first."""
    needed = connections + connections // 2 + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < needed:
        log.warning(
            "This process may open %d files, and DCMON_HTTP__MAX_CONNECTIONS needs %d: raise the limit (ulimit -n), or"
            " lower the setting. Otherwise many clients can keep others out.", allowed, needed,
        )  # fmt: skip


def _several(listener: socket.socket) -> list[socket.socket]:
    """Return a listening socket and duplicates of it, so that many clients that connect at once are accepted soon.

    uvloop accepts one connection of each socket in a turn of its loop. With 200 busy clients a turn takes 40 ms, and
    with one socket the last of them would wait for seconds. Not for several processes: when they share duplicates, a
    connection is lost now and then, and its client waits for ever (test_no_connection_is_lost_between_processes).
    """
    return [listener, *(listener.dup() for _ in range(ACCEPTED_AT_ONCE - 1))]


def _warn_if_exposed(settings: Http) -> None:
    """Warn if tokens and rows can be read on a network."""
    if settings.tls_certificate is None and not settings.trusted_proxies and not _is_loopback(settings.host):
        log.warning(
            "The endpoint listens at %s without TLS: tokens and rows can be read on the network. Set"
            " DCMON_HTTP__TLS_CERTIFICATE and DCMON_HTTP__TLS_KEY, or DCMON_HTTP__TRUSTED_PROXIES if a proxy has TLS.",
            settings.host,
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sets TCP_NODELAY on each connection. Otherwise a response, which is sent as head
    # and body, waits 40 ms for the client's delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PortTaken(host=host, port=port) from error
    listener.listen(2048)
    return listener

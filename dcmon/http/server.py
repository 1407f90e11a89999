"""`dcmon serve`: uvicorn in this process."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

import uvicorn

from dcmon.app import App
from dcmon.errors import PortTaken
from dcmon.health.process_heartbeats import HeartbeatSender
from dcmon.http import api
from dcmon.states import ProcessKind


class _Server(uvicorn.Server):
    """A uvicorn server with exit code 0 after a graceful stop. uvicorn itself would raise the stop signal again."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)
        yield


def serve(app: App) -> None:
    """Serve the endpoint until SIGTERM or SIGINT. Raises PortTaken."""
    settings = app.settings.http
    import_module("dcmon.ingestion.intake")  # it loads numpy: otherwise the first request with rows would wait for that
    with _listen(settings.host, settings.port) as listener:
        config = uvicorn.Config(
            api.create(app), log_config=None, access_log=False, timeout_graceful_shutdown=10, server_header=False
        )
        app.tune_for_long_run()
        app.output.remark(f"dcmon's endpoint listens at {app.settings.url}")
        with HeartbeatSender(app.engine, {ProcessKind.SERVE: None}):
            _Server(config).run(sockets=[listener])


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
    listener.listen(512)
    return listener
